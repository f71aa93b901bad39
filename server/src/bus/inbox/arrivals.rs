//! What has arrived, in an order that is fair to tenants.
//!
//! Barriers divide the arrivals into segments, by the time of their arrival. A barrier is taken when nothing of the
//! segments before it is left; messages of later segments may be taken before it, if it is their tenant's turn.

use std::collections::VecDeque;
use std::hash::{Hash, Hasher};
use std::mem;

use hub::{Bounds, FairQueue, MESSAGE_BYTES, Quantum};

use super::{Arrival, InboxOverflow, ReceivedMessage};
use crate::bus::{Channel, RoomName};

/// A turn is a few small messages, so that another tenant's wait is short, or one large one.
const QUANTUM: Quantum = Quantum { per_turn: 16 * 1024, per_item: 0 };

/// Messages to all nodes that may wait, and the part of the bytes that they may have. A node sends a few in a second.
const NODES_MAX: usize = 4_096;
const NODES_DIVISOR: usize = 8;

#[derive(Debug)]
pub(super) struct Arrivals {
    bounds: Bounds,
    rooms: FairQueue<TenantOf, RoomMessage>,
    /// By time of arrival; the last is open.
    segments: VecDeque<Segment>,
    /// The number of the first segment.
    first: u64,
    /// Messages to all nodes, and their bytes.
    nodes: usize,
    node_bytes: usize,
    /// Dropped before the last barrier that is an overflow.
    overflow: InboxOverflow,
    /// Dropped since then.
    later: InboxOverflow,
}

/// The tenant of a room. Its name in the bus begins with it.
#[derive(Debug, Clone)]
struct TenantOf(RoomName);

impl TenantOf {
    fn tenant(&self) -> &str {
        self.0.split(':').next().unwrap_or_default()
    }
}

impl PartialEq for TenantOf {
    fn eq(&self, other: &Self) -> bool {
        self.tenant() == other.tenant()
    }
}

impl Eq for TenantOf {}

impl Hash for TenantOf {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.tenant().hash(state);
    }
}

#[derive(Debug)]
struct RoomMessage {
    received: ReceivedMessage,
    segment: u64,
}

/// Arrivals between two barriers.
#[derive(Debug, Default)]
struct Segment {
    /// Messages for rooms that have not been taken.
    left: usize,
    /// What it ends with.
    barrier: Option<Barrier>,
}

#[derive(Debug)]
enum Barrier {
    ToNodes(ReceivedMessage),
    /// Messages were dropped.
    Overflow,
}

impl Arrivals {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            rooms: FairQueue::new(bounds, QUANTUM),
            segments: VecDeque::from([Segment::default()]),
            first: 0,
            nodes: 0,
            node_bytes: 0,
            overflow: InboxOverflow::default(),
            later: InboxOverflow::default(),
        }
    }

    /// Adds a message. Returns it if it does not fit.
    pub(super) fn put(&mut self, received: ReceivedMessage) -> Option<ReceivedMessage> {
        let refused = match &received.channel {
            Channel::Room(room) => self.put_for_room(TenantOf(RoomName::clone(room)), received),
            Channel::Nodes => self.put_for_nodes(received),
        };
        if let Some(refused) = &refused {
            self.note_dropped(&refused.channel);
        }
        refused
    }

    fn put_for_room(&mut self, tenant: TenantOf, received: ReceivedMessage) -> Option<ReceivedMessage> {
        let bytes = MESSAGE_BYTES + received.message.len();
        let segment = self.first + self.segments.len() as u64 - 1;
        let offered = self.rooms.offer(&tenant, bytes, RoomMessage { received, segment });
        if offered.is_ok() {
            self.open_segment().left += 1;
        }
        offered.err().map(|refused| refused.received)
    }

    fn put_for_nodes(&mut self, received: ReceivedMessage) -> Option<ReceivedMessage> {
        let bytes = self.node_bytes.saturating_add(received.message.len());
        // They have a share of their own, so that no tenant can displace them.
        if self.nodes > 0 && (self.nodes >= NODES_MAX || bytes > self.bounds.bytes / NODES_DIVISOR) {
            return Some(received);
        }
        self.nodes += 1;
        self.node_bytes = bytes;
        self.end_segment(Barrier::ToNodes(received));
        None
    }

    fn note_dropped(&mut self, channel: &Channel) {
        let is_first = self.overflow.messages == 0;
        let overflow = if is_first { &mut self.overflow } else { &mut self.later };
        overflow.messages += 1;
        overflow.rooms.add(channel);
        if is_first {
            self.end_segment(Barrier::Overflow);
        }
    }

    fn open_segment(&mut self) -> &mut Segment {
        self.segments.back_mut().expect("the last segment is open")
    }

    fn end_segment(&mut self, barrier: Barrier) {
        self.open_segment().barrier = Some(barrier);
        self.segments.push_back(Segment::default());
    }

    /// Takes what is next, up to `max`.
    pub(super) fn take(&mut self, max: Bounds) -> Vec<Arrival> {
        let (mut taken, mut bytes) = (Vec::new(), 0_usize);
        while taken.len() < max.frames as usize && bytes < max.bytes {
            let Some(arrival) = self.next() else { break };
            if let Arrival::Message(received) = &arrival {
                bytes = bytes.saturating_add(received.message.len());
            }
            taken.push(arrival);
        }
        taken
    }

    fn next(&mut self) -> Option<Arrival> {
        let front = self.segments.front_mut().expect("the last segment is open");
        if front.left == 0
            && let Some(barrier) = front.barrier.take()
        {
            self.segments.pop_front();
            self.first += 1;
            return Some(self.pass(barrier));
        }
        let RoomMessage { received, segment } = self.rooms.pop()?;
        self.segments[(segment - self.first) as usize].left -= 1;
        Some(Arrival::Message(received))
    }

    fn pass(&mut self, barrier: Barrier) -> Arrival {
        match barrier {
            Barrier::ToNodes(received) => {
                self.nodes -= 1;
                self.node_bytes -= received.message.len();
                Arrival::Message(received)
            }
            Barrier::Overflow => {
                let overflow = mem::replace(&mut self.overflow, mem::take(&mut self.later));
                if self.overflow.messages > 0 {
                    self.end_segment(Barrier::Overflow);
                }
                Arrival::Overflow(overflow)
            }
        }
    }
}
