//! Rows written as fast as one session of PostgreSQL writes them, until the last one has arrived.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::super::database::arrivals::Arrivals;
use crate::machine::Deadline;
use crate::process;
use crate::server::Target;
use crate::session::Session;
use crate::swarm::Swarm;

/// How long it may take.
const ARRIVED_MAX: Duration = Duration::from_secs(180);

/// Rows and how many of them a transaction has.
#[derive(Debug, Clone, Copy)]
pub struct Rows {
    pub count: usize,
    pub each: usize,
}

/// A run.
pub struct Burst {
    /// Rows per second, from the first statement until the last row has arrived.
    pub delivered: f64,
    /// Rows per second, until the last transaction is committed.
    pub written: f64,
    /// Processor time of the server for each row.
    pub cpu_micros: f64,
}

/// Writes the rows with `insert`, which is given the first and the last number of a transaction. All of them have to arrive.
pub fn write(
    (target, swarm): (&mut Target, &mut Swarm),
    mut arrivals: Arrivals,
    mut session: Session,
    rows: Rows,
    insert: impl Fn(usize, usize) -> String,
) -> Result<Burst> {
    let Rows { count, each } = rows;
    let transaction = |first| format!("BEGIN; {}; COMMIT;", insert(first, (first + each).min(count) - 1));
    let statements: String = (0..count).step_by(each).map(transaction).collect();
    let (cpu, from, deadline) = (process::cpu(target.pid())?, Instant::now(), Deadline::after(ARRIVED_MAX));
    session.start(&statements)?;
    let mut written = None;
    while written.is_none() || !arrivals.is_over() {
        deadline.check(|| arrivals.progress())?;
        // The client sleeps between messages: PostgreSQL needs its core too.
        swarm.turn(Some(Duration::from_millis(5)), &mut arrivals)?;
        if written.is_none() && session.has_ended()? {
            written = Some(from.elapsed());
        }
    }
    target.check_alive()?;
    let last = arrivals.times()?.into_iter().max().context("nothing was written")?;
    let per_second = |time: Duration| count as f64 / time.as_secs_f64();
    Ok(Burst {
        delivered: per_second(last.duration_since(from)),
        written: per_second(written.context("it has ended")?),
        cpu_micros: (process::cpu(target.pid())? - cpu).as_secs_f64() * 1e6 / count as f64,
    })
}
