//! Numbered broadcasts in rooms: which were received, which were lost, and their latency.
//!
//! In each room one member sends (the first), or all send in turn. Every other member must receive every number
//! of a sender in order; anything else is counted and fails the run. How many messages have reached all members
//! is known at every moment without looking at all members.

use std::time::Instant;

use anyhow::{Result, bail};
use hdrhistogram::Histogram;

use crate::connection::Listener;
use crate::message::{self, Broadcast, Encoding, PAYLOAD};
use crate::server::topic;
use crate::swarm::Swarm;

/// How many messages of a room may be under way at most; a paced run that falls further behind fails.
const IN_FLIGHT_MAX: u32 = 4096;

/// Rooms, the members in each, and what they send.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// How many rooms.
    pub rooms: usize,
    /// How many members each has. No member receives its own messages.
    pub members: usize,
    /// How many of them send, in turn.
    pub senders: usize,
    /// How they encode it.
    pub encoding: Encoding,
    /// Bytes of metadata in the binary frames that members receive.
    pub metadata: usize,
}

impl Shape {
    /// Rooms in which one further member sends.
    pub fn one_sender(rooms: usize, receivers: usize, encoding: Encoding) -> Self {
        Self { rooms, members: receivers + 1, senders: 1, encoding, metadata: 0 }
    }

    /// Rooms in which all members send, one after the other.
    pub fn senders_in_turn(rooms: usize, members: usize, encoding: Encoding) -> Self {
        Self { rooms, members, senders: members, encoding, metadata: 0 }
    }
}

/// One room's stream of numbers. The sender of a number is given by its remainder.
struct Flow {
    broadcast: Broadcast,
    first_member: usize,
    sent: u32,
    /// How many messages all members have received.
    seen: u32,
    /// `seen` when the counting started.
    seen_before: u32,
    /// How many members have received a number, by its lower bits.
    seen_by: Box<[u32]>,
    /// Whether it is in the list of those that may send again.
    is_waiting: bool,
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
    shape: Shape,
    /// The next number expected from each sender, by member and sender.
    next: Vec<u32>,
    body_size: usize,
    /// Rooms in which a further message has reached all members.
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
        let flow = |room: usize| Flow {
            broadcast: broadcast(room as u32),
            first_member: room * shape.members,
            sent: 0,
            seen: 0,
            seen_before: 0,
            seen_by: vec![0; IN_FLIGHT_MAX as usize].into_boxed_slice(),
            is_waiting: true,
        };
        Ok(Self {
            flows: (0..shape.rooms).map(flow).collect(),
            next: (0..shape.rooms * shape.members).flat_map(|_| 0..shape.senders as u32).collect(),
            body_size: shape.encoding.delivered_body(&topic(0), PAYLOAD).len() + shape.metadata,
            shape,
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
        self.flows.iter_mut().for_each(|flow| flow.seen_before = flow.seen);
    }

    /// The messages of the slowest room since [`Traffic::start_counting`], as a share of the mean over all rooms.
    pub fn slowest_room(&self) -> f64 {
        let seen = || self.flows.iter().map(|flow| f64::from(flow.seen - flow.seen_before));
        seen().fold(f64::INFINITY, f64::min) * self.flows.len() as f64 / seen().sum::<f64>()
    }

    /// Lets every room in which a message has reached all members send what is missing in its window.
    pub fn top_up(&mut self, swarm: &mut Swarm, in_flight: u32) -> Result<()> {
        for room in std::mem::take(&mut self.waiting) {
            let flow = &mut self.flows[room as usize];
            flow.is_waiting = false;
            let missing = in_flight - (flow.sent - flow.seen);
            self.send(swarm, room as usize, missing)?;
        }
        Ok(())
    }

    /// Sends the next `count` messages of a room: in one write, if they have one sender.
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
        let senders = self.shape.senders as u32;
        self.out.clear();
        for number in flow.sent..flow.sent + count {
            flow.broadcast.append_to(&mut self.out, number, time);
            if senders > 1 || number + 1 == flow.sent + count {
                swarm.send(flow.first_member + (number % senders) as usize, &self.out)?;
                self.out.clear();
            }
        }
        flow.sent += count;
        Ok(())
    }

    /// How many messages some members have not received yet.
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
        if *seen_by as usize == self.shape.members - 1 {
            *seen_by = 0;
            flow.seen += 1;
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
        let Shape { members, senders, encoding, .. } = self.shape;
        if kind != encoding.opcode() || body.len() != self.body_size {
            return self.note_surprise(body);
        }
        let payload = &body[body.len() - encoding.end() - PAYLOAD..];
        let number = message::number(payload);
        let room = (member / members) as u32;
        let expected = member * senders + number as usize % senders;
        let next = self.next[expected];
        if number < next || number >= self.flows[room as usize].sent {
            self.out_of_order += 1;
            return;
        }
        // A lost message counts as seen, or the loop would wait for it forever; the run fails at its end.
        for lost in (next..number).step_by(senders) {
            self.lost += 1;
            self.saw(room, lost);
        }
        self.saw(room, number);
        self.next[expected] = number + senders as u32;
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
        under_way(Shape::one_sender(1, 2, Encoding::Binary))
    }

    fn under_way(shape: Shape) -> Traffic {
        let broadcast = |room| Broadcast::floor(shape.encoding, &topic(room), PAYLOAD);
        let mut traffic = Traffic::new(broadcast, shape, Timing::None).expect("bounds");
        traffic.waiting.clear();
        traffic.flows[0].is_waiting = false;
        traffic.flows[0].sent = 3;
        traffic
    }

    fn receive(traffic: &mut Traffic, member: usize, number: u32) {
        let mut frame = Vec::new();
        let encoding = traffic.shape.encoding;
        Broadcast::floor(encoding, &topic(0), PAYLOAD).append_to(&mut frame, number, 0);
        traffic.frame(member, encoding.opcode(), &frame[4..]);
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
    fn senders_in_turn_are_in_order_each_and_not_among_each_other() {
        let mut traffic = under_way(Shape::senders_in_turn(1, 3, Encoding::Text));
        // Member 1 sends number 1 and does not receive it.
        [2, 0].into_iter().for_each(|number| receive(&mut traffic, 1, number));
        [1, 2, 0, 1]
            .into_iter()
            .for_each(|number| receive(&mut traffic, if number == 2 { 0 } else { 2 }, number));
        assert_eq!((traffic.in_flight(), traffic.lost, traffic.out_of_order), (1, 0, 1));
    }

    #[test]
    fn anything_else_is_a_surprise_that_is_shown() {
        let mut traffic = three_under_way();
        traffic.frame(1, message::opcode::TEXT, br#"[null,null,"realtime:room-0000","system",{}]"#);
        let error = traffic.check().expect_err("an unexpected message");
        assert!(error.to_string().contains("system"), "{error}");
    }
}
