//! `realtime.send`, twenty times a second, to a thousand members: from just before the commit to the last member.
//!
//! The floor's side is one frame to as many members, which is written a thousand times.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::json;

use super::arrivals::{Arrivals, EVENT, number_of_row};
use super::{Bench, JOINED_MAX, ROOM, TenantDatabase};
use crate::entry::Entry;
use crate::floor::Style;
use crate::machine::Deadline;
use crate::message::{self, Encoding, PAYLOAD, Privacy};
use crate::report::{Goal, Outcome, Row};
use crate::server::{Kind, Target};
use crate::session::Session;
use crate::swarm::Swarm;

/// From one message to the next.
const INTERVAL: Duration = Duration::from_millis(50);

/// How long messages may take to arrive once all were sent.
const ARRIVED_MAX: Duration = Duration::from_secs(10);

/// What of three times the floor's time PostgreSQL and the reading of its log may take, in milliseconds.
const DATABASE_MAX: f64 = 10.0;

/// Milliseconds of each message of a run.
type Times = Vec<f64>;

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

/// Two hundred, or as many as a short run has.
fn messages(bench: &Bench) -> usize {
    2 * bench.scale.paced.window.as_millis() as usize / INTERVAL.as_millis() as usize
}

fn of_database(bench: &Bench, database: &TenantDatabase, target: &Target) -> Result<Times> {
    let (members, messages) = (members(bench), messages(bench));
    let mut arrivals = Arrivals::new(members, members, messages, number_of_row);
    let entry = |member| Ok(target.entry_with(&target.token(member)?, ROOM.0, Privacy::Private));
    let mut swarm = enter(target, (0..members).map(entry), &mut arrivals)?;
    let mut session = Session::connect(&database.database)?;
    let filling = "x".repeat(PAYLOAD - 60);
    send_all(&mut swarm, arrivals, messages, |swarm, arrivals, number, due| {
        let room = ROOM.1;
        session.start(&format!(
            r#"BEGIN; SELECT realtime.send('{{"n":{number},"x":"{filling}"}}', '{EVENT}', '{room}')"#
        ))?;
        turn_until_ended(swarm, arrivals, &mut session)?;
        turn_until(swarm, arrivals, due)?;
        let from = Instant::now();
        session.start("COMMIT")?;
        turn_until_ended(swarm, arrivals, &mut session)?;
        Ok(from)
    })
}

fn of_floor(bench: &Bench, target: &Target) -> Result<Times> {
    let (members, messages) = (members(bench), messages(bench));
    // Of the floor's rooms one member sends.
    let mut arrivals =
        Arrivals::new(members + 1, members, messages, |payload| Some(message::number(payload)));
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

/// Sends so many messages, one per interval. `send` is given when the next one is due, and returns when it has begun.
fn send_all(
    swarm: &mut Swarm,
    mut arrivals: Arrivals,
    messages: usize,
    mut send: impl FnMut(&mut Swarm, &mut Arrivals, u32, Instant) -> Result<Instant>,
) -> Result<Times> {
    let mut due = Instant::now();
    let mut sent = Vec::new();
    for number in 0..messages {
        due += INTERVAL;
        sent.push(send(swarm, &mut arrivals, number as u32, due)?);
    }
    swarm.turn_until(&mut arrivals, Deadline::after(ARRIVED_MAX), Arrivals::progress, Arrivals::is_over)?;
    arrivals.check()?;
    let taken = sent.iter().zip(&arrivals.complete).map(|(sent, complete)| complete.duration_since(*sent));
    Ok(taken.map(|time| time.as_secs_f64() * 1e3).collect())
}

fn turn_until(swarm: &mut Swarm, arrivals: &mut Arrivals, due: Instant) -> Result<()> {
    while Instant::now() < due {
        swarm.turn(Some(Duration::ZERO), arrivals)?;
    }
    Ok(())
}

fn turn_until_ended(swarm: &mut Swarm, arrivals: &mut Arrivals, session: &mut Session) -> Result<()> {
    let deadline = Deadline::after(ARRIVED_MAX);
    while !session.has_ended()? {
        deadline.check(|| "PostgreSQL does not answer".to_owned())?;
        swarm.turn(Some(Duration::ZERO), arrivals)?;
    }
    Ok(())
}

/// Of all messages of all runs: the smallest time that this share of them do not exceed.
fn quantile(runs: &[Times], share: f64) -> f64 {
    let mut all: Vec<f64> = runs.iter().flatten().copied().collect();
    all.sort_by(f64::total_cmp);
    let rank = (share * all.len() as f64).ceil() as usize;
    all.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}
