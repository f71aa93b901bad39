//! All rooms of this process, found by their key.
//!
//! The table is cut into shards so that joins on different rooms rarely meet; publishing does not come
//! here at all, because a membership holds its room. A room appears with its first member and goes with
//! its last.
//!
//! A hub is alone, or one among several: then what its members say and show departs for the other nodes,
//! and what those say is delivered here. See [`departures`](crate::departures) and the second half of this
//! type, in `hub/link.rs`, which is for the link between them.

mod link;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::bundle::Bundle;
use crate::frame::{Dialect, Encode, Frame};
use crate::member::Member;
use crate::membership::Membership;
use crate::outbox::Bounds;
use crate::relay_queue::RelayQueue;
use crate::room::{Delivery, Room};
use crate::topic::RoomKey;
use crate::wakers::Wakers;

/// A power of two, well above the number of cores.
const SHARDS: usize = 64;

/// A shard gives memory back when it has shrunk, but not below this many rooms.
const SHARD_KEPT: usize = 64;

/// Hashed with a random key: topics are chosen by clients, who must not be able to make them collide.
type Shard = HashMap<Arc<RoomKey>, Arc<Room>>;

/// The rooms.
#[derive(Debug)]
pub struct Hub {
    shards: Box<[Mutex<Shard>]>,
    /// Chooses the shard.
    hasher: RandomState,
    rooms: AtomicUsize,
    members: AtomicUsize,
    due: Mutex<DueRooms>,
    coalesce_nanos: AtomicU64,
    /// There if this node is one among several.
    pub(crate) departures: Option<RelayQueue>,
}

/// How many rooms and members there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Population {
    /// Rooms with at least one member.
    pub rooms: usize,
    /// Places taken in them; a connection in three rooms counts three times.
    pub members: usize,
}

/// Rooms that have presence to announce, each at most once, and who works through them.
#[derive(Debug, Default)]
struct DueRooms {
    rooms: Vec<(Instant, Arc<Room>)>,
    waker: Option<Waker>,
}

impl Hub {
    /// No rooms, and no other nodes. Presence changes of one room that follow each other within `coalesce`
    /// are announced together.
    pub fn new(coalesce: Duration) -> Arc<Self> {
        Arc::new(Self::with(coalesce, None))
    }

    /// No rooms yet, but other nodes. As much as `bounds` may wait on its way to them.
    pub fn relayed(coalesce: Duration, bounds: Bounds) -> Arc<Self> {
        Arc::new(Self::with(coalesce, Some(RelayQueue::new(bounds))))
    }

    fn with(coalesce: Duration, departures: Option<RelayQueue>) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            rooms: AtomicUsize::new(0),
            members: AtomicUsize::new(0),
            due: Mutex::default(),
            coalesce_nanos: nanos(coalesce).into(),
            departures,
        }
    }

    /// From now on presence changes are gathered for this long.
    pub fn set_coalesce(&self, coalesce: Duration) {
        self.coalesce_nanos.store(nanos(coalesce), Ordering::Relaxed);
    }

    pub(crate) fn coalesce(&self) -> Duration {
        Duration::from_nanos(self.coalesce_nanos.load(Ordering::Relaxed))
    }

    /// Makes `member` a member of the room and queues `reply` for it, before anything the room says. With
    /// other nodes around, the first members of a room wait for the reply until the room is
    /// [admitted](Self::confirm_joins), and receive nothing before it.
    pub fn join(self: &Arc<Self>, key: RoomKey, member: Member, reply: &Frame) -> Membership {
        let mut wakers = Wakers::collect();
        let mut shard = self.shard(&key).lock();
        let room = match shard.get(&key) {
            Some(room) => Arc::clone(room),
            None => {
                let room = self.open(key.into(), &mut wakers);
                shard.insert(Arc::clone(room.key()), Arc::clone(&room));
                room
            }
        };
        // Still under the shard's lock: otherwise the last member might take the room away in between.
        let slot = room.join(member, reply, &mut wakers);
        drop(shard);
        wakers.wake();
        self.members.fetch_add(1, Ordering::Relaxed);
        Membership { hub: Arc::clone(self), room, slot }
    }

    /// A new room, which the link is told of. The caller holds the lock of its shard.
    fn open(&self, key: Arc<RoomKey>, wakers: &mut Wakers) -> Arc<Room> {
        self.rooms.fetch_add(1, Ordering::Relaxed);
        let Some(departures) = &self.departures else { return Arc::new(Room::new(key)) };
        let room = Arc::new(Room::opening(key, departures.next_epoch()));
        departures.opened(&room, wakers);
        room
    }

    /// Sends `event` to everyone in the room, from outside it. Other nodes may have members of it even if
    /// this one has none.
    pub fn publish(&self, key: &RoomKey, event: &impl Encode) -> Delivery {
        let departures = self.departures.as_ref();
        if let Some(room) = self.room(key) {
            let mut bundle = Bundle::default();
            room.gather(event, 0, &mut bundle, departures);
            return room.publish(bundle, None, departures);
        }
        if let Some(departures) = departures {
            let flowing = departures.is_flowing();
            let frame = if flowing { event.encode(&key.topic, Dialect::RELAY) } else { None };
            let mut wakers = Wakers::collect();
            departures.say(&Arc::new(key.clone()), frame.as_ref(), 1, &mut wakers);
            wakers.wake();
        }
        Delivery::default()
    }

    /// The room, while it has members here.
    pub fn room(&self, key: &RoomKey) -> Option<Arc<Room>> {
        self.shard(key).lock().get(key).cloned()
    }

    /// How many rooms and members there are now.
    pub fn population(&self) -> Population {
        Population {
            rooms: self.rooms.load(Ordering::Relaxed),
            members: self.members.load(Ordering::Relaxed),
        }
    }

    /// Rooms with presence to announce and when each is due, or pending until there are some. For one
    /// task: the last waker wins.
    pub fn poll_due(&self, waker: &Waker) -> Poll<Vec<(Instant, Arc<Room>)>> {
        let mut due = self.due.lock();
        if due.rooms.is_empty() {
            due.waker = Some(waker.clone());
            return Poll::Pending;
        }
        Poll::Ready(std::mem::take(&mut due.rooms))
    }

    pub(crate) fn list(&self, due_at: Option<Instant>, room: &Arc<Room>) {
        let Some(due_at) = due_at else { return };
        let mut due = self.due.lock();
        due.rooms.push((due_at, Arc::clone(room)));
        let waker = due.waker.take();
        drop(due);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// A member has left: the last one takes the room along.
    pub(crate) fn left(&self, room: &Arc<Room>) {
        self.members.fetch_sub(1, Ordering::Relaxed);
        if !room.is_empty() {
            return;
        }
        let mut wakers = Wakers::collect();
        let mut shard = self.shard(room.key()).lock();
        // Someone may have joined, or another leaver been faster, while no lock was held.
        let gone = room.is_empty() && shard.get(room.key()).is_some_and(|known| Arc::ptr_eq(known, room));
        if gone {
            shard.remove(room.key());
            if let Some(departures) = &self.departures {
                departures.closed(room, room.final_snapshot(), &mut wakers);
            }
            self.rooms.fetch_sub(1, Ordering::Relaxed);
            if shard.len() < shard.capacity() / 4 {
                shard.shrink_to(SHARD_KEPT);
            }
        }
        drop(shard);
        wakers.wake();
    }

    fn shard(&self, key: &RoomKey) -> &Mutex<Shard> {
        &self.shards[self.hasher.hash_one(key) as usize % SHARDS]
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
