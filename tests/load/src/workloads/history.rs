//! What it costs to keep broadcasts: `rooms-saturated` on a server that keeps those of all rooms, beside one that keeps none.

use anyhow::{Context, Result};

use super::rooms::{FOUR_IN_FLIGHT, shape};
use super::{Bench, runs_json};
use crate::drive::{self, Measured, median_of};
use crate::message::Encoding;
use crate::report::{Goal, Outcome, Row};
use crate::setup::Setup;
use crate::traffic::Shape;

/// Every room, within the default bounds.
const KEPT: &str = "[broadcast.history]\nrooms = [\"*\"]\n";

/// The metadata of what is kept: `{"id":"<a UUID>"}`.
const METADATA: usize = r#"{"id":""}"#.len() + 36;

/// Both in turns.
pub fn run(bench: &Bench) -> Result<Outcome> {
    let once = |config: Option<&str>, metadata| {
        let target = bench.start_with(&Setup { config: config.map(str::to_owned), ..Setup::default() })?;
        let shape = Shape { metadata, ..shape(bench, Encoding::Binary) };
        let measured = drive::run(&target, shape, FOUR_IN_FLIGHT, bench.scale.saturated);
        measured.with_context(|| format!("with {metadata} bytes of metadata"))
    };
    let (kept, none) = bench.in_turns(|| once(Some(KEPT), METADATA), || once(None, 0))?;
    let both = |number: fn(&Measured) -> f64| (median_of(&kept, number), median_of(&none, number));
    let (cpu, cpu_without) = both(|run| run.cpu_micros_per_delivery);
    let (delivered, delivered_without) = both(|run| run.deliveries_per_second);
    let (share, share_without) = both(|run| 100.0 * run.cpu_share);
    let rows = vec![
        Row::against("CPU µs/delivery, to none kept", cpu, cpu_without, Goal::RatioAtMost(1.15)),
        Row::against("delivered/s", delivered, delivered_without, Goal::None),
        Row::against("% of its core", share, share_without, Goal::None),
    ];
    Ok(Outcome { rows, runs: runs_json(&kept, &none) })
}
