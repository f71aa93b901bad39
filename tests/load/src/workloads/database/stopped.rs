//! A public room while the database of its tenant is stopped: `paced`, beside the same server without a database.

use std::time::Duration;

use anyhow::Result;

use super::super::{fanout, runs_json};
use super::{Bench, TenantDatabase};
use crate::drive::{self, Drive};
use crate::message::Encoding;
use crate::report::Outcome;
use crate::server::Kind;

/// The server has used the database, which ends before the members join, and tries to reach it meanwhile.
pub fn run(bench: &Bench) -> Result<Outcome> {
    let shape = fanout::shape(bench, Encoding::Text);
    let paced = Drive::Paced { interval: Duration::from_millis(20) };
    let stopped = || {
        let database = TenantDatabase::start(bench)?;
        let target = database.serve(bench)?;
        database.connect(&target)?;
        drop(database);
        target.wait_for_log("The database of the tenant cannot be used any more")?;
        drive::run(&target, shape, paced, bench.scale.paced)
    };
    let without = || drive::run(&bench.start(Kind::Server)?, shape, paced, bench.scale.paced);
    let (stopped, without) = bench.in_turns(stopped, without)?;
    let rows = fanout::paced_rows(&stopped, &without, 1.1, 1.2);
    Ok(Outcome { rows, runs: runs_json(&stopped, &without) })
}
