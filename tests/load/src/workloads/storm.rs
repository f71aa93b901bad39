//! All clients connect at once, as after a deployment: connect, upgrade, token, join, reply.
//!
//! The floor's side of it is the bare connect: accepted, four bytes in, two bytes back.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::json;

use super::Bench;
use crate::connection::Listener;
use crate::floor::Style;
use crate::machine::Deadline;
use crate::process;
use crate::report::{Goal, Outcome, Row, median};
use crate::server::Target;
use crate::swarm::Swarm;

struct Deaf;

impl Listener for Deaf {
    fn frame(&mut self, _: usize, _: u8, _: &[u8]) {}
}

struct Storm {
    per_second: f64,
    cpu_micros_each: f64,
}

/// 5,000 of them, in rooms of ten.
pub fn run(bench: &Bench) -> Result<Outcome> {
    let (ours, floor) = bench.alternate(Style::Coalesced, |target| storm(bench, target))?;
    let rate = |runs: &[Storm]| median(runs.iter().map(|run| run.per_second));
    let cpu = |runs: &[Storm]| median(runs.iter().map(|run| run.cpu_micros_each));
    let rows = vec![
        Row::against("joined/s, connects/s", rate(&ours), rate(&floor), Goal::RatioAtLeast(0.55)),
        Row::against("CPU µs each", cpu(&ours), cpu(&floor), Goal::RatioAtMost(2.4)),
    ];
    let list = |runs: &[Storm]| runs.iter().map(|run| run.per_second).collect::<Vec<_>>();
    Ok(Outcome { rows, runs: json!({"ours": list(&ours), "floor": list(&floor)}) })
}

/// The processor time that each of them takes.
pub(super) fn cpu_micros_each(bench: &Bench, target: &Target) -> Result<f64> {
    Ok(storm(bench, target)?.cpu_micros_each)
}

fn storm(bench: &Bench, target: &Target) -> Result<Storm> {
    let connections = 5000 / bench.scale.fewer;
    // Tokens are signed before the clock starts.
    let entries = (0..connections)
        .map(|member| target.entry((member / 10) as u32, member, &json!({"enabled": false})))
        .collect::<Result<Vec<_>>>()?;
    let mut swarm = Swarm::new()?;
    let (cpu, from) = (process::cpu(target.pid())?, Instant::now());
    swarm.enter(target.address, entries, &mut Deaf, Deadline::after(Duration::from_secs(20)))?;
    let (cpu, wall) = (process::cpu(target.pid())? - cpu, from.elapsed());
    Ok(Storm {
        per_second: connections as f64 / wall.as_secs_f64(),
        cpu_micros_each: cpu.as_secs_f64() * 1e6 / connections as f64,
    })
}
