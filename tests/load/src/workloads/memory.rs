//! The memory of ten thousand connections that have sent one message each and are now idle.
//!
//! All clients join (ten to a room), send one broadcast and one heartbeat, and receive the others' and the
//! reply: buffers that grow with use have grown. Then all leave, and the memory must be freed. Three
//! rounds on one server, because a leak shows as a staircase.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use super::Bench;
use crate::certificate::Certificate;
use crate::connection::Listener;
use crate::machine::{Deadline, interrupted};
use crate::message::{Encoding, PAYLOAD, client_frame, opcode};
use crate::process;
use crate::report::{Goal, Outcome, Row};
use crate::server::Target;
use crate::setup::Setup;
use crate::swarm::Swarm;

const ROOM: usize = 10;
/// A server is back at its start if it keeps less than this of what a round took.
const KEPT_AT_MOST: f64 = 0.2;

#[derive(Default)]
struct Received {
    broadcasts: usize,
    heartbeats: usize,
}

impl Listener for Received {
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
pub fn plain(bench: &Bench) -> Result<Outcome> {
    run(bench, &Setup::default(), 4.0)
}

/// The same over TLS.
pub fn tls(bench: &Bench) -> Result<Outcome> {
    run(bench, &Setup { certificate: Some(Certificate::generate()?), ..Setup::default() }, 24.0)
}

fn run(bench: &Bench, setup: &Setup, kib_each: f64) -> Result<Outcome> {
    let connections = 10_000 / bench.scale.fewer;
    let target = bench.start_with(setup)?;
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
        Row::alone("KiB each, worst round", worst, Goal::AtMost(kib_each)),
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
    let mut received = Received::default();
    let entries = (0..connections)
        .map(|member| target.entry((member / ROOM) as u32, member, &json!({"enabled": false})))
        .collect::<Result<Vec<_>>>()?;
    swarm.enter(target.address, entries, &mut received, Deadline::after(Duration::from_secs(30)))?;
    all_members_send(target, &mut swarm, connections, &mut received)?;
    // What a server frees when a connection falls quiet, it may free.
    swarm.turn_for(Duration::from_secs(1), &mut received)?;
    let taken = process::anonymous(target.pid())?.saturating_sub(idle);
    swarm.leave(&mut received, Deadline::after(Duration::from_secs(15)))?;
    Ok(Round {
        each_kib: taken as f64 / 1024.0 / connections as f64,
        taken,
        kept: wait_until_given_back(target, idle, taken, wait)?,
    })
}

fn all_members_send(
    target: &Target,
    swarm: &mut Swarm,
    connections: usize,
    received: &mut Received,
) -> Result<()> {
    let heartbeat = client_frame(opcode::TEXT, br#"[null,"3","phoenix","heartbeat",{}]"#);
    for member in 0..connections {
        let mut bytes = Vec::new();
        target.broadcast(Encoding::Binary, (member / ROOM) as u32, PAYLOAD).append_to(&mut bytes, 0, 0);
        bytes.extend_from_slice(&heartbeat);
        swarm.send(member, &bytes)?;
        if member % 64 == 0 {
            swarm.turn(Some(Duration::ZERO), received)?;
        }
    }
    let expected = connections * (ROOM - 1);
    let progress = |received: &Received| {
        format!(
            "{} of {expected} broadcasts, {} of {connections} heartbeats",
            received.broadcasts, received.heartbeats
        )
    };
    let all = |received: &Received| received.broadcasts >= expected && received.heartbeats >= connections;
    swarm.turn_until(received, Deadline::after(Duration::from_secs(15)), progress, all)
}

/// Bytes over idle after all clients have left; waits for a limited time for them to be freed.
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
