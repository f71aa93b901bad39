//! `realtime.send`, twenty times a second, to a thousand members: from just before the commit to the last member.
//!
//! The floor's side is one frame to as many members, which is written a thousand times.

use std::time::Instant;

use anyhow::Result;
use serde_json::json;

use super::arrivals::{Arrivals, EVENT, broadcast_from_database, broadcast_of_floor};
use super::commits::{Times, commit_all, messages, quantile, send_all, turn_until};
use super::{Bench, JOINED_MAX, ROOM, TenantDatabase};
use crate::entry::Entry;
use crate::floor::Style;
use crate::machine::Deadline;
use crate::message::{Encoding, PAYLOAD, Privacy};
use crate::report::{Goal, Outcome, Row};
use crate::server::{Kind, Target};
use crate::session::Session;
use crate::swarm::Swarm;

/// What of three times the floor's time PostgreSQL and the reading of its log may take, in milliseconds.
const DATABASE_MAX: f64 = 10.0;

/// Broadcasts from the database beside frames of the floor.
pub fn run(bench: &Bench) -> Result<Outcome> {
    let database = TenantDatabase::start(bench)?;
    let ours = || {
        let target = database.serve(bench)?;
        database.connect(&target)?;
        of_database(bench, &database, &target)
    };
    let floor = || of_floor(bench, &bench.start(Kind::Floor(Style::Single))?);
    let (ours, floor) = bench.in_turns(ours, floor)?;
    let once = quantile(&floor, 0.5);
    let goal = Goal::AtMost((3.0 * once + DATABASE_MAX).round());
    let rows = vec![
        Row::against("ms commit to last, p99; floor p50", quantile(&ours, 0.99), once, goal),
        Row::against("ms commit to last, p50", quantile(&ours, 0.5), once, Goal::None),
        Row::against("ms, the slowest", quantile(&ours, 1.0), quantile(&floor, 1.0), Goal::None),
    ];
    Ok(Outcome { rows, runs: json!({"ours": ours, "floor": floor}) })
}

fn members(bench: &Bench) -> usize {
    1000 / bench.scale.fewer
}

fn of_database(bench: &Bench, database: &TenantDatabase, target: &Target) -> Result<Times> {
    let (members, messages) = (members(bench), messages(bench));
    let mut arrivals = Arrivals::at_all(members, members, messages, broadcast_from_database);
    let entry = |member| Ok(target.entry_with(&target.token(member)?, ROOM.0, Privacy::Private));
    let mut swarm = enter(target, (0..members).map(entry), &mut arrivals)?;
    let mut session = Session::connect(&database.database)?;
    let (filling, room) = ("x".repeat(PAYLOAD - 60), ROOM.1);
    commit_all(&mut session, &mut swarm, arrivals, messages, |number| {
        format!(r#"SELECT realtime.send('{{"n":{number},"x":"{filling}"}}', '{EVENT}', '{room}')"#)
    })
}

fn of_floor(bench: &Bench, target: &Target) -> Result<Times> {
    let (members, messages) = (members(bench), messages(bench));
    // Of the floor's rooms one member sends.
    let mut arrivals = Arrivals::at_all(members + 1, members, messages, broadcast_of_floor);
    let mut swarm = enter(target, (0..=members).map(|_| Ok(Entry::floor(ROOM.0))), &mut arrivals)?;
    let broadcast = target.broadcast(Encoding::Binary, ROOM.0, PAYLOAD);
    let mut frame = Vec::new();
    send_all(&mut swarm, arrivals, messages, |swarm, arrivals, number, due| {
        turn_until(swarm, arrivals, due)?;
        frame.clear();
        broadcast.append_to(&mut frame, number, 0);
        let from = Instant::now();
        swarm.send(0, &frame)?;
        Ok(from)
    })
}

fn enter(
    target: &Target,
    entries: impl Iterator<Item = Result<Entry>>,
    arrivals: &mut Arrivals,
) -> Result<Swarm> {
    let entries = entries.collect::<Result<Vec<_>>>()?;
    let mut swarm = Swarm::new()?;
    swarm.enter(target.address, entries, arrivals, Deadline::after(JOINED_MAX))?;
    Ok(swarm)
}
