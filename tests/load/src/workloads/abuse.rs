//! A noisy tenant beside a quiet one: its thousand sockets send ten times what their limits allow.
//!
//! Measured is the first tenant: its paced fan-out on one server, in alternate seconds with the noisy tenant silent and
//! sending. Each second has its own p99, and the medians of those are compared: other work of the machine affects few
//! seconds, the noisy tenant affects all of its own. The p99 over all seconds is reported as well. A tenth of the noisy
//! tenant's messages is within its limits; the server has to deliver those, and to refuse the others cheaply.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::Bench;
use crate::connection::Listener;
use crate::machine::Deadline;
use crate::message::{self, Broadcast, Encoding, PAYLOAD, opcode};
use crate::process;
use crate::report::{Goal, Outcome, Row, median};
use crate::server::{Kind, Target, topic};
use crate::setup::NOISY_RATE;
use crate::swarm::Swarm;
use crate::traffic::{Shape, Timing, Traffic};

/// From one message of the quiet tenant to the next, as in `paced`.
const INTERVAL: Duration = Duration::from_millis(20);

/// How many times its limits the noisy tenant sends.
const TIMES_ITS_LIMIT: u32 = 10;

/// Sockets of the noisy tenant in one room.
const NOISY_MEMBERS_PER_ROOM: usize = 10;

/// Before the measurement, the noisy tenant uses up its burst allowance: that of ten seconds, at ten times the rate.
const SAVINGS_SPENT: Duration = Duration::from_millis(1_500);

/// How long the noisy tenant is silent, or sends, at a time.
const SLICE: Duration = Duration::from_secs(1);

/// Of each time, what is not counted yet: in a tenth of a second it spends what it has saved while it was silent.
const SETTLED: Duration = Duration::from_millis(200);

/// The quiet tenant with and without the noise.
struct Pair {
    silent: Measured,
    overloaded: Measured,
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
    let p99 = (of(|pair| pair.overloaded.p99_micros()), of(|pair| pair.silent.p99_micros()));
    let of_all = (of(|pair| pair.overloaded.micros(0.99)), of(|pair| pair.silent.micros(0.99)));
    let p50 = (of(|pair| pair.overloaded.micros(0.50)), of(|pair| pair.silent.micros(0.50)));
    let cpu = (of(|pair| 100.0 * pair.overloaded.cpu_share()), of(|pair| 100.0 * pair.silent.cpu_share()));
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
            "silent": measured(&self.silent), "shouting": measured(&self.overloaded),
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
    let shape = Shape::one_sender(1, 1000 / bench.scale.fewer, Encoding::Text);
    let mut quiet = Quiet::enter(target, shape)?;
    let mut noisy = NoisyTenant::enter(target, 1000 / bench.scale.fewer)?;
    let (times, mut refused) = (bench.scale.paced, 0);
    let (mut silent, mut overloaded) = (Measured::nothing()?, Measured::nothing()?);
    noisy.next_at = Instant::now();
    quiet.send_for(times.warm_up + SAVINGS_SPENT, |now| noisy.send(now))?;
    while overloaded.time < times.window {
        noisy.drain()?;
        quiet.send_for(SETTLED, |_| Ok(()))?;
        quiet.measure(&mut silent, |_| Ok(()))?;
        noisy.next_at = Instant::now();
        quiet.send_for(SETTLED, |now| noisy.send(now))?;
        noisy.replies.refused = 0;
        quiet.measure(&mut overloaded, |now| noisy.send(now))?;
        refused += noisy.replies.refused;
    }
    ensure!(refused > 0, "the noisy tenant was not over its limits");
    noisy.drain()?;
    quiet.finish()?;
    let refused_per_second = f64::from(refused) / overloaded.time.as_secs_f64();
    Ok(Pair { silent, overloaded, refused_per_second })
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
        let mut traffic =
            Traffic::new(|room| target.broadcast(shape.encoding, room, PAYLOAD), shape, Timing::PerDelivery)?;
        let entries = (0..shape.members)
            .map(|member| target.entry(0, member, &json!({"enabled": false})))
            .collect::<Result<Vec<_>>>()?;
        swarm.enter(target.address, entries, &mut traffic, Deadline::after(Duration::from_secs(20)))?;
        Ok(Self { server: target.pid(), swarm, traffic, next_at: Instant::now() })
    }

    /// Sends by the clock for a while, and lets `others` do their part in every turn.
    fn send_for(&mut self, time: Duration, mut others: impl FnMut(Instant) -> Result<()>) -> Result<()> {
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
        self.send_for(SLICE, others)?;
        to.cpu += process::cpu(self.server)? - cpu;
        to.time += from.elapsed();
        to.latency.add(&self.traffic.latency)?;
        to.p99_micros.push(self.traffic.latency.value_at_quantile(0.99) as f64 / 1000.0);
        Ok(())
    }

    /// Checks that all members have received everything, despite the noisy tenant.
    fn finish(&mut self) -> Result<()> {
        let settled = Deadline::after(Duration::from_secs(10));
        let behind =
            |traffic: &Traffic| format!("{} messages under way; {}", traffic.in_flight(), traffic.faults());
        self.swarm.turn_until(&mut self.traffic, settled, behind, |traffic| traffic.in_flight() == 0)?;
        self.traffic.check()
    }
}

/// The noisy tenant: each of its sockets in turn sends a broadcast and a join in one write.
struct NoisyTenant {
    swarm: Swarm,
    replies: Replies,
    breaths: Vec<Vec<u8>>,
    next: usize,
    next_at: Instant,
}

/// Counts refused joins.
#[derive(Default)]
struct Replies {
    refused: u32,
}

impl Listener for Replies {
    fn frame(&mut self, _: usize, kind: u8, body: &[u8]) {
        const REFUSED: &[u8] = b"ClientJoinRateLimitReached";
        let refused = || body.windows(REFUSED.len()).any(|window| window == REFUSED);
        self.refused += u32::from(kind == opcode::TEXT && refused());
    }
}

impl NoisyTenant {
    fn enter(target: &Target, sockets: usize) -> Result<Self> {
        let (mut swarm, mut replies) = (Swarm::new()?, Replies::default());
        let room = |member: usize| (member / NOISY_MEMBERS_PER_ROOM) as u32;
        let entries = (0..sockets)
            .map(|member| target.noisy_tenant(room(member), member))
            .collect::<Result<Vec<_>>>()?;
        swarm.enter(target.address, entries, &mut replies, Deadline::after(Duration::from_secs(20)))?;
        let breath = |member: usize| {
            let mut bytes = Vec::new();
            Broadcast::phoenix(Encoding::Binary, &topic(room(member)), PAYLOAD).append_to(&mut bytes, 0, 0);
            // Another room than the one it speaks in, which it would lose when the join is refused.
            let join = message::join(&topic(1_000 + room(member)), &json!({"enabled": false}));
            bytes.extend(message::client_frame(opcode::TEXT, join.as_bytes()));
            bytes
        };
        let breaths = (0..sockets).map(breath).collect();
        Ok(Self { swarm, replies, breaths, next: 0, next_at: Instant::now() })
    }

    /// Sends what is due, and reads the replies.
    fn send(&mut self, now: Instant) -> Result<()> {
        let interval = Duration::from_secs(1) / (NOISY_RATE * TIMES_ITS_LIMIT);
        while self.next_at <= now {
            self.swarm.send(self.next, &self.breaths[self.next])?;
            self.next = (self.next + 1) % self.breaths.len();
            self.next_at += interval;
        }
        self.swarm.turn(Some(Duration::ZERO), &mut self.replies)
    }

    /// Reads what is still on its way.
    fn drain(&mut self) -> Result<()> {
        self.swarm.turn_for(Duration::from_millis(500), &mut self.replies)
    }
}
