//! Inserts into a published table that no client watches, while another one is watched, beside the same inserts while no server
//! reads, and while `pg_recvlogical` reads them and writes nothing.

use anyhow::Result;
use serde_json::json;

use super::super::database::arrivals::Arrivals;
use super::super::database::commits::commit_all;
use super::{Bench, PublishedTables, binding, frames, insert_notes, subscribe, subscriber};
use crate::pgbench::{Pgbench, Script};
use crate::process;
use crate::recvlogical::Discarded;
use crate::report::{Goal, Outcome, Row, median};
use crate::swarm::Swarm;

/// How much longer an insert may take.
const GOAL: Goal = Goal::RatioAtMost(1.5);

/// One row in each transaction.
const SINGLE: &str = "\\set n :n + 1\nINSERT INTO unwatched VALUES (:n, 0, repeat('x', 100));\n";

/// A thousand.
const MANY: &str = "\\set n :n + 1\nINSERT INTO unwatched \
    SELECT n, 0, repeat('x', 100) FROM generate_series(:n * 1000, :n * 1000 + 999) AS n;\n";

/// Transactions per second, and processor time of the server for each.
struct Written {
    rate: f64,
    cpu_micros: f64,
}

/// Transactions of one row, and of a thousand.
pub fn run(bench: &Bench) -> Result<Outcome> {
    let tables = PublishedTables::start(bench)?;
    let fewer = bench.scale.fewer;
    let mut rows = Vec::new();
    let mut runs = Vec::new();
    for (text, transactions, unit) in [(SINGLE, 10_000 / fewer, "row"), (MANY, 400 / fewer, "1,000 rows")] {
        let script = Script { text, connections: 1, transactions, variables: &["n=-1"], session: "" };
        let (watched, alone) =
            bench.in_turns(|| beside_watched(bench, &tables, &script), || alone(bench, &tables, &script))?;
        let micros = |rates: &[f64]| median(rates.iter().map(|rate| 1e6 / rate));
        let rates: Vec<f64> = watched.iter().map(|run| run.rate).collect();
        let discarded = (0..bench.scale.runs).map(|_| discarded(bench, &tables, &script));
        let discarded = discarded.collect::<Result<Vec<_>>>()?;
        let cpu = median(watched.iter().map(|run| run.cpu_micros));
        let measure = format!("µs for {unit}, no slot");
        rows.push(Row::against(&measure, micros(&rates), micros(&alone), GOAL));
        rows.push(Row::against(
            &format!("µs for {unit}, discarded"),
            micros(&discarded),
            micros(&alone),
            Goal::None,
        ));
        rows.push(Row::alone(&format!("CPU µs of the server for {unit}"), cpu, Goal::None));
        runs.push(json!({"watched": rates, "alone": alone, "discarded": discarded}));
    }
    Ok(Outcome { rows, runs: json!(runs) })
}

fn beside_watched(bench: &Bench, tables: &PublishedTables, script: &Script<'_>) -> Result<Written> {
    let target = tables.serve(bench)?;
    let mut swarm = Swarm::new()?;
    subscribe(&mut swarm, &target, vec![subscriber(&target, 0, &[binding("notes")])?])?;
    let cpu = process::cpu(target.pid())?;
    let rate = Pgbench::start(bench.cores, &tables.database.database, script)?.rate()?;
    // What is watched arrives after all the rest, and nothing else does.
    let arrivals = Arrivals::at_all(1, 1, 1, frames::row);
    let insert = |number| insert_notes("notes", (number as usize, number as usize), 1);
    commit_all(&mut tables.session()?, &mut swarm, arrivals, 1, insert)?;
    let cpu = process::cpu(target.pid())? - cpu;
    Ok(Written { rate, cpu_micros: cpu.as_secs_f64() * 1e6 / script.transactions as f64 })
}

/// What the least that any reader can do costs: the database decodes the rows once, and nothing comes of it.
fn discarded(bench: &Bench, tables: &PublishedTables, script: &Script<'_>) -> Result<f64> {
    tables.database.until_no_slot()?;
    tables.session()?.run("TRUNCATE unwatched")?;
    let _reader = Discarded::start(bench.cores, &tables.database.database, "supabase_realtime")?;
    Pgbench::start(bench.cores, &tables.database.database, script)?.rate()
}

fn alone(bench: &Bench, tables: &PublishedTables, script: &Script<'_>) -> Result<f64> {
    tables.database.until_no_slot()?;
    tables.session()?.run("TRUNCATE unwatched")?;
    Pgbench::start(bench.cores, &tables.database.database, script)?.rate()
}
