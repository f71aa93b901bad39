//! A neighbour that shouts: another tenant's thousand sockets send ten times what their limits allow.
//!
//! What is measured is the tenant next door: its fan-out by the clock while the neighbour is silent and while it
//! shouts, on one server, a second of this and a second of that. Each second has its own p99, and the median of
//! those is compared: what the machine does besides now and then meets few of them, what the neighbour does meets
//! all. The p99 of everything together stands beside it. The neighbour's messages are within its limits for a tenth;
//! the server has to deliver those, and to refuse the others cheaply.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::Bench;
use crate::connection::Listener;
use crate::machine::Deadline;
use crate::message::{self, Broadcast, PAYLOAD, opcode};
use crate::process;
use crate::report::{Goal, Outcome, Row, median};
use crate::server::{Kind, NEIGHBOUR_RATE, Target, topic};
use crate::swarm::Swarm;
use crate::traffic::{Shape, Traffic};

/// From one message of the quiet tenant to the next, as in `paced`.
const INTERVAL: Duration = Duration::from_millis(20);

/// How many times its limits the neighbour sends.
const TIMES_ITS_LIMIT: u32 = 10;

/// Sockets of the neighbour in one room.
const NEIGHBOURS_TOGETHER: usize = 10;

/// Before anything counts, the neighbour has spent what it may save up: ten seconds' worth, at ten times the rate.
const SAVINGS_SPENT: Duration = Duration::from_millis(1_500);

/// How long the neighbour is silent, or shouts, at a time.
const SLICE: Duration = Duration::from_secs(1);

/// Of each time, what is not counted yet: in a tenth of a second it spends what it has saved while it was silent.
const SETTLED: Duration = Duration::from_millis(200);

/// The quiet tenant with and without the noise.
struct Pair {
    silent: Measured,
    shouting: Measured,
    refused_per_second: f64,
}

/// What several slices have shown.
struct Measured {
    latency: Histogram<u64>,
    /// The p99 of each.
    p99_micros: Vec<f64>,
    /// How much of its core the server used, for both tenants, and for how long.
    cpu: Duration,
    time: Duration,
}

/// Pairs on fresh servers.
pub fn run(bench: &Bench) -> Result<Outcome> {
    let pairs = (0..bench.scale.runs)
        .map(|_| pair(bench, &bench.start(Kind::Server)?))
        .collect::<Result<Vec<_>>>()?;
    let of = |number: fn(&Pair) -> f64| median(pairs.iter().map(number));
    let p99 = (of(|pair| pair.shouting.p99_micros()), of(|pair| pair.silent.p99_micros()));
    let of_all = (of(|pair| pair.shouting.micros(0.99)), of(|pair| pair.silent.micros(0.99)));
    let p50 = (of(|pair| pair.shouting.micros(0.50)), of(|pair| pair.silent.micros(0.50)));
    let cpu = (of(|pair| 100.0 * pair.shouting.cpu_share()), of(|pair| 100.0 * pair.silent.cpu_share()));
    let rows = vec![
        Row::against("p99 µs to own quiet", p99.0, p99.1, Goal::RatioAtMost(1.2)),
        Row::against("p99 µs of all seconds", of_all.0, of_all.1, Goal::None),
        Row::against("p50 µs to own quiet", p50.0, p50.1, Goal::None),
        Row::against("% of its core", cpu.0, cpu.1, Goal::None),
        Row::alone("joins refused/s", of(|pair| pair.refused_per_second), Goal::None),
    ];
    Ok(Outcome { rows, runs: pairs.iter().map(Pair::json).collect() })
}

impl Pair {
    fn json(&self) -> Value {
        let measured = |of: &Measured| json!({"p50_micros": of.micros(0.50), "p99_micros_each": of.p99_micros, "p99_micros": of.micros(0.99), "cpu_share": of.cpu_share()});
        json!({
            "silent": measured(&self.silent), "shouting": measured(&self.shouting),
            "joins_refused_per_second": self.refused_per_second,
        })
    }
}

impl Measured {
    fn nothing() -> Result<Self> {
        let latency = Histogram::new_with_bounds(100, 60_000_000_000, 3)?;
        Ok(Self { latency, p99_micros: Vec::new(), cpu: Duration::ZERO, time: Duration::ZERO })
    }

    /// Of a usual slice.
    fn p99_micros(&self) -> f64 {
        median(self.p99_micros.iter().copied())
    }

    fn micros(&self, quantile: f64) -> f64 {
        self.latency.value_at_quantile(quantile) as f64 / 1000.0
    }

    fn cpu_share(&self) -> f64 {
        self.cpu.as_secs_f64() / self.time.as_secs_f64()
    }
}

fn pair(bench: &Bench, target: &Target) -> Result<Pair> {
    let shape = Shape { rooms: 1, receivers: 1000 / bench.scale.fewer };
    let mut quiet = Quiet::enter(target, shape)?;
    let mut neighbour = Neighbour::enter(target, 1000 / bench.scale.fewer)?;
    let (times, mut refused) = (bench.scale.paced, 0);
    let (mut silent, mut shouting) = (Measured::nothing()?, Measured::nothing()?);
    neighbour.next_at = Instant::now();
    quiet.speak(times.warm_up + SAVINGS_SPENT, |now| neighbour.shout(now))?;
    while shouting.time < times.window {
        neighbour.hear_out()?;
        quiet.speak(SETTLED, |_| Ok(()))?;
        quiet.measure(&mut silent, |_| Ok(()))?;
        neighbour.next_at = Instant::now();
        quiet.speak(SETTLED, |now| neighbour.shout(now))?;
        neighbour.ears.refused = 0;
        quiet.measure(&mut shouting, |now| neighbour.shout(now))?;
        refused += neighbour.ears.refused;
    }
    ensure!(refused > 0, "the neighbour was not over its limits");
    neighbour.hear_out()?;
    quiet.finish()?;
    let refused_per_second = f64::from(refused) / shouting.time.as_secs_f64();
    Ok(Pair { silent, shouting, refused_per_second })
}

/// The tenant that is measured.
struct Quiet {
    server: u32,
    swarm: Swarm,
    traffic: Traffic,
    next_at: Instant,
}

impl Quiet {
    fn enter(target: &Target, shape: Shape) -> Result<Self> {
        let mut swarm = Swarm::new()?;
        let mut traffic = Traffic::new(|room| target.broadcast(room, PAYLOAD), shape, true)?;
        let entries = (0..=shape.receivers)
            .map(|member| target.entry(0, member, &json!({"enabled": false})))
            .collect::<Result<Vec<_>>>()?;
        swarm.enter(target.address, entries, &mut traffic, Deadline::after(Duration::from_secs(20)))?;
        Ok(Self { server: target.pid(), swarm, traffic, next_at: Instant::now() })
    }

    /// Sends by the clock for a while, and lets `others` do their part in every turn.
    fn speak(&mut self, time: Duration, mut others: impl FnMut(Instant) -> Result<()>) -> Result<()> {
        let end = Instant::now() + time;
        self.next_at = Instant::now();
        while Instant::now() < end {
            let now = Instant::now();
            if self.next_at <= now {
                self.traffic.send(&mut self.swarm, 0, 1)?;
                self.next_at += INTERVAL;
            }
            self.swarm.turn(Some(Duration::ZERO), &mut self.traffic)?;
            others(now)?;
        }
        Ok(())
    }

    /// Speaks for one slice, and adds what it took.
    fn measure(&mut self, to: &mut Measured, others: impl FnMut(Instant) -> Result<()>) -> Result<()> {
        self.traffic.start_counting();
        let (cpu, from) = (process::cpu(self.server)?, Instant::now());
        self.speak(SLICE, others)?;
        to.cpu += process::cpu(self.server)? - cpu;
        to.time += from.elapsed();
        to.latency.add(&self.traffic.latency)?;
        to.p99_micros.push(self.traffic.latency.value_at_quantile(0.99) as f64 / 1000.0);
        Ok(())
    }

    /// Everybody has seen everything, whatever the neighbour did.
    fn finish(&mut self) -> Result<()> {
        let settled = Deadline::after(Duration::from_secs(10));
        let behind =
            |traffic: &Traffic| format!("{} messages under way; {}", traffic.in_flight(), traffic.faults());
        self.swarm.turn_until(&mut self.traffic, settled, behind, |traffic| traffic.in_flight() == 0)?;
        self.traffic.check()
    }
}

/// The tenant that shouts: each of its sockets in turn says a broadcast and a join in one breath.
struct Neighbour {
    swarm: Swarm,
    ears: Ears,
    breaths: Vec<Vec<u8>>,
    next: usize,
    next_at: Instant,
}

/// Counts refused joins.
#[derive(Default)]
struct Ears {
    refused: u32,
}

impl Listener for Ears {
    fn frame(&mut self, _: usize, kind: u8, body: &[u8]) {
        const REFUSED: &[u8] = b"ClientJoinRateLimitReached";
        let refused = || body.windows(REFUSED.len()).any(|window| window == REFUSED);
        self.refused += u32::from(kind == opcode::TEXT && refused());
    }
}

impl Neighbour {
    fn enter(target: &Target, sockets: usize) -> Result<Self> {
        let (mut swarm, mut ears) = (Swarm::new()?, Ears::default());
        let room = |member: usize| (member / NEIGHBOURS_TOGETHER) as u32;
        let entries =
            (0..sockets).map(|member| target.neighbour(room(member), member)).collect::<Result<Vec<_>>>()?;
        swarm.enter(target.address, entries, &mut ears, Deadline::after(Duration::from_secs(20)))?;
        let breath = |member: usize| {
            let mut bytes = Vec::new();
            Broadcast::phoenix(&topic(room(member)), PAYLOAD).append_to(&mut bytes, 0, 0);
            // Another room than the one it speaks in, which it would lose when the join is refused.
            let join = message::join(&topic(1_000 + room(member)), &json!({"enabled": false}));
            bytes.extend(message::client_frame(opcode::TEXT, join.as_bytes()));
            bytes
        };
        let breaths = (0..sockets).map(breath).collect();
        Ok(Self { swarm, ears, breaths, next: 0, next_at: Instant::now() })
    }

    /// Says what is due, and hears what it is told.
    fn shout(&mut self, now: Instant) -> Result<()> {
        let interval = Duration::from_secs(1) / (NEIGHBOUR_RATE * TIMES_ITS_LIMIT);
        while self.next_at <= now {
            self.swarm.send(self.next, &self.breaths[self.next])?;
            self.next = (self.next + 1) % self.breaths.len();
            self.next_at += interval;
        }
        self.swarm.turn(Some(Duration::ZERO), &mut self.ears)
    }

    /// Hears what is still on its way.
    fn hear_out(&mut self) -> Result<()> {
        self.swarm.turn_for(Duration::from_millis(500), &mut self.ears)
    }
}
