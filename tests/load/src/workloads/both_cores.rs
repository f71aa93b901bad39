//! The server on both cores, which this program shares with it, beside the same server on one core.
//!
//! Three busy threads on two cores say nothing about throughput. What is compared is the processor time for each
//! delivery: rooms spread over the threads of a server must not cost more than rooms on one thread, or a larger
//! machine is wasted on contention.

use anyhow::{Context, Result};

use super::{Bench, rooms, runs_json};
use crate::drive::{self, Drive, Measured, median_of};
use crate::machine::Placement;
use crate::message::Encoding;
use crate::report::{Goal, Outcome, Row};
use crate::setup::Setup;
use crate::traffic::Shape;

/// Eight rooms with one sender and 500 members each, 64 in flight in each.
pub fn fanout(bench: &Bench) -> Result<Outcome> {
    let shape = Shape::one_sender(8, 500 / bench.scale.fewer, Encoding::Binary);
    beside_one_core(bench, shape, Drive::Closed { in_flight: 64 })
}

/// Two hundred rooms of ten members that send in turn.
pub fn talk(bench: &Bench) -> Result<Outcome> {
    beside_one_core(bench, rooms::shape_of_talk(bench), rooms::FOUR_IN_FLIGHT)
}

fn beside_one_core(bench: &Bench, shape: Shape, drive: Drive) -> Result<Outcome> {
    let once = |placement| {
        let target = bench.start_with(&Setup { placement, ..Setup::default() })?;
        let measured = drive::run(&target, shape, drive, bench.scale.saturated);
        measured.with_context(|| format!("{placement:?}"))
    };
    let (both, one) = bench.in_turns(|| once(Placement::BothCores), || once(Placement::OneCore))?;
    let of = |number: fn(&Measured) -> f64| (median_of(&both, number), median_of(&one, number));
    let (cpu, cpu_on_one) = of(|run| run.cpu_micros_per_delivery);
    let (delivered, delivered_by_one) = of(|run| run.deliveries_per_second);
    let (share, share_of_one) = of(|run| 100.0 * run.cpu_share);
    let rows = vec![
        Row::against("CPU µs/delivery, to one core's", cpu, cpu_on_one, Goal::RatioAtMost(1.25)),
        Row::against("delivered/s", delivered, delivered_by_one, Goal::None),
        Row::against("% of a core", share, share_of_one, Goal::None),
    ];
    Ok(Outcome { rows, runs: runs_json(&both, &one) })
}
