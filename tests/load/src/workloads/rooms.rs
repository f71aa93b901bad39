//! Two hundred rooms of ten: the shape of documents and game tables.
//!
//! Here a message has nine receivers, so what the server does once per message weighs a hundred times
//! more than in a fan-out to a thousand. Where all members send, in turn, every connection is read and written,
//! and the order in which a server does that decides which rooms wait.

use std::time::Duration;

use anyhow::Result;

use super::{Bench, fanout, runs_json};
use crate::drive::{Drive, Measured, median_of};
use crate::floor::Style;
use crate::message::Encoding;
use crate::report::{Goal, Outcome, Row};
use crate::traffic::Shape;

/// Rooms of ten members in which one member sends, which does not receive its own messages.
pub(super) fn shape(bench: &Bench, encoding: Encoding) -> Shape {
    Shape::one_sender(200 / bench.scale.fewer, 9, encoding)
}

/// Rooms of ten members that send in turn.
pub(super) fn shape_of_talk(bench: &Bench) -> Shape {
    Shape::senders_in_turn(200 / bench.scale.fewer, 10, Encoding::Text)
}

/// Four messages in each room that its slowest member has not received yet.
pub(super) const FOUR_IN_FLIGHT: Drive = Drive::Closed { in_flight: 4 };

/// 2,000 messages a second, spread evenly.
pub fn paced(bench: &Bench) -> Result<Outcome> {
    let drive = Drive::Paced { interval: Duration::from_micros(500) };
    let (ours, floor) =
        bench.traffic(Style::Single, shape(bench, Encoding::Text), drive, bench.scale.paced)?;
    Ok(Outcome { rows: fanout::paced_rows(&ours, &floor, 1.2, 1.5), runs: runs_json(&ours, &floor) })
}

/// As much as goes with four messages in flight in each room.
pub fn saturated(bench: &Bench) -> Result<Outcome> {
    let (ours, floor) = bench.traffic(
        Style::Coalesced,
        shape(bench, Encoding::Binary),
        FOUR_IN_FLIGHT,
        bench.scale.saturated,
    )?;
    Ok(Outcome { rows: fanout::throughput_rows(&ours, &floor, 0.75), runs: runs_json(&ours, &floor) })
}

/// The same with ten members that send in turn, as text.
pub fn talk(bench: &Bench) -> Result<Outcome> {
    let (ours, floor) =
        bench.traffic(Style::Coalesced, shape_of_talk(bench), FOUR_IN_FLIGHT, bench.scale.saturated)?;
    let both = |number: fn(&Measured) -> f64| (median_of(&ours, number), median_of(&floor, number));
    let (p50, p50_floor) = both(|run| run.p50_micros);
    let (p99, p99_floor) = both(|run| run.p99_micros);
    let (slowest, slowest_floor) = both(|run| run.slowest_room);
    let mut rows = fanout::throughput_rows(&ours, &floor, 0.9);
    rows.extend([
        Row::against("p50 µs", p50, p50_floor, Goal::None),
        Row::against("p99 µs", p99, p99_floor, Goal::None),
        Row::alone("p99 to own p50", p99 / p50, Goal::AtMost(3.0)),
        Row::against("slowest room to mean", slowest, slowest_floor, Goal::AtLeast(0.33)),
    ]);
    Ok(Outcome { rows, runs: runs_json(&ours, &floor) })
}
