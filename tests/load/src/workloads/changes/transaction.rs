//! One transaction of a million rows, to one subscriber.
//!
//! With raised limits all of them arrive, in order, while a room of a thousand has broadcasts as in `paced`. With the limits as
//! the product ships, the subscriber is notified that the rest is dropped, and what is committed later arrives.
//!
//! PostgreSQL has the lowest priority: it is what the server does with the rows that is compared, not what PostgreSQL does on the
//! same two cores.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::super::database::arrivals::{Arrivals, Content};
use super::super::fanout;
use super::{Bench, PublishedTables, binding, frames, insert_notes, subscribe, subscriber};
use crate::connection::Listener;
use crate::drive;
use crate::machine::Deadline;
use crate::message::{Encoding, PAYLOAD};
use crate::process;
use crate::report::{Goal, Outcome, Row, median};
use crate::server::Target;
use crate::swarm::Swarm;
use crate::traffic::{Timing, Traffic};

const MEMORY_ALLOWED: f64 = 100.0;

/// From one broadcast to the next.
const INTERVAL: Duration = Duration::from_millis(20);

/// How long it may take.
const ARRIVED_MAX: Duration = Duration::from_secs(300);

/// The rate that the product ships with (`limits.max_events_per_second`).
const DEFAULT_RATE: usize = 10_000;

/// With raised limits.
struct Raised {
    p99_quiet: f64,
    p99_meanwhile: f64,
    delivered: f64,
    peak_mb: f64,
}

/// With those of the product.
struct Limited {
    notices: usize,
    delivered: usize,
    peak_mb: f64,
    /// Until a row that was committed later has arrived.
    seconds: f64,
}

/// Both, a fresh server each time.
pub fn run(bench: &Bench) -> Result<Outcome> {
    let tables = PublishedTables::start(bench)?;
    tables.database.database.lower_priority()?;
    let (raised, limited) = bench.in_turns(|| raised(bench, &tables), || limited(bench, &tables))?;
    let of = |number: fn(&Raised) -> f64| median(raised.iter().map(number));
    let of_limited = |number: fn(&Limited) -> f64| median(limited.iter().map(number));
    let worst = |values: &mut dyn Iterator<Item = f64>| values.fold(0.0, f64::max);
    let peak = worst(&mut raised.iter().map(|run| run.peak_mb));
    let peak_limited = worst(&mut limited.iter().map(|run| run.peak_mb));
    let notices = worst(&mut limited.iter().map(|run| run.notices as f64));
    let (p99, quiet) = (of(|run| run.p99_meanwhile), of(|run| run.p99_quiet));
    let rows = vec![
        Row::alone("delivered/s", of(|run| run.delivered), Goal::None),
        Row::against("p99 µs of broadcasts, quiet", p99, quiet, Goal::RatioAtMost(2.0)),
        Row::alone("MB over idle, worst peak", peak, Goal::AtMost(MEMORY_ALLOWED)),
        Row::alone("default limits: system messages, most", notices, Goal::AtMost(1.0)),
        Row::alone("default limits: delivered", of_limited(|run| run.delivered as f64), Goal::None),
        Row::alone("default limits: s until later rows", of_limited(|run| run.seconds), Goal::None),
        Row::alone("default limits: MB over idle, worst", peak_limited, Goal::AtMost(MEMORY_ALLOWED)),
    ];
    let list = |run: &Raised| json!([run.p99_quiet, run.p99_meanwhile, run.delivered, run.peak_mb]);
    let list_limited = |run: &Limited| json!([run.notices, run.delivered, run.seconds, run.peak_mb]);
    let runs = json!({
        "raised": raised.iter().map(list).collect::<Vec<_>>(),
        "limited": limited.iter().map(list_limited).collect::<Vec<_>>(),
    });
    Ok(Outcome { rows, runs })
}

fn rows(bench: &Bench) -> usize {
    1_000_000 / bench.scale.fewer.pow(2)
}

/// The broadcasts of a room, and the changes of a further client, in one loop.
struct Clients {
    swarm: Swarm,
    traffic: Traffic,
    changes: Arrivals,
    /// The number of the client with the changes.
    subscriber: usize,
    /// When the next broadcast is due.
    next_at: Instant,
}

fn raised(bench: &Bench, tables: &PublishedTables) -> Result<Raised> {
    let (target, rows) = (tables.serve(bench)?, rows(bench));
    let mut clients = Clients::enter(bench, &target, rows)?;
    let idle = process::anonymous_roughly(target.pid())?;
    clients.broadcast_for(bench.scale.paced.warm_up)?;
    clients.traffic.start_counting();
    clients.broadcast_for(bench.scale.paced.window)?;
    let p99_quiet = clients.p99_micros();

    let mut session = tables.session()?;
    session.start(&insert_notes("notes", (0, rows - 1), 1))?;
    let (mut peak, mut first, deadline) = (0, None, Deadline::after(ARRIVED_MAX));
    while !clients.changes.is_over() {
        deadline.check(|| clients.changes.progress())?;
        clients.broadcast_for(Duration::from_millis(10))?;
        peak = peak.max(process::anonymous_roughly(target.pid())?);
        if first.is_none() && clients.changes.count() > 0 {
            first = Some(Instant::now());
            clients.traffic.start_counting();
        }
    }
    session.wait()?;
    let p99_meanwhile = clients.p99_micros();
    clients.settle()?;
    let times = clients.changes.times()?;
    let (first, last) = (times.first().context("rows")?, times.last().context("rows")?);
    let delivered = rows as f64 / last.duration_since(*first).as_secs_f64();
    Ok(Raised { p99_quiet, p99_meanwhile, delivered, peak_mb: megabytes(peak, idle) })
}

impl Clients {
    fn enter(bench: &Bench, target: &Target, rows: usize) -> Result<Self> {
        let shape = fanout::shape(bench, Encoding::Text);
        let broadcast = |room| target.broadcast(shape.encoding, room, PAYLOAD);
        let mut traffic = Traffic::new(broadcast, shape, Timing::PerDelivery)?;
        let mut swarm = Swarm::new()?;
        drive::enter(&mut swarm, &[target], shape, &mut traffic)?;
        let token = target.token(shape.members)?;
        let entry = target.subscriber(&token, SUBSCRIBERS_ROOM, &[binding("notes")]);
        subscribe(&mut swarm, target, vec![entry])?;
        let changes = Arrivals::at_all(shape.members + 1, 1, rows, frames::row);
        Ok(Self { swarm, traffic, changes, subscriber: shape.members, next_at: Instant::now() })
    }

    /// Sends what is due. Sleeps while no broadcast is under way: PostgreSQL needs a core too.
    fn broadcast_for(&mut self, time: Duration) -> Result<()> {
        let Self { swarm, traffic, changes, subscriber, next_at } = self;
        let mut received = Arriving { traffic, changes, subscriber: *subscriber };
        let end = Instant::now() + time;
        while Instant::now() < end {
            while *next_at <= Instant::now() {
                received.traffic.send(swarm, 0, 1)?;
                *next_at += INTERVAL;
            }
            let is_quiet = received.traffic.in_flight() == 0;
            let wait = if is_quiet { next_at.duration_since(Instant::now()) } else { Duration::ZERO };
            swarm.turn(Some(wait), &mut received)?;
        }
        Ok(())
    }

    fn p99_micros(&self) -> f64 {
        self.traffic.latency.value_at_quantile(0.99) as f64 / 1e3
    }

    /// Waits for the broadcasts that are under way. None may be lost.
    fn settle(&mut self) -> Result<()> {
        let Self { swarm, traffic, changes, subscriber, .. } = self;
        let mut received = Arriving { traffic, changes, subscriber: *subscriber };
        let (progress, deadline) = ("broadcasts are under way", Deadline::after(Duration::from_secs(10)));
        swarm.turn_until(
            &mut received,
            deadline,
            |_| progress.to_owned(),
            |all| all.traffic.in_flight() == 0,
        )?;
        self.traffic.check()
    }
}

/// The room of the client with the changes, which is not that of the broadcasts.
const SUBSCRIBERS_ROOM: u32 = 1;

struct Arriving<'c> {
    traffic: &'c mut Traffic,
    changes: &'c mut Arrivals,
    subscriber: usize,
}

impl Listener for Arriving<'_> {
    fn arrived(&mut self) {
        self.traffic.arrived();
    }

    fn frame(&mut self, member: usize, kind: u8, body: &[u8]) {
        if member == self.subscriber {
            self.changes.frame(member, kind, body);
        } else {
            self.traffic.frame(member, kind, body);
        }
    }
}

fn limited(bench: &Bench, tables: &PublishedTables) -> Result<Limited> {
    let rows = rows(bench);
    let rate = (DEFAULT_RATE / bench.scale.fewer.pow(2)).to_string();
    let target = tables.serve_with(bench, vec![("REALTIME__LIMITS__MAX_EVENTS_PER_SECOND", rate)])?;
    let mut swarm = Swarm::new()?;
    subscribe(&mut swarm, &target, vec![subscriber(&target, 0, &[binding("notes")])?])?;
    let idle = process::anonymous_roughly(target.pid())?;
    let mut session = tables.session()?;
    session.start(&insert_notes("notes", (0, rows - 1), 1))?;
    let mut some = PartOfRows { later_from: rows as u32, ..PartOfRows::default() };
    let (mut peak, mut later, from) = (0, rows, Instant::now());
    let deadline = Deadline::after(ARRIVED_MAX);
    while !some.has_later && some.fault.is_none() {
        deadline.check(|| format!("{} of {rows} rows, {} notices", some.rows, some.notices))?;
        swarm.turn_for(Duration::from_millis(50), &mut some)?;
        peak = peak.max(process::anonymous_roughly(target.pid())?);
        // The first ones may still be over the rate.
        if session.has_ended()? {
            session.start(&insert_notes("notes", (later, later), 1))?;
            later += 1;
        }
    }
    ensure!(some.fault.is_none(), "unexpected: {}", some.fault.unwrap_or_default());
    ensure!(some.notices > 0 || some.rows >= rows, "rows are missing, and nothing was said");
    let seconds = from.elapsed().as_secs_f64();
    Ok(Limited { notices: some.notices, delivered: some.rows, peak_mb: megabytes(peak, idle), seconds })
}

/// A client that receives a part of the rows, in order.
#[derive(Default)]
struct PartOfRows {
    rows: usize,
    /// The number that the next row has at least.
    next: u32,
    notices: usize,
    /// Rows from this number on are committed later.
    later_from: u32,
    has_later: bool,
    fault: Option<String>,
}

impl Listener for PartOfRows {
    fn frame(&mut self, _: usize, kind: u8, body: &[u8]) {
        match frames::row(kind, body) {
            Content::Number(number) if number >= self.next => {
                self.next = number + 1;
                self.has_later |= number >= self.later_from;
                self.rows += usize::from(number < self.later_from);
            }
            Content::Other => {}
            Content::Unexpected if frames::is_over_rate(kind, body) => self.notices += 1,
            Content::Number(_) | Content::Unexpected => {
                self.fault.get_or_insert_with(|| String::from_utf8_lossy(body).into_owned());
            }
        }
    }
}

fn megabytes(peak: u64, idle: u64) -> f64 {
    peak.saturating_sub(idle) as f64 / 1e6
}
