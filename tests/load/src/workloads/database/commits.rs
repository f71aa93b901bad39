//! Transactions that are committed by the clock: from just before each commit until its message has reached the last receiver.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::super::Bench;
use super::arrivals::Arrivals;
use crate::machine::Deadline;
use crate::session::Session;
use crate::swarm::Swarm;

/// From one message to the next.
const INTERVAL: Duration = Duration::from_millis(50);

/// How long messages may take to arrive once all were sent.
const ARRIVED_MAX: Duration = Duration::from_secs(10);

/// Milliseconds of each message of a run.
pub type Times = Vec<f64>;

/// Two hundred, or as many as a short run has.
pub fn messages(bench: &Bench) -> usize {
    2 * bench.scale.paced.window.as_millis() as usize / INTERVAL.as_millis() as usize
}

/// Commits what `statement` writes for each number, one per interval.
pub fn commit_all(
    session: &mut Session,
    swarm: &mut Swarm,
    arrivals: Arrivals,
    messages: usize,
    statement: impl Fn(u32) -> String,
) -> Result<Times> {
    send_all(swarm, arrivals, messages, |swarm, arrivals, number, due| {
        session.start(&format!("BEGIN; {}", statement(number)))?;
        turn_until_ended(swarm, arrivals, session)?;
        turn_until(swarm, arrivals, due)?;
        let from = Instant::now();
        session.start("COMMIT")?;
        turn_until_ended(swarm, arrivals, session)?;
        Ok(from)
    })
}

/// Sends so many messages, one per interval. `send` is given when the next one is due, and returns when it has begun.
pub fn send_all(
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
    let complete = arrivals.times()?;
    let taken = sent.iter().zip(&complete).map(|(sent, complete)| complete.duration_since(*sent));
    Ok(taken.map(|time| time.as_secs_f64() * 1e3).collect())
}

/// Turns without a pause until it is time.
pub fn turn_until(swarm: &mut Swarm, arrivals: &mut Arrivals, due: Instant) -> Result<()> {
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
pub fn quantile(runs: &[Times], share: f64) -> f64 {
    let mut all: Vec<f64> = runs.iter().flatten().copied().collect();
    all.sort_by(f64::total_cmp);
    let rank = (share * all.len() as f64).ceil() as usize;
    all.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}
