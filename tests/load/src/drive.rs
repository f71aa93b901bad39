//! One run of broadcasts against one target, and its measurements.
//!
//! A closed loop keeps a number of messages in flight that the slowest member has not seen yet, so it
//! goes as fast as the target. A paced run sends by the clock, whatever comes back.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::json;

use crate::connection::Listener;
use crate::machine::Deadline;
use crate::message::PAYLOAD;
use crate::process;
use crate::report::median;
use crate::server::Target;
use crate::swarm::Swarm;
use crate::traffic::{Shape, Timing, Traffic};

/// When the senders send.
#[derive(Debug, Clone, Copy)]
pub enum Drive {
    /// A number of messages per room that its slowest member has not received yet.
    Closed {
        /// Messages per room.
        in_flight: u32,
    },
    /// One message per interval, the rooms in turn.
    Paced {
        /// From one message to the next, all rooms together.
        interval: Duration,
    },
}

/// How long to warm up, how long to measure.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// Not measured.
    pub warm_up: Duration,
    /// Measured.
    pub window: Duration,
}

/// The measurements of one run.
#[derive(Debug, Clone, Copy)]
pub struct Measured {
    /// Messages received per second, all members together.
    pub deliveries_per_second: f64,
    /// Processor time of the target per message received.
    pub cpu_micros_per_delivery: f64,
    /// How much of its core the target used.
    pub cpu_share: f64,
    /// The share of the client's polls that found nothing to do.
    pub client_idle_share: f64,
    /// Half of the deliveries were not later than this.
    pub p50_micros: f64,
    /// 99 of 100 deliveries were not later than this.
    pub p99_micros: f64,
    /// The deliveries in the slowest room, as a share of the mean over all rooms.
    pub slowest_room: f64,
}

impl Measured {
    /// For the JSON file.
    pub fn json(&self) -> serde_json::Value {
        json!({
            "deliveries_per_second": self.deliveries_per_second,
            "cpu_micros_per_delivery": self.cpu_micros_per_delivery, "cpu_share": self.cpu_share,
            "client_idle_share": self.client_idle_share,
            "p50_micros": self.p50_micros, "p99_micros": self.p99_micros,
            "slowest_room": self.slowest_room,
        })
    }
}

/// The median of one number over several runs.
pub fn median_of(runs: &[Measured], number: impl Fn(&Measured) -> f64) -> f64 {
    median(runs.iter().map(number))
}

/// One run against one target: all members join, traffic warms up, is measured, and is delivered completely.
pub fn run(target: &Target, shape: Shape, drive: Drive, times: Times) -> Result<Measured> {
    run_on(&[target], shape, drive, times)
}

/// The same against several targets that act as one.
pub fn run_on(targets: &[&Target], shape: Shape, drive: Drive, times: Times) -> Result<Measured> {
    let first = targets[0];
    let mut swarm = Swarm::new()?;
    let timing = match (drive, shape.senders) {
        (Drive::Closed { .. }, 1) => Timing::None,
        _ => Timing::PerDelivery,
    };
    let mut traffic = Traffic::new(|room| first.broadcast(shape.encoding, room, PAYLOAD), shape, timing)?;
    enter(&mut swarm, targets, shape, &mut traffic)?;

    let mut driver = Driver::new(drive, shape.rooms);
    driver.drive(&mut swarm, &mut traffic, times.warm_up)?;
    traffic.start_counting();
    swarm.idle_share();
    let (cpu, from) = (cpu_of(targets)?, Instant::now());
    driver.drive(&mut swarm, &mut traffic, times.window)?;
    let (cpu, wall) = (cpu_of(targets)? - cpu, from.elapsed());
    let (deliveries, client_idle_share) = (traffic.deliveries as f64, swarm.idle_share());
    let slowest_room = traffic.slowest_room();

    let settled = Deadline::after(Duration::from_secs(10));
    let behind = |traffic: &Traffic| {
        format!("{} messages did not reach all members; {}", traffic.in_flight(), traffic.faults())
    };
    swarm.turn_until(&mut traffic, settled, behind, |traffic| traffic.in_flight() == 0)?;
    traffic.check()?;
    Ok(Measured {
        deliveries_per_second: deliveries / wall.as_secs_f64(),
        cpu_micros_per_delivery: cpu.as_secs_f64() * 1e6 / deliveries,
        cpu_share: cpu.as_secs_f64() / wall.as_secs_f64(),
        client_idle_share,
        p50_micros: traffic.latency.value_at_quantile(0.50) as f64 / 1000.0,
        p99_micros: traffic.latency.value_at_quantile(0.99) as f64 / 1000.0,
        slowest_room,
    })
}

/// Joins all members. Those of each room are spread over the targets, the sender and the first members on the first.
pub fn enter(
    swarm: &mut Swarm,
    targets: &[&Target],
    shape: Shape,
    listener: &mut impl Listener,
) -> Result<()> {
    let presence = json!({"enabled": false});
    let members = shape.members;
    let target_of = |member: usize| member % members * targets.len() / members;
    let all_members: Vec<usize> = (0..shape.rooms * members).collect();
    let deadline = Deadline::after(Duration::from_secs(20));
    for group in all_members.chunk_by(|one, other| target_of(*one) == target_of(*other)) {
        let target = targets[target_of(group[0])];
        let entry = |&member| target.entry((member / members) as u32, member, &presence);
        let entries = group.iter().map(entry).collect::<Result<Vec<_>>>()?;
        swarm.enter(target.address, entries, listener, deadline)?;
    }
    Ok(())
}

/// Processor time of all of them together.
pub fn cpu_of(targets: &[&Target]) -> Result<Duration> {
    targets.iter().map(|target| process::cpu(target.pid())).sum()
}

/// Sends when it is time to.
struct Driver {
    drive: Drive,
    rooms: usize,
    next_room: usize,
    next_at: Instant,
}

impl Driver {
    fn new(drive: Drive, rooms: usize) -> Self {
        Self { drive, rooms, next_room: 0, next_at: Instant::now() }
    }

    fn drive(&mut self, swarm: &mut Swarm, traffic: &mut Traffic, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        let stuck = Deadline::after(time + Duration::from_secs(5));
        while Instant::now() < end {
            stuck.check(|| "the measuring loop itself was held up".to_owned())?;
            match self.drive {
                Drive::Closed { in_flight } => traffic.top_up(swarm, in_flight)?,
                Drive::Paced { interval } => self.send_what_is_due(swarm, traffic, interval)?,
            }
            swarm.turn(Some(Duration::ZERO), traffic)?;
        }
        Ok(())
    }

    fn send_what_is_due(
        &mut self,
        swarm: &mut Swarm,
        traffic: &mut Traffic,
        interval: Duration,
    ) -> Result<()> {
        while self.next_at <= Instant::now() {
            traffic.send(swarm, self.next_room, 1)?;
            self.next_room = (self.next_room + 1) % self.rooms;
            self.next_at += interval;
        }
        Ok(())
    }
}
