//! A hundred thousand stored documents: how long a start takes, and the first open of one.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;

use super::Bench;
use super::client::timed_open;
use super::idle::{Stored, store_all};
use super::service::Service;
use crate::machine::Deadline;
use crate::report::{Goal, Outcome, Row, median};
use crate::server::fresh_folder;
use crate::swarm::Swarm;

const DOCUMENTS: usize = 100_000;

/// Connections that write documents at a time.
const AT_ONCE: usize = 500;

/// Letters in each.
const BYTES: usize = 200;

/// On a store that is written by one server, and read by another.
pub fn run(bench: &Bench) -> Result<Outcome> {
    let folder = fresh_folder()?;
    let outcome = measured(&folder, bench);
    std::fs::remove_dir_all(folder)?;
    outcome
}

fn measured(folder: &Path, bench: &Bench) -> Result<Outcome> {
    let start = || {
        let folder = ("REALTIME__SERVER__DATA_DIR", folder.join("data").display().to_string());
        Service::ours(bench, vec![folder, ("REALTIME__DOCUMENTS__UNLOAD_AFTER", "1s".to_owned())])
    };
    let documents = DOCUMENTS / bench.scale.fewer / bench.scale.fewer;
    write_all(&start()?, documents)?;
    let (mut starts, mut opens) = (Vec::new(), Vec::new());
    for run in 0..bench.scale.starts {
        let service = start()?;
        starts.push(service.started_in().as_secs_f64() * 1e3);
        let (update, milliseconds) = timed_open(&service, run * documents / bench.scale.starts)?;
        ensure!(update.len() > BYTES, "the document is not stored");
        opens.push(milliseconds);
    }
    let rows = vec![
        Row::alone("documents", documents as f64, Goal::None),
        Row::alone("ms to accepting", median(starts.iter().copied()), Goal::AtMost(1_000.0)),
        Row::alone("ms to the last byte of one", median(opens.iter().copied()), Goal::AtMost(20.0)),
    ];
    Ok(Outcome { rows, runs: json!({"documents": documents, "start_ms": starts, "open_ms": opens}) })
}

fn write_all(service: &Service, documents: usize) -> Result<()> {
    for first in (0..documents).step_by(AT_ONCE) {
        let (mut swarm, mut stored) = (Swarm::new()?, Stored::default());
        let deadline = Deadline::after(Duration::from_secs(30));
        let batch = first..documents.min(first + AT_ONCE);
        let members = batch.len();
        let entries = batch.map(|document| service.entry(document, document));
        swarm.enter(service.address, entries.collect::<Result<Vec<_>>>()?, &mut stored, deadline)?;
        store_all(&mut swarm, &mut stored, members, BYTES, deadline)?;
    }
    Ok(())
}
