//! From spawn to the first accepted connection with a 200 from `/health`.

use anyhow::Result;
use serde_json::json;

use super::Bench;
use crate::report::{Goal, Outcome, Row, median};
use crate::server::Kind;

/// Starts it a few times.
pub fn run(bench: &Bench) -> Result<Outcome> {
    let times = (0..bench.scale.starts)
        .map(|_| Ok(bench.start(Kind::Server)?.started_in.as_secs_f64() * 1e3))
        .collect::<Result<Vec<_>>>()?;
    let row = Row::alone("ms to accepting", median(times.iter().copied()), Goal::AtMost(50.0));
    Ok(Outcome { rows: vec![row], runs: json!({"milliseconds": times}) })
}
