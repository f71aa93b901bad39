//! All rooms of this process, found by their key.
//!
//! The table is divided into shards so that joins to different rooms rarely contend. Publishing does not look
//! up rooms, because a membership holds its room. A room opens with its first member and closes with its
//! last.
//!
//! What happens in the rooms is offered to the hub's [observers](crate::Observer), which are chosen when it
//! is [built](crate::HubBuilder). One of them may be the relay to other nodes; `hub/relay.rs` is the part of
//! the hub for the link that consumes it.

mod builder;
mod outlets;
mod relay;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::Waker;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::bundle::Bundle;
use crate::due_rooms::{DueRooms, NextDue};
use crate::frame::{Dialect, Encode, EncodeByGroup, Frame, Group};
use crate::history::{Keep, KeptMessage};
use crate::member::Member;
use crate::observer::Observer;
use crate::presence::PresenceChange;
use crate::relay::Relay;
use crate::room::{Delivery, Outlets, Published, Room, RoomMember};
use crate::topic::RoomKey;
use crate::wakers::Wakers;

pub use builder::HubBuilder;

/// A power of two, well above the number of cores.
const SHARDS: usize = 64;

/// A shard frees memory when it has shrunk, but not below this many rooms.
const SHARD_KEPT: usize = 64;

/// Hashed with a random key: clients choose topics, and must not be able to make them collide.
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
    observers: Box<[Arc<Observer>]>,
    /// Present if the rooms are shared with other nodes. Its observer is one of `observers`.
    relay: Option<Relay>,
}

/// The number of rooms and members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Population {
    /// Rooms with at least one member.
    pub rooms: usize,
    /// Members of all rooms. A connection that has joined three rooms counts three times.
    pub members: usize,
}

impl Hub {
    fn with(coalesce: Duration, observers: Box<[Arc<Observer>]>, relay: Option<Relay>) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            rooms: AtomicUsize::new(0),
            members: AtomicUsize::new(0),
            due: Mutex::default(),
            coalesce_nanos: nanos(coalesce).into(),
            observers,
            relay,
        }
    }

    /// Changes the time during which presence changes of a room are gathered.
    pub fn set_coalesce(&self, coalesce: Duration) {
        self.coalesce_nanos.store(nanos(coalesce), Ordering::Relaxed);
    }

    /// Adds `member` to the room and queues `reply` for it; without one it begins a replay. Returns the room and the member's slot.
    pub(crate) fn enter(&self, key: RoomKey, member: Member, reply: Option<&Frame>) -> (Arc<Room>, usize) {
        let (mut wakers, party) = (Wakers::collect(), member.outbox.memory().party());
        let mut shard = self.shard(&key).lock();
        let room = match shard.get(&key) {
            Some(room) => Arc::clone(room),
            None => {
                let room = self.open(key.into(), &mut wakers);
                shard.insert(Arc::clone(room.key()), Arc::clone(&room));
                room
            }
        };
        // Still under the shard's lock: otherwise the last member might close the room in between.
        let slot = match reply {
            Some(reply) => room.join(member, reply, self, &mut wakers),
            None => room.join_replaying(member, self, &mut wakers),
        };
        drop(shard);
        wakers.wake_for(party);
        self.members.fetch_add(1, Ordering::Relaxed);
        (room, slot)
    }

    /// A new room, reported to the observers. The caller holds the lock of its shard.
    fn open(&self, key: Arc<RoomKey>, wakers: &mut Wakers) -> Arc<Room> {
        self.rooms.fetch_add(1, Ordering::Relaxed);
        let epoch = self.relay.as_ref().map(Relay::next_epoch);
        let room = Arc::new(Room::new(key, epoch));
        self.observers.iter().for_each(|observer| observer.room_opened(&room, wakers));
        room
    }

    /// Removes the member in `slot` from the room. The last member closes it.
    pub(crate) fn exit(&self, room: &Arc<Room>, slot: usize) {
        room.leave(slot, self);
        self.members.fetch_sub(1, Ordering::Relaxed);
        if !room.is_empty() {
            return;
        }
        let (mut wakers, mut removed) = (Wakers::collect(), Vec::new());
        let mut shard = self.shard(room.key()).lock();
        // While no lock was held, a member may have joined, or another one that left may have closed the
        // room.
        let is_open = shard.get(room.key()).is_some_and(|known| Arc::ptr_eq(known, room));
        if is_open && room.is_empty() {
            shard.remove(room.key());
            self.close(room, &mut wakers);
            removed = self.due.lock().note_closed(room);
            if shard.len() < shard.capacity() / 4 {
                shard.shrink_to(SHARD_KEPT);
            }
        }
        drop(shard);
        drop(removed);
        wakers.wake();
    }

    /// Reports the end of a room. The caller holds the lock of its shard.
    fn close(&self, room: &Arc<Room>, wakers: &mut Wakers) {
        self.rooms.fetch_sub(1, Ordering::Relaxed);
        room.close();
        for observer in &self.observers {
            observer.room_closed(room, room.final_snapshot(), wakers);
        }
    }

    /// Publishes `event` to all members of the room, from outside the room. Other nodes may have members of
    /// it even if this one has none.
    pub fn publish(&self, key: &RoomKey, event: &impl Encode) -> Delivery {
        while let Some(room) = self.room(key) {
            // It may have been closed meanwhile, and another one opened.
            if let Some(delivery) = self.publish_in(&room, event, None) {
                return delivery;
            }
        }
        let wants_frame = self.wants_frames();
        let frame = wants_frame.then(|| event.encode(&key.topic, Dialect::RELAY)).flatten();
        self.report_published(key, Published { frame: frame.as_ref(), messages: 1, kept: None })
    }

    /// As [`publish`](Self::publish), for an event that the room keeps, with or without members.
    pub fn publish_kept(&self, key: &RoomKey, event: &impl Encode, keep: Keep<'_>) -> Delivery {
        loop {
            let delivery = match self.room(key) {
                Some(room) => self.publish_in(&room, event, Some(keep)),
                None => self.keep_without_members(key, event, keep),
            };
            // The room may have been closed, or opened, meanwhile.
            if let Some(delivery) = delivery {
                return delivery;
            }
        }
    }

    /// Keeps an event of a room that has no members. `None` if it has some by now.
    fn keep_without_members(&self, key: &RoomKey, event: &impl Encode, keep: Keep<'_>) -> Option<Delivery> {
        let Keep { history, id, sent_at, encode: _ } = keep;
        let frame = event.encode(&key.topic, Dialect::RELAY);
        let kept = frame.iter().map(|frame| KeptMessage { id, sent_at, frame: frame.clone() });
        // Under the lock of the shard, so that the room does not open meanwhile: its first member would neither receive the
        // message nor find it.
        let (shard, mut wakers) = (self.shard(key).lock(), Wakers::collect());
        if shard.contains_key(key) {
            return None;
        }
        let key = Arc::new(key.clone());
        let kept = history.keep(&key, kept);
        let published = Published { frame: frame.as_ref(), messages: 1, kept };
        let unrelayed = self.published(&key, &published, &mut wakers);
        drop(shard);
        wakers.wake();
        Some(Delivery { unrelayed, ..Delivery::default() })
    }

    /// Publishes in a room. `None` if it has been closed: what it keeps then would be found by no member of the room that has
    /// taken its place, and received by none.
    fn publish_in(&self, room: &Room, event: &impl Encode, keep: Option<Keep<'_>>) -> Option<Delivery> {
        let mut bundle = Bundle::default();
        room.gather(event, 0, &mut bundle, Some(self), keep);
        room.publish(bundle, None, Some(self))
    }

    /// As [`publish`](Self::publish), for an event that is encoded differently for each delivery group.
    pub fn publish_by_group(&self, key: &RoomKey, event: &impl EncodeByGroup) -> Delivery {
        while let Some(room) = self.room(key) {
            if let Some(delivery) = room.publish_by_group(event, self) {
                return delivery;
            }
        }
        let wants_frame = self.wants_frames();
        let encode = || event.encode(&key.topic, Dialect::RELAY, Group::DEFAULT);
        let frame = wants_frame.then(encode).flatten();
        self.report_published(key, Published { frame: frame.as_ref(), messages: 1, kept: None })
    }

    /// Publishes `event` to all members on this node but one, if one is named, and to no other node. Returns the members whose outboxes
    /// were full, and were not offered the event again.
    pub fn publish_here(
        &self,
        key: &RoomKey,
        event: &impl EncodeByGroup,
        except: Option<RoomMember>,
    ) -> (Delivery, Vec<RoomMember>) {
        while let Some(room) = self.room(key) {
            if let Some((delivery, missed_by)) = room.publish_here(event, except) {
                return (delivery, missed_by);
            }
        }
        (Delivery::default(), Vec::new())
    }

    /// Reports messages to a room without members on this node.
    fn report_published(&self, key: &RoomKey, published: Published<'_>) -> Delivery {
        if self.observers.is_empty() {
            return Delivery::default();
        }
        let mut wakers = Wakers::collect();
        let unrelayed = self.published(&Arc::new(key.clone()), &published, &mut wakers);
        wakers.wake();
        Delivery { unrelayed, ..Delivery::default() }
    }

    /// The room, while it has members on this node.
    pub fn room(&self, key: &RoomKey) -> Option<Arc<Room>> {
        self.shard(key).lock().get(key).cloned()
    }

    /// All rooms, collected one shard after the other. Rooms that open or close meanwhile may or may not be
    /// included.
    pub fn rooms(&self) -> Vec<Arc<Room>> {
        let mut rooms = Vec::with_capacity(self.population().rooms);
        for shard in &self.shards {
            rooms.extend(shard.lock().values().cloned());
        }
        rooms
    }

    /// The current number of rooms and members.
    pub fn population(&self) -> Population {
        Population {
            rooms: self.rooms.load(Ordering::Relaxed),
            members: self.members.load(Ordering::Relaxed),
        }
    }

    /// The room whose presence is announced next at `now`, or when there is one. For one task: the last waker replaces
    /// the others.
    pub fn next_due(&self, now: Instant, waker: &Waker) -> NextDue {
        let mut closed = Vec::new();
        let next = self.due.lock().next(now, waker, &mut closed);
        // Rooms are dropped without the lock.
        drop(closed);
        next
    }

    /// Announcing presence in a room of `tenant` has taken this long: its next turns are shorter.
    pub fn charge_announcement(&self, tenant: &Arc<str>, taken: Duration) {
        self.due.lock().charge(tenant, taken);
    }

    /// Takes what is to be announced in `room` at `now`, in pieces of about `bytes_max` at most: less than an outbox
    /// holds, so that one fits beside others. A single entry is never cut. The caller encodes the pieces and sends them
    /// with [`announce`](Room::announce) and [`send_part`](Room::send_part). A room with more to send is due again.
    pub fn take_presence(&self, room: &Arc<Room>, now: Instant, bytes_max: usize) -> PresenceChange {
        room.take_presence(now, bytes_max, self)
    }

    fn shard(&self, key: &RoomKey) -> &Mutex<Shard> {
        &self.shards[self.hasher.hash_one(key) as usize % SHARDS]
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
