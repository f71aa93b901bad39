//! All rooms of this process, found by their key.
//!
//! The table is cut into shards so that joins on different rooms rarely meet; publishing does not come
//! here at all, because a membership holds its room. A room appears with its first member and goes with
//! its last.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::bundle::Bundle;
use crate::frame::{Encode, Frame};
use crate::member::Member;
use crate::membership::Membership;
use crate::room::{Delivery, Room};
use crate::topic::RoomKey;
use crate::wakers::Wakers;

/// A power of two, well above the number of cores.
const SHARDS: usize = 64;

/// A shard gives memory back when it has shrunk, but not below this many rooms.
const SHARD_KEPT: usize = 64;

/// Hashed with a random key: topics are chosen by clients, who must not be able to make them collide.
type Shard = HashMap<RoomKey, Arc<Room>>;

/// The rooms.
#[derive(Debug)]
pub struct Hub {
    shards: Box<[Mutex<Shard>]>,
    /// Chooses the shard.
    hasher: RandomState,
    rooms: AtomicUsize,
    members: AtomicUsize,
    due: Mutex<Due>,
    pub(crate) coalesce: Duration,
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
struct Due {
    rooms: Vec<(Instant, Arc<Room>)>,
    waker: Option<Waker>,
}

impl Hub {
    /// No rooms. Presence changes of one room that follow each other within `coalesce` are announced
    /// together.
    pub fn new(coalesce: Duration) -> Arc<Self> {
        Arc::new(Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            rooms: AtomicUsize::new(0),
            members: AtomicUsize::new(0),
            due: Mutex::default(),
            coalesce,
        })
    }

    /// Makes `member` a member of the room and queues `reply` for it, before anything the room says.
    pub fn join(self: &Arc<Self>, key: RoomKey, member: Member, reply: &Frame) -> Membership {
        let mut wakers = Wakers::collect();
        let mut shard = self.shard(&key).lock();
        let room = match shard.get(&key) {
            Some(room) => Arc::clone(room),
            None => {
                let room = Arc::new(Room::new(key.clone()));
                self.rooms.fetch_add(1, Ordering::Relaxed);
                shard.insert(key, Arc::clone(&room));
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

    /// Sends `event` to everyone in the room, from outside it.
    pub fn publish(&self, key: &RoomKey, event: &impl Encode) -> Delivery {
        let room = self.shard(key).lock().get(key).cloned();
        let Some(room) = room else { return Delivery::default() };
        let mut bundle = Bundle::default();
        room.gather(event, 0, &mut bundle);
        room.publish(bundle, None)
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
        let mut shard = self.shard(&room.key).lock();
        // Someone may have joined, or another leaver been faster, while no lock was held.
        let gone = room.is_empty() && shard.get(&room.key).is_some_and(|known| Arc::ptr_eq(known, room));
        if gone {
            shard.remove(&room.key);
            self.rooms.fetch_sub(1, Ordering::Relaxed);
            if shard.len() < shard.capacity() / 4 {
                shard.shrink_to(SHARD_KEPT);
            }
        }
    }

    fn shard(&self, key: &RoomKey) -> &Mutex<Shard> {
        &self.shards[self.hasher.hash_one(key) as usize % SHARDS]
    }
}
