//! Numbered broadcasts in rooms: which were received, which were lost, and their latency.
//!
//! Each room has one sender (its first member) and some receivers. Every receiver must see every number
//! in order; anything else is counted and fails the run. How far the slowest member is, is known at every
//! moment without looking at all members.

use std::time::Instant;

use anyhow::{Result, bail};
use hdrhistogram::Histogram;

use crate::connection::Listener;
use crate::message::{self, Broadcast, PAYLOAD, opcode};
use crate::server::topic;
use crate::swarm::Swarm;

/// How many messages of a room may be under way at most; a paced run that falls further behind fails.
const IN_FLIGHT_MAX: u32 = 4096;

/// Rooms and the members in each.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// How many rooms.
    pub rooms: usize,
    /// How many receive in each; the sender is one more.
    pub receivers: usize,
}

/// One room's stream of numbers.
struct Flow {
    broadcast: Broadcast,
    sender: usize,
    sent: u32,
    /// All members have received every number below this one.
    seen: u32,
    /// How many members have received a number, by its lower bits. Members receive numbers in order, so the
    /// lowest number that some member lacks shows the progress of the slowest member.
    seen_by: Box<[u32]>,
    /// Whether it is in the list of those that may send again.
    is_waiting: bool,
}

#[derive(Clone, Copy)]
struct Receiver {
    room: u32,
    next: u32,
}

/// Whether the latency of each delivery is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timing {
    /// Reading the clock for each message would slow a closed loop down.
    None,
    PerDelivery,
}

/// The messages in flight in all rooms, and their deliveries.
pub struct Traffic {
    flows: Vec<Flow>,
    members: Vec<Receiver>,
    receivers: u32,
    body_size: usize,
    /// Rooms whose slowest member has received a further message.
    waiting: Vec<u32>,
    /// Messages at their receivers since [`Traffic::start_counting`].
    pub deliveries: u64,
    lost: u64,
    out_of_order: u64,
    surprises: u64,
    first_surprise: String,
    clock: Instant,
    now: u64,
    timing: Timing,
    /// How long they took, in nanoseconds, with [`Timing::PerDelivery`].
    pub latency: Histogram<u64>,
    out: Vec<u8>,
}

impl Traffic {
    /// Traffic without messages yet. `broadcast` makes the messages of the sender of a room.
    pub fn new(broadcast: impl Fn(u32) -> Broadcast, shape: Shape, timing: Timing) -> Result<Self> {
        let members = shape.receivers + 1;
        let flow = |room: usize| Flow {
            broadcast: broadcast(room as u32),
            sender: room * members,
            sent: 0,
            seen: 0,
            seen_by: vec![0; IN_FLIGHT_MAX as usize].into_boxed_slice(),
            is_waiting: true,
        };
        Ok(Self {
            flows: (0..shape.rooms).map(flow).collect(),
            members: (0..shape.rooms * members)
                .map(|member| Receiver { room: (member / members) as u32, next: 0 })
                .collect(),
            receivers: shape.receivers as u32,
            body_size: message::delivered_body(&topic(0), PAYLOAD).len(),
            waiting: (0..shape.rooms as u32).collect(),
            deliveries: 0,
            lost: 0,
            out_of_order: 0,
            surprises: 0,
            first_surprise: String::new(),
            clock: Instant::now(),
            now: 0,
            timing,
            latency: Histogram::new_with_bounds(100, 60_000_000_000, 3)?,
            out: Vec::new(),
        })
    }

    /// The warm-up is over.
    pub fn start_counting(&mut self) {
        self.deliveries = 0;
        self.latency.reset();
    }

    /// Lets every room whose slowest member came forward send what is missing in its window.
    pub fn top_up(&mut self, swarm: &mut Swarm, in_flight: u32) -> Result<()> {
        for room in std::mem::take(&mut self.waiting) {
            let flow = &mut self.flows[room as usize];
            flow.is_waiting = false;
            let missing = in_flight - (flow.sent - flow.seen);
            self.send(swarm, room as usize, missing)?;
        }
        Ok(())
    }

    /// Sends the next `count` messages of a room's sender, in one write.
    pub fn send(&mut self, swarm: &mut Swarm, room: usize, count: u32) -> Result<()> {
        let flow = &mut self.flows[room];
        if flow.sent - flow.seen + count > IN_FLIGHT_MAX {
            bail!(
                "{} messages sent to a room and not seen by all: it cannot keep pace",
                flow.sent - flow.seen
            );
        }
        let time =
            if self.timing == Timing::PerDelivery { self.clock.elapsed().as_nanos() as u64 } else { 0 };
        self.out.clear();
        for number in flow.sent..flow.sent + count {
            flow.broadcast.append_to(&mut self.out, number, time);
        }
        flow.sent += count;
        swarm.send(flow.sender, &self.out)
    }

    /// How many messages some member has not received yet.
    pub fn in_flight(&self) -> u32 {
        self.flows.iter().map(|flow| flow.sent - flow.seen).sum()
    }

    /// Checks that no message was lost, reordered or unexpected.
    pub fn check(&self) -> Result<()> {
        if self.lost + self.out_of_order + self.surprises > 0 {
            bail!(self.faults());
        }
        Ok(())
    }

    /// What went wrong so far.
    pub fn faults(&self) -> String {
        let Self { lost, out_of_order, surprises, first_surprise, .. } = self;
        format!("{lost} lost, {out_of_order} out of order, {surprises} unexpected ({first_surprise})")
    }

    #[cold]
    fn note_surprise(&mut self, body: &[u8]) {
        if self.surprises == 0 {
            self.first_surprise = String::from_utf8_lossy(&body[..body.len().min(300)]).into_owned();
        }
        self.surprises += 1;
    }

    #[inline]
    fn saw(&mut self, room: u32, number: u32) {
        let flow = &mut self.flows[room as usize];
        let seen_by = &mut flow.seen_by[(number % IN_FLIGHT_MAX) as usize];
        *seen_by += 1;
        if *seen_by == self.receivers {
            *seen_by = 0;
            flow.seen = number + 1;
            if !flow.is_waiting {
                flow.is_waiting = true;
                self.waiting.push(room);
            }
        }
    }
}

impl Listener for Traffic {
    fn arrived(&mut self) {
        if self.timing == Timing::PerDelivery {
            self.now = self.clock.elapsed().as_nanos() as u64;
        }
    }

    #[inline]
    fn frame(&mut self, member: usize, kind: u8, body: &[u8]) {
        if kind != opcode::BINARY || body.len() != self.body_size {
            return self.note_surprise(body);
        }
        let payload = &body[body.len() - PAYLOAD..];
        let number = message::number(payload);
        let Receiver { room, next } = self.members[member];
        if number < next || number >= self.flows[room as usize].sent {
            self.out_of_order += 1;
            return;
        }
        // A lost message counts as seen, or the loop would wait for it forever; the run fails at its end.
        for lost in next..number {
            self.lost += 1;
            self.saw(room, lost);
        }
        self.saw(room, number);
        self.members[member].next = number + 1;
        self.deliveries += 1;
        if self.timing == Timing::PerDelivery {
            let late = self.now.saturating_sub(message::time(payload));
            self.latency.saturating_record(late);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One room: member 0 sends, 1 and 2 receive; three messages are under way.
    fn three_under_way() -> Traffic {
        let shape = Shape { rooms: 1, receivers: 2 };
        let mut traffic = Traffic::new(|room| Broadcast::floor(&topic(room), PAYLOAD), shape, Timing::None)
            .expect("bounds");
        traffic.waiting.clear();
        traffic.flows[0].is_waiting = false;
        traffic.flows[0].sent = 3;
        traffic
    }

    fn receive(traffic: &mut Traffic, member: usize, number: u32) {
        let mut frame = Vec::new();
        Broadcast::floor(&topic(0), PAYLOAD).append_to(&mut frame, number, 0);
        traffic.frame(member, opcode::BINARY, &frame[4..]);
    }

    #[test]
    fn the_window_opens_when_the_slowest_has_seen() {
        let mut traffic = three_under_way();
        [0, 1, 2].into_iter().for_each(|number| receive(&mut traffic, 1, number));
        assert_eq!((traffic.in_flight(), traffic.waiting.len()), (3, 0));
        receive(&mut traffic, 2, 0);
        assert_eq!((traffic.in_flight(), traffic.waiting.len()), (2, 1));
        [1, 2].into_iter().for_each(|number| receive(&mut traffic, 2, number));
        assert_eq!((traffic.in_flight(), traffic.waiting.len(), traffic.deliveries), (0, 1, 6));
        traffic.check().expect("all came, in order");
    }

    #[test]
    fn a_lost_message_is_found_and_does_not_stop_the_loop() {
        let mut traffic = three_under_way();
        [0, 1, 2].into_iter().for_each(|number| receive(&mut traffic, 1, number));
        [0, 2].into_iter().for_each(|number| receive(&mut traffic, 2, number));
        assert_eq!((traffic.in_flight(), traffic.lost), (0, 1));
        assert!(traffic.check().is_err());
    }

    #[test]
    fn a_message_that_comes_twice_or_late_is_found() {
        let mut traffic = three_under_way();
        [1, 0].into_iter().for_each(|number| receive(&mut traffic, 1, number));
        [0, 0].into_iter().for_each(|number| receive(&mut traffic, 2, number));
        assert_eq!(traffic.out_of_order, 2);
    }

    #[test]
    fn anything_else_is_a_surprise_that_is_shown() {
        let mut traffic = three_under_way();
        traffic.frame(1, opcode::TEXT, br#"[null,null,"realtime:room-0000","system",{}]"#);
        let error = traffic.check().expect_err("an unexpected message");
        assert!(error.to_string().contains("system"), "{error}");
    }
}
