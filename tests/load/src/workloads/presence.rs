//! 500 members join one room, then all of them track at once.
//!
//! Every one must learn of every other, so 250,000 facts travel. Sent one by one, they cost a frame and
//! an envelope each; gathered, hardly more than sending each member the final state once. Counted are the
//! presence frames that all members receive after the joins, as bytes on the wire.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::Bench;
use crate::connection::Listener;
use crate::machine::Deadline;
use crate::message::{client_frame, opcode, server_frame};
use crate::process;
use crate::report::{Goal, Outcome, Row, median};
use crate::server::{Kind, Target};
use crate::swarm::Swarm;

const TIME_ALLOWED: f64 = 2.0;
const BYTES_ALLOWED: f64 = 1.5;

struct Measured {
    seconds: f64,
    bytes_ratio: f64,
    cpu_seconds: f64,
    frames_each: f64,
}

/// 500 members, a fresh server each time.
pub fn run(bench: &Bench) -> Result<Outcome> {
    let members = 500 / bench.scale.fewer;
    let runs = (0..bench.scale.runs)
        .map(|_| all_members_track(&bench.start(Kind::Server)?, members))
        .collect::<Result<Vec<_>>>()?;
    let of = |number: fn(&Measured) -> f64| median(runs.iter().map(number));
    let rows = vec![
        Row::alone("s until all see all", of(|run| run.seconds), Goal::AtMost(TIME_ALLOWED)),
        Row::alone("bytes / (members × state)", of(|run| run.bytes_ratio), Goal::AtMost(BYTES_ALLOWED)),
        Row::alone("frames per member", of(|run| run.frames_each), Goal::None),
        Row::alone("CPU s", of(|run| run.cpu_seconds), Goal::None),
    ];
    let json = |run: &Measured| json!({"seconds": run.seconds, "bytes_ratio": run.bytes_ratio, "cpu_seconds": run.cpu_seconds, "frames_each": run.frames_each});
    Ok(Outcome { rows, runs: runs.iter().map(json).collect() })
}

fn all_members_track(target: &Target, members: usize) -> Result<Measured> {
    let mut swarm = Swarm::new()?;
    let mut room = Room::new(members);
    let entries = (0..members).map(|member| entry(target, member)).collect::<Result<Vec<_>>>()?;
    swarm.enter(target.address, entries, &mut room, Deadline::after(Duration::from_secs(10)))?;
    let states = |room: &Room| format!("{} of {members} members got a presence_state", room.states);
    let soon = Deadline::after(Duration::from_secs(5));
    swarm.turn_until(&mut room, soon, states, |room| room.states >= members)?;

    let (cpu, from) = (process::cpu(target.pid())?, Instant::now());
    for member in 0..members {
        swarm.send(member, &track(member))?;
        swarm.turn(Some(Duration::ZERO), &mut room)?;
    }
    let progress = |room: &Room| format!("{} of {members} members see all members", room.complete);
    let long = Deadline::after(Duration::from_secs(15));
    swarm.turn_until(&mut room, long, progress, |room| room.complete == members)?;
    let (seconds, cpu) = (from.elapsed().as_secs_f64(), process::cpu(target.pid())? - cpu);
    // What comes late, counts.
    swarm.turn_for(Duration::from_millis(300), &mut room)?;

    let (bytes, frames) = (room.bytes, room.frames);
    let final_state = final_state(target, members)?;
    Ok(Measured {
        seconds,
        bytes_ratio: bytes as f64 / (members * final_state) as f64,
        cpu_seconds: cpu.as_secs_f64(),
        frames_each: frames as f64 / members as f64,
    })
}

/// The size of the `presence_state` for a member that joins after all have tracked.
fn final_state(target: &Target, members: usize) -> Result<usize> {
    let mut swarm = Swarm::new()?;
    let mut latecomer = Room::new(members + 1);
    let soon = Deadline::after(Duration::from_secs(5));
    let late = entry(target, members)?;
    swarm.enter(target.address, [late], &mut latecomer, soon)?;
    swarm.turn_until(&mut latecomer, soon, |_| "no presence_state".to_owned(), |room| room.states > 0)?;
    let seen = latecomer.seen.first().map_or(0, |seen| seen.count);
    anyhow::ensure!(seen == members, "the latecomer's state holds {seen} of {members} keys");
    Ok(latecomer.bytes)
}

fn entry(target: &Target, member: usize) -> Result<crate::entry::Entry> {
    target.entry(0, member, &json!({"enabled": true, "key": key(member)}))
}

fn key(member: usize) -> String {
    format!("member-{member:04}")
}

fn track(member: usize) -> Vec<u8> {
    let payload = json!({"user": key(member), "online_at": "2026-01-01T00:00:00Z"});
    let track = json!({"type": "presence", "event": "track", "payload": payload});
    let topic = crate::server::topic(0);
    client_frame(opcode::TEXT, format!(r#"["1","2","{topic}","presence",{track}]"#).as_bytes())
}

#[derive(Clone)]
struct Seen {
    keys: Vec<bool>,
    count: usize,
}

/// Who knows whom. All members receive the same bytes, so each distinct frame is parsed once and the
/// client stays out of the measurement.
struct Room {
    seen: Vec<Seen>,
    complete: usize,
    states: usize,
    frames: usize,
    bytes: usize,
    parsed: HashMap<Vec<u8>, Rc<Presence>>,
}

#[derive(Default)]
struct Presence {
    is_presence: bool,
    is_state: bool,
    keys: Vec<usize>,
}

impl Room {
    fn new(members: usize) -> Self {
        let none = Seen { keys: vec![false; members], count: 0 };
        let seen = vec![none; members];
        Self { seen, complete: 0, states: 0, frames: 0, bytes: 0, parsed: HashMap::new() }
    }

    fn presence_in(&mut self, body: &[u8]) -> Rc<Presence> {
        if let Some(known) = self.parsed.get(body) {
            return known.clone();
        }
        let parsed = Rc::new(parse(body).unwrap_or_default());
        self.parsed.insert(body.to_vec(), parsed.clone());
        parsed
    }

    fn note(&mut self, member: usize, body: &[u8]) {
        let presence = self.presence_in(body);
        if !presence.is_presence {
            return;
        }
        self.frames += 1;
        self.bytes += server_frame(opcode::TEXT, body).len();
        self.states += usize::from(presence.is_state);
        let seen = &mut self.seen[member];
        let total = seen.keys.len();
        for &key in &presence.keys {
            if let Some(known) = seen.keys.get_mut(key).filter(|known| !**known) {
                *known = true;
                seen.count += 1;
                self.complete += usize::from(seen.count == total);
            }
        }
    }
}

impl Listener for Room {
    fn frame(&mut self, member: usize, _: u8, body: &[u8]) {
        self.note(member, body);
    }
}

/// `[join_ref, ref, topic, event, payload]`: the keys of a state, or the keys that join in a diff.
fn parse(body: &[u8]) -> Result<Presence> {
    let (_, _, _, event, payload): (Value, Value, String, String, Value) = serde_json::from_slice(body)?;
    let members_by_key: BTreeMap<String, Value> = match event.as_str() {
        "presence_state" => serde_json::from_value(payload)?,
        "presence_diff" => serde_json::from_value(payload["joins"].clone())?,
        _ => return Ok(Presence::default()),
    };
    let keys = members_by_key.keys().map(|key| {
        let number = key.strip_prefix("member-").context("an unknown key")?;
        Ok(number.parse()?)
    });
    let keys = keys.collect::<Result<_>>()?;
    Ok(Presence { is_presence: true, is_state: event == "presence_state", keys })
}
