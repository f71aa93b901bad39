//! Rows as fast as they are written, without row level security: to one subscriber to all of them, and to ten thousand
//! subscriptions to different values, of which each row is for one.

use anyhow::Result;
use serde_json::{Value, json};

use super::super::database::arrivals::Arrivals;
use super::burst::{self, Burst, Rows};
use super::{Bench, PublishedTables, binding, frames, insert_notes, subscribe, subscriber};
use crate::report::{Goal, Outcome, Row, median};
use crate::swarm::Swarm;

const DELIVERED: f64 = 40_000.0;

/// Subscriptions to different values, and how many of them one channel has.
const FILTERS: usize = 10_000;
const FILTERS_EACH: usize = 10;

/// One subscriber.
pub fn run(bench: &Bench) -> Result<Outcome> {
    let tables = PublishedTables::start(bench)?;
    let runs = (0..bench.scale.runs).map(|_| to_one(bench, &tables)).collect::<Result<Vec<_>>>()?;
    let of = |number: fn(&Burst) -> f64| median(runs.iter().map(number));
    let rows = vec![
        Row::alone("delivered/s", of(|run| run.delivered), Goal::AtLeast(DELIVERED)),
        Row::alone("written/s", of(|run| run.written), Goal::None),
        Row::alone("CPU µs of the server each", of(|run| run.cpu_micros), Goal::None),
    ];
    Ok(Outcome { rows, runs: delivered(&runs) })
}

/// Ten thousand subscriptions, beside one.
pub fn filters(bench: &Bench) -> Result<Outcome> {
    let tables = PublishedTables::start(bench)?;
    let (many, one) = bench.in_turns(|| to_filters(bench, &tables), || to_one(bench, &tables))?;
    let of = |runs: &[Burst], number: fn(&Burst) -> f64| median(runs.iter().map(number));
    let both = |number| (of(&many, number), of(&one, number));
    let (delivered_to_many, delivered_to_one) = both(|run| run.delivered);
    let (cpu, cpu_of_one) = both(|run| run.cpu_micros);
    let goal = Goal::RatioAtLeast(0.5);
    let rows = vec![
        Row::against("delivered/s, to one", delivered_to_many, delivered_to_one, goal),
        Row::against("CPU µs of the server each", cpu, cpu_of_one, Goal::None),
    ];
    Ok(Outcome { rows, runs: json!({"filters": delivered(&many), "one": delivered(&one)}) })
}

fn delivered(runs: &[Burst]) -> Value {
    runs.iter().map(|run| run.delivered).collect()
}

fn rows(bench: &Bench) -> Rows {
    Rows { count: 200_000 / bench.scale.fewer.pow(2), each: 1_000 }
}

fn to_one(bench: &Bench, tables: &PublishedTables) -> Result<Burst> {
    let (mut target, rows) = (tables.serve(bench)?, rows(bench));
    let mut swarm = Swarm::new()?;
    subscribe(&mut swarm, &target, vec![subscriber(&target, 0, &[binding("notes")])?])?;
    let arrivals = Arrivals::at_all(1, 1, rows.count, frames::row);
    let insert = |first, last| insert_notes("notes", (first, last), 1);
    burst::write((&mut target, &mut swarm), arrivals, tables.session()?, rows, insert)
}

fn to_filters(bench: &Bench, tables: &PublishedTables) -> Result<Burst> {
    let (mut target, rows) = (tables.serve(bench)?, rows(bench));
    let filters = FILTERS / bench.scale.fewer;
    let clients = filters / FILTERS_EACH;
    let entry = |client| {
        let values = (client..filters).step_by(clients);
        let filtered = |value| {
            let mut filtered = binding("notes");
            filtered["filter"] = json!(format!("room=eq.{value}"));
            filtered
        };
        subscriber(&target, client, &values.map(filtered).collect::<Vec<_>>())
    };
    let entries = (0..clients).map(entry).collect::<Result<Vec<_>>>()?;
    let mut swarm = Swarm::new()?;
    subscribe(&mut swarm, &target, entries)?;
    let arrivals = Arrivals::in_turn(clients, rows.count, frames::row);
    let insert = |first, last| insert_notes("notes", (first, last), filters);
    burst::write((&mut target, &mut swarm), arrivals, tables.session()?, rows, insert)
}
