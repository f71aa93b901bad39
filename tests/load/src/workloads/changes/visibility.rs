//! A thousand subscribers with claims of their own, under row level security: each row is visible to one of them.
//!
//! The «floor» is the documented algorithm of Supabase Realtime in the same PostgreSQL, which must not be slower than it was
//! measured to be upstream.

use anyhow::Result;
use serde_json::json;

use super::super::database::arrivals::Arrivals;
use super::super::database::commits::{Times, commit_all, messages, quantile};
use super::burst::{self, Burst, Rows};
use super::{Bench, PublishedTables, ROOM, binding, documented, frames, subscribe};
use crate::report::{Goal, Outcome, Row, median};
use crate::server::Target;
use crate::swarm::Swarm;

/// Milliseconds that upstream was measured to take for a change with a thousand subscribers.
const UPSTREAM_MS: f64 = 30.0;

/// How often faster than the documented algorithm.
const TIMES_FASTER: f64 = 20.0;

/// Rows that the documented algorithm is measured with.
const DOCUMENTED_ROWS: usize = 40;

/// The policy as Supabase recommends it, and as it is often written.
const WRAPPED: &str = "ALTER POLICY own ON private_notes USING ((SELECT auth.uid()) = user_id)";
const UNWRAPPED: &str = "ALTER POLICY own ON private_notes USING (auth.uid() = user_id)";

/// The user of the number `n`, in SQL.
const USER: &str = "('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))";

/// Both forms of the policy beside the documented algorithm, and single rows.
pub fn run(bench: &Bench) -> Result<Outcome> {
    let tables = PublishedTables::start(bench)?;
    let members = members(bench);
    documented::install(&mut tables.session()?, members, USER)?;
    let ours = |policy: &str| {
        tables.session()?.run(policy)?;
        burst(bench, &tables)
    };
    // Of rows that are there, since the last run of ours or the first one.
    let (count, insert) = (DOCUMENTED_ROWS / bench.scale.fewer, insert(members));
    tables.session()?.run(&insert(0, count - 1))?;
    let documented = || documented::milliseconds_each(&mut tables.session()?, count);
    let (wrapped, documented) = bench.in_turns(|| ours(WRAPPED), documented)?;
    let runs = || 0..bench.scale.runs;
    let unwrapped = runs().map(|_| ours(UNWRAPPED)).collect::<Result<Vec<_>>>()?;
    tables.session()?.run(WRAPPED)?;
    let single = runs().map(|_| single_rows(bench, &tables)).collect::<Result<Vec<_>>>()?;

    let of = |runs: &[Burst], number: fn(&Burst) -> f64| median(runs.iter().map(number));
    let milliseconds = median(documented.iter().copied());
    let (delivered, cpu) = (of(&wrapped, |run| run.delivered), of(&wrapped, |run| run.cpu_micros));
    let rows = vec![
        Row::against(
            "delivered/s, documented",
            delivered,
            1e3 / milliseconds,
            Goal::RatioAtLeast(TIMES_FASTER),
        ),
        Row::alone("ms each as documented", milliseconds, Goal::AtMost(UPSTREAM_MS)),
        Row::alone("delivered/s, auth.uid() for each row", of(&unwrapped, |run| run.delivered), Goal::None),
        Row::alone("CPU µs of the server each", cpu, Goal::None),
        Row::alone("ms from commit to client, p99", quantile(&single, 0.99), Goal::None),
        Row::alone("ms from commit to client, p50", quantile(&single, 0.5), Goal::None),
    ];
    let list = |runs: &[Burst]| runs.iter().map(|run| run.delivered).collect::<Vec<_>>();
    let runs = json!({
        "wrapped": list(&wrapped), "unwrapped": list(&unwrapped), "documented_ms": documented, "single_ms": single,
    });
    Ok(Outcome { rows, runs })
}

fn members(bench: &Bench) -> usize {
    1000 / bench.scale.fewer
}

/// Each row is of the user whose number is its own modulo the members.
fn insert(members: usize) -> impl Fn(usize, usize) -> String {
    move |first, last| {
        format!(
            "INSERT INTO private_notes SELECT key, {USER}::uuid, repeat('x', 100)
             FROM generate_series({first}, {last}) AS key, LATERAL (SELECT key % {members}) AS number (n)"
        )
    }
}

fn subscribe_all(target: &Target, members: usize) -> Result<Swarm> {
    let entry = |member| {
        let token = target.user_token(&format!("00000000-0000-4000-8000-{member:012}"))?;
        Ok(target.subscriber(&token, ROOM.0, &[binding("private_notes")]))
    };
    let entries = (0..members).map(entry).collect::<Result<Vec<_>>>()?;
    let mut swarm = Swarm::new()?;
    subscribe(&mut swarm, target, entries)?;
    Ok(swarm)
}

fn burst(bench: &Bench, tables: &PublishedTables) -> Result<Burst> {
    let (mut target, members) = (tables.serve(bench)?, members(bench));
    let mut swarm = subscribe_all(&target, members)?;
    let rows = Rows { count: 10_000 / bench.scale.fewer.pow(2), each: 100 };
    let arrivals = Arrivals::in_turn(members, rows.count, frames::row);
    burst::write((&mut target, &mut swarm), arrivals, tables.session()?, rows, insert(members))
}

/// One row every 50 ms.
fn single_rows(bench: &Bench, tables: &PublishedTables) -> Result<Times> {
    let (target, members, messages) = (tables.serve(bench)?, members(bench), messages(bench));
    let mut swarm = subscribe_all(&target, members)?;
    let (arrivals, insert) = (Arrivals::in_turn(members, messages, frames::row), insert(members));
    let statement = |number: u32| insert(number as usize, number as usize);
    commit_all(&mut tables.session()?, &mut swarm, arrivals, messages, statement)
}
