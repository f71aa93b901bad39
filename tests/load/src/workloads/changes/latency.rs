//! One subscriber, and a row every 50 ms: from just before the commit until it has arrived.

use anyhow::Result;
use serde_json::json;

use super::super::database::arrivals::Arrivals;
use super::super::database::commits::{commit_all, messages, quantile};
use super::{Bench, PublishedTables, binding, frames, insert_notes, subscribe, subscriber};
use crate::report::{Goal, Outcome, Row};
use crate::swarm::Swarm;

/// A fresh server each time.
pub fn run(bench: &Bench) -> Result<Outcome> {
    let (tables, messages) = (PublishedTables::start(bench)?, messages(bench));
    let run = |_| {
        let target = tables.serve(bench)?;
        let mut swarm = Swarm::new()?;
        subscribe(&mut swarm, &target, vec![subscriber(&target, 0, &[binding("notes")])?])?;
        let arrivals = Arrivals::at_all(1, 1, messages, frames::row);
        let insert = |number| insert_notes("notes", (number as usize, number as usize), 1);
        commit_all(&mut tables.session()?, &mut swarm, arrivals, messages, insert)
    };
    let runs = (0..bench.scale.runs).map(run).collect::<Result<Vec<_>>>()?;
    let rows = vec![
        Row::alone("ms from commit to client, p50", quantile(&runs, 0.5), Goal::AtMost(5.0)),
        Row::alone("ms from commit to client, p99", quantile(&runs, 0.99), Goal::AtMost(25.0)),
        Row::alone("ms, the slowest", quantile(&runs, 1.0), Goal::None),
    ];
    Ok(Outcome { rows, runs: json!(runs) })
}
