//! What ten thousand people cost who have said one thing each and now listen.
//!
//! Everybody joins (ten to a room), sends one broadcast and one heartbeat, and hears the others' and the
//! answer: buffers that grow with use have grown. Then everybody leaves, and it must come back. Three
//! rounds on one server, because a leak shows as a staircase.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use super::Bench;
use crate::connection::Listener;
use crate::machine::{Deadline, interrupted};
use crate::message::{PAYLOAD, client_frame, opcode};
use crate::process;
use crate::report::{Goal, Outcome, Row};
use crate::server::{Kind, Target};
use crate::swarm::Swarm;

const ROOM: usize = 10;
/// A server is back at its start if it keeps less than this of what a round took.
const KEPT_AT_MOST: f64 = 0.2;

#[derive(Default)]
struct Heard {
    broadcasts: usize,
    heartbeats: usize,
}

impl Listener for Heard {
    fn frame(&mut self, _: usize, kind: u8, body: &[u8]) {
        match kind {
            opcode::BINARY => self.broadcasts += 1,
            _ if body.starts_with(br#"[null,"3","phoenix","phx_reply""#) => self.heartbeats += 1,
            _ => {}
        }
    }
}

struct Round {
    each_kib: f64,
    taken: u64,
    kept: u64,
}

/// Three rounds of 10,000.
pub fn run(bench: &Bench) -> Result<Outcome> {
    let connections = 10_000 / bench.scale.fewer;
    let target = bench.start(Kind::Server)?;
    let idle = process::anonymous(target.pid())?;
    let mut rounds = Vec::new();
    for number in 1..=bench.scale.memory_rounds {
        let round = round(&target, connections, idle, bench.scale.give_back)?;
        eprintln!(
            "    round {number}: {:.2} KiB each; {} KiB taken, {} KiB kept",
            round.each_kib,
            round.taken / 1024,
            round.kept / 1024
        );
        rounds.push(round);
    }
    let worst = rounds.iter().map(|round| round.each_kib).fold(0.0, f64::max);
    let last = rounds.last().map_or(f64::NAN, |round| round.kept as f64 / round.taken as f64);
    let rows = vec![
        Row::alone("KiB each, worst round", worst, Goal::AtMost(5.0)),
        Row::alone("kept after all left", last, Goal::AtMost(KEPT_AT_MOST)),
        Row::alone("idle KiB", idle as f64 / 1024.0, Goal::None),
    ];
    let runs: Vec<_> = rounds
        .iter()
        .map(
            |round| json!({"kib_each": round.each_kib, "bytes_taken": round.taken, "bytes_kept": round.kept}),
        )
        .collect();
    Ok(Outcome { rows, runs: json!({"idle_bytes": idle, "rounds": runs}) })
}

fn round(target: &Target, connections: usize, idle: u64, wait: Duration) -> Result<Round> {
    let mut swarm = Swarm::new()?;
    let mut heard = Heard::default();
    let entries = (0..connections)
        .map(|member| target.entry((member / ROOM) as u32, member, &json!({"enabled": false})))
        .collect::<Result<Vec<_>>>()?;
    swarm.enter(target.address, entries, &mut heard, Deadline::after(Duration::from_secs(30)))?;
    everybody_speaks(target, &mut swarm, connections, &mut heard)?;
    // What a server frees when a connection falls quiet, it may free.
    swarm.turn_for(Duration::from_secs(1), &mut heard)?;
    let taken = process::anonymous(target.pid())?.saturating_sub(idle);
    swarm.leave(true, &mut heard, Deadline::after(Duration::from_secs(15)))?;
    Ok(Round {
        each_kib: taken as f64 / 1024.0 / connections as f64,
        taken,
        kept: wait_until_given_back(target, idle, taken, wait)?,
    })
}

fn everybody_speaks(target: &Target, swarm: &mut Swarm, connections: usize, heard: &mut Heard) -> Result<()> {
    let heartbeat = client_frame(opcode::TEXT, br#"[null,"3","phoenix","heartbeat",{}]"#);
    for member in 0..connections {
        let mut words = Vec::new();
        target.broadcast((member / ROOM) as u32, PAYLOAD).append_to(&mut words, 0, 0);
        words.extend_from_slice(&heartbeat);
        swarm.send(member, &words)?;
        if member % 64 == 0 {
            swarm.turn(Some(Duration::ZERO), heard)?;
        }
    }
    let expected = connections * (ROOM - 1);
    let progress = |heard: &Heard| {
        format!(
            "{} of {expected} broadcasts, {} of {connections} heartbeats",
            heard.broadcasts, heard.heartbeats
        )
    };
    let all = |heard: &Heard| heard.broadcasts >= expected && heard.heartbeats >= connections;
    swarm.turn_until(heard, Deadline::after(Duration::from_secs(15)), progress, all)
}

/// Bytes over idle once everybody has left; waits for them to shrink, but not for ever.
fn wait_until_given_back(target: &Target, idle: u64, taken: u64, wait: Duration) -> Result<u64> {
    let deadline = Deadline::after(wait);
    loop {
        let kept = process::anonymous(target.pid())?.saturating_sub(idle);
        if kept as f64 <= KEPT_AT_MOST / 2.0 * taken as f64 || deadline.has_passed() || interrupted() {
            return Ok(kept);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}
