//! Two hundred rooms of ten: the shape of documents and game tables.
//!
//! Here a message has nine receivers, so what the server does once per message weighs a hundred times
//! more than in a fan-out to a thousand.

use std::time::Duration;

use anyhow::Result;

use super::{Bench, fanout, runs_json};
use crate::drive::Drive;
use crate::floor::Style;
use crate::report::Outcome;
use crate::traffic::Shape;

fn shape(bench: &Bench) -> Shape {
    // Ten members: one of them sends and does not receive its own messages.
    Shape { rooms: 200 / bench.scale.fewer, receivers: 9 }
}

/// 2,000 messages a second, spread evenly.
pub fn paced(bench: &Bench) -> Result<Outcome> {
    let drive = Drive::Paced { interval: Duration::from_micros(500) };
    let (ours, floor) = bench.traffic(Style::Single, shape(bench), drive, bench.scale.paced)?;
    Ok(Outcome { rows: fanout::paced_rows(&ours, &floor, 1.25, 2.0), runs: runs_json(&ours, &floor) })
}

/// As much as goes with four messages in flight in each room.
pub fn saturated(bench: &Bench) -> Result<Outcome> {
    let drive = Drive::Closed { in_flight: 4 };
    let (ours, floor) = bench.traffic(Style::Coalesced, shape(bench), drive, bench.scale.saturated)?;
    Ok(Outcome { rows: fanout::throughput_rows(&ours, &floor, 0.75), runs: runs_json(&ours, &floor) })
}
