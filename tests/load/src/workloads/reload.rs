//! A configuration with a thousand tenants is edited while clients are served.
//!
//! Measured are the time from the edit until the server logs the change, and the effect on connected clients. So the same paced fan-out runs on the same server quiet and edited, in
//! turns, and its worst latencies are compared. An edit changes one limit of every tenant.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::Bench;
use crate::drive::{self, Drive, median_of};
use crate::machine::Deadline;
use crate::message::Encoding;
use crate::report::{Goal, Outcome, Row, median};
use crate::server::Target;
use crate::setup::Setup;
use crate::traffic::Shape;

/// From one edit to the next.
const PAUSE: Duration = Duration::from_millis(500);

/// The log line of applied settings.
const APPLIED: &str = "Settings have changed";

/// Quiet and edited in turns, each on a fresh server.
pub fn run(bench: &Bench) -> Result<Outcome> {
    let shape = Shape::one_sender(1, 1000 / bench.scale.fewer, Encoding::Text);
    let paced = Drive::Paced { interval: Duration::from_millis(20) };
    let tenants = 1000 / bench.scale.fewer;
    let (mut quiet, mut edited, mut reloads) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..bench.scale.runs {
        let target = start(bench, tenants)?;
        quiet.push(drive::run(&target, shape, paced, bench.scale.paced)?);
        let target = start(bench, tenants)?;
        let done = AtomicBool::new(false);
        let (measured, times) = std::thread::scope(|scope| {
            let editor = scope.spawn(|| edit_until(&done, &target, tenants));
            let measured = drive::run(&target, shape, paced, bench.scale.paced);
            done.store(true, Ordering::Relaxed);
            (measured, editor.join().expect("the editor does not panic"))
        });
        edited.push(measured?);
        let times = times?;
        ensure!(!times.is_empty(), "not one edit was followed");
        reloads.extend(times);
    }
    let p99 = |runs: &[_]| median_of(runs, |run: &drive::Measured| run.p99_micros);
    let rows = vec![
        Row::alone("ms from edit to effect", median(reloads.iter().copied()), Goal::AtMost(200.0)),
        Row::alone("ms, the slowest", reloads.iter().copied().fold(0.0, f64::max), Goal::None),
        Row::against("p99 µs, edited to quiet", p99(&edited), p99(&quiet), Goal::RatioAtMost(1.5)),
    ];
    let list = |runs: &[drive::Measured]| runs.iter().map(drive::Measured::json).collect::<Vec<_>>();
    let runs = json!({"quiet": list(&quiet), "edited": list(&edited), "reloads_ms": reloads});
    Ok(Outcome { rows, runs })
}

fn start(bench: &Bench, tenants: usize) -> Result<Target> {
    let setup = Setup { config: Some(config(tenants, 0)), ..Setup::default() };
    bench.start_with(&setup)
}

/// So many tenants, each with a secret and a limit of its own.
fn config(tenants: usize, edit: usize) -> String {
    let mut text = String::new();
    for tenant in 0..tenants {
        let limit = 100 + edit;
        write!(
            text,
            "[tenants.tenant-{tenant:04}]\nauth.jwt_secret = \"secret-of-tenant-{tenant:04}-0123456789abcdef\"\n\
             limits.max_joins_per_second = {limit}\n\n"
        )
        .expect("a string takes everything");
    }
    text
}

/// Edits the file, waits for the log line, pauses. Returns the milliseconds of each edit.
fn edit_until(done: &AtomicBool, target: &Target, tenants: usize) -> Result<Vec<f64>> {
    let (file, log) = (target.config_file(), target.log_file());
    let mut times = Vec::new();
    let mut edit = 0;
    while !done.load(Ordering::Relaxed) {
        std::thread::sleep(PAUSE);
        edit += 1;
        let draft = file.with_extension("draft");
        fs::write(&draft, config(tenants, edit)).context("cannot write the edited file")?;
        let from = Instant::now();
        fs::rename(&draft, &file).context("cannot rename the edited file")?;
        let deadline = Deadline::after(Duration::from_secs(10));
        while applied_count(&log)? < edit {
            deadline.check(|| format!("edit {edit} was not followed"))?;
            std::thread::sleep(Duration::from_millis(2));
        }
        times.push(from.elapsed().as_secs_f64() * 1e3);
    }
    Ok(times)
}

fn applied_count(log: &Path) -> Result<usize> {
    Ok(fs::read_to_string(log).context("the server has a log")?.matches(APPLIED).count())
}
