//! One sender, a thousand members: the shape of a cursor, a score, a price.
//!
//! Saturated, it shows whether the server gathers when it is behind; with few messages in flight there is
//! little to gather, with many there is much to queue, and throughput must not collapse as bursts grow.
//! Paced, the server is idle most of the time and must write at once: latency and CPU are those of one
//! write per member.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use super::{Bench, runs_json};
use crate::drive::{Drive, Measured, median_of};
use crate::floor::Style;
use crate::message::Encoding;
use crate::report::{Goal, Outcome, Report, Row};
use crate::traffic::Shape;

/// From one paced message to the next.
pub(super) const INTERVAL: Duration = Duration::from_millis(20);

const DELIVERED: &str = "delivered/s";

pub(super) fn shape(bench: &Bench, encoding: Encoding) -> Shape {
    Shape::one_sender(1, 1000 / bench.scale.fewer, encoding)
}

/// A closed loop: so many messages in flight that the slowest member has not seen.
pub fn saturated(bench: &Bench, in_flight: u32, goal: f64) -> Result<Outcome> {
    let drive = Drive::Closed { in_flight };
    let (ours, floor) =
        bench.traffic(Style::Coalesced, shape(bench, Encoding::Binary), drive, bench.scale.saturated)?;
    Ok(Outcome { rows: throughput_rows(&ours, &floor, goal), runs: runs_json(&ours, &floor) })
}

/// Throughput with its goal, and the CPU time that explains it.
pub(super) fn throughput_rows(ours: &super::Runs, floor: &super::Runs, goal: f64) -> Vec<Row> {
    let both = |number: fn(&Measured) -> f64| (median_of(ours, number), median_of(floor, number));
    let (delivered, delivered_floor) = both(|run| run.deliveries_per_second);
    let (cpu, cpu_floor) = both(|run| run.cpu_micros_per_delivery);
    let (share, share_floor) = both(|run| 100.0 * run.cpu_share);
    vec![
        Row::against(DELIVERED, delivered, delivered_floor, Goal::RatioAtLeast(goal)),
        Row::against("CPU µs/delivery", cpu, cpu_floor, Goal::None),
        Row::against("% of its core", share, share_floor, Goal::None),
    ]
}

/// One message every 20 ms.
pub fn paced(bench: &Bench) -> Result<Outcome> {
    let drive = Drive::Paced { interval: INTERVAL };
    let (ours, floor) =
        bench.traffic(Style::Single, shape(bench, Encoding::Text), drive, bench.scale.paced)?;
    Ok(Outcome { rows: paced_rows(&ours, &floor, 1.2, 1.2), runs: runs_json(&ours, &floor) })
}

/// CPU and latency with their goals.
pub(super) fn paced_rows(ours: &super::Runs, floor: &super::Runs, cpu_goal: f64, p99_goal: f64) -> Vec<Row> {
    let both = |number: fn(&Measured) -> f64| (median_of(ours, number), median_of(floor, number));
    let (cpu, cpu_floor) = both(|run| run.cpu_micros_per_delivery);
    let (p99, p99_floor) = both(|run| run.p99_micros);
    let (p50, p50_floor) = both(|run| run.p50_micros);
    let (delivered, delivered_floor) = both(|run| run.deliveries_per_second);
    vec![
        Row::against("CPU µs/delivery", cpu, cpu_floor, Goal::RatioAtMost(cpu_goal)),
        Row::against("p99 µs", p99, p99_floor, Goal::RatioAtMost(p99_goal)),
        Row::against("p50 µs", p50, p50_floor, Goal::None),
        Row::against(DELIVERED, delivered, delivered_floor, Goal::None),
    ]
}

/// No collapse: bursts of 256 must move at least 0.8 of what bursts of 64 move.
pub fn compare(report: &mut Report) {
    let of = |workload| report.ours(workload, DELIVERED);
    if let (Some(large), Some(small)) = (of("fanout-256"), of("fanout-64")) {
        let row = Row::against("256 to own 64", large, small, Goal::RatioAtLeast(0.8));
        report.add("fanout", Ok(Outcome { rows: vec![row], runs: json!(null) }));
    }
}
