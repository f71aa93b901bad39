//! A bounded queue of what happens in the rooms of a hub, for one observer.
//!
//! A leaf under the locks of shard and room, so that an observer receives the events of a room in the order in which
//! its members see them. Tenants [share](crate::FairQueue) the queue: they take turns, and messages, joins and leaves
//! that do not fit the share of their tenant are dropped for this observer alone, and counted. Rooms that open, close
//! or change presence are never dropped and never many: each is queued at most once per kind, and a room that opens
//! and closes before the observer has taken notice of it is not reported.

mod queue;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Poll, Waker};
use std::time::Instant;

use parking_lot::Mutex;

use crate::bounds::Bounds;
use crate::marks::Mark;
use crate::replication::Snapshot;
use crate::room::{Published, Room};
use crate::room_event::RoomEvent;
use crate::topic::RoomKey;
use crate::wakers::Wakers;
use queue::Queue;

/// The events that an observer receives. What no observer wants costs nothing: it is not encoded or queued.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Interests {
    /// [`RoomEvent::RoomOpened`] and [`RoomEvent::RoomClosed`].
    pub rooms: bool,
    /// [`RoomEvent::MemberJoined`] and [`RoomEvent::MemberLeft`].
    pub members: bool,
    /// [`RoomEvent::Published`].
    pub messages: bool,
    /// [`RoomEvent::PresenceChanged`].
    pub presence: bool,
}

/// An observer's queue. One task takes events from it.
#[derive(Debug)]
pub struct Observer {
    interests: Interests,
    /// Selects the observer's marks in each room.
    number: u32,
    paused: AtomicBool,
    dropped: AtomicU64,
    queue: Mutex<Queue>,
}

impl Observer {
    pub(crate) fn new(interests: Interests, bounds: Bounds, number: u32) -> Self {
        let (paused, dropped) = (AtomicBool::new(false), AtomicU64::new(0));
        Self { interests, number, paused, dropped, queue: Mutex::new(Queue::new(bounds, number)) }
    }

    /// The messages, joins and leaves dropped since the start, because they did not fit or came while paused.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Drops messages, joins and leaves from now on, those queued included. Messages are not encoded either.
    pub fn pause(&self) {
        let mut queue = self.queue.lock();
        self.paused.store(true, Ordering::Relaxed);
        let bounded = queue.remove_bounded();
        drop(queue);
        self.count_dropped(bounded.iter().map(RoomEvent::count).sum());
    }

    /// Queues messages, joins and leaves again.
    pub fn resume(&self) {
        self.paused.store(false, Ordering::Relaxed);
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Relaxed)
    }

    /// Takes the next events, up to `max` unless a single one is larger, or registers `waker`. A change of presence is the
    /// last one, because it may be large. Those of a tenant are in order. For one task: the last waker replaces the others.
    pub fn poll(&self, max: Bounds, waker: &Waker) -> Poll<Vec<RoomEvent>> {
        let mut obsolete = Vec::new();
        let taken = self.queue.lock().take(max, waker, &mut obsolete);
        // Rooms are dropped without the lock.
        drop(obsolete);
        if taken.is_empty() { Poll::Pending } else { Poll::Ready(taken) }
    }

    /// The events of `tenant` have caused this many bytes more than they had, such as presence that was read from the
    /// room. Its next turns are shorter.
    pub fn charge(&self, tenant: &Arc<str>, bytes: usize) {
        self.queue.lock().charge(tenant, bytes);
    }

    /// Whether messages are to be encoded for this observer now.
    pub(crate) fn wants_frames(&self) -> bool {
        self.interests.messages && !self.paused.load(Ordering::Relaxed)
    }

    pub(crate) fn room_opened(&self, room: &Arc<Room>, wakers: &mut Wakers) {
        if self.interests.rooms {
            let mut queue = self.queue.lock();
            room.marks.set(self.number, Mark::OpenedQueued);
            queue.insert(RoomEvent::RoomOpened(Arc::clone(room)), wakers);
        }
    }

    pub(crate) fn presence_changed(&self, room: &Arc<Room>, wakers: &mut Wakers) {
        // The caller holds the room's lock. An observer that has just cleared the mark has yet to read the room
        // under that lock, and will find this change.
        if self.interests.presence && !room.marks.has(self.number, Mark::PresenceQueued) {
            let mut queue = self.queue.lock();
            room.marks.set(self.number, Mark::PresenceQueued);
            queue.insert(RoomEvent::PresenceChanged(Arc::clone(room)), wakers);
        }
    }

    /// The room has closed. An observer that has not taken notice of the room does not receive the event.
    pub(crate) fn room_closed(&self, room: &Room, final_snapshot: Option<Snapshot>, wakers: &mut Wakers) {
        if !self.interests.rooms && !self.interests.presence {
            return;
        }
        let mut queue = self.queue.lock();
        room.marks.set(self.number, Mark::Closed);
        let queued = [Mark::OpenedQueued, Mark::PresenceQueued];
        let obsolete = queued.iter().filter(|mark| room.marks.has(self.number, **mark)).count();
        if room.marks.has(self.number, Mark::Known) {
            queue.insert(RoomEvent::RoomClosed { key: Arc::clone(room.key()), final_snapshot }, wakers);
        }
        let removed = queue.note_obsolete(obsolete);
        drop(queue);
        drop(removed);
    }

    pub(crate) fn member_joined(&self, key: &Arc<RoomKey>, wakers: &mut Wakers) {
        if self.interests.members {
            let _counted = self.offer(RoomEvent::MemberJoined(Arc::clone(key)), wakers);
        }
    }

    pub(crate) fn member_left(&self, key: &Arc<RoomKey>, wakers: &mut Wakers) {
        if self.interests.members {
            let _counted = self.offer(RoomEvent::MemberLeft(Arc::clone(key)), wakers);
        }
    }

    /// Messages were published. Without a frame they were not encoded and count as dropped. Returns how many were
    /// dropped.
    pub(crate) fn published(
        &self,
        key: &Arc<RoomKey>,
        published: &Published<'_>,
        wakers: &mut Wakers,
    ) -> u32 {
        let Published { frame, messages, kept } = *published;
        if !self.interests.messages {
            return 0;
        }
        let is_queued = match frame {
            Some(frame) => {
                let (key, frame) = (Arc::clone(key), frame.clone());
                self.offer(RoomEvent::Published { key, frame, messages, kept }, wakers)
            }
            None => {
                self.count_dropped(messages.into());
                false
            }
        };
        if is_queued { 0 } else { messages }
    }

    /// Queues an event that counts against the bounds, if it fits the share of its tenant. Returns whether it does.
    fn offer(&self, event: RoomEvent, wakers: &mut Wakers) -> bool {
        let mut queue = self.queue.lock();
        let refused =
            if self.paused.load(Ordering::Relaxed) { Err(event) } else { queue.offer(event, wakers) };
        drop(queue);
        refused.map_err(|event| self.count_dropped(event.count())).is_ok()
    }

    fn count_dropped(&self, events: u64) {
        self.dropped.fetch_add(events, Ordering::Relaxed);
    }

    /// The observer lists these rooms: it takes notice of them, so that it receives the end of each even if
    /// it has not taken `RoomOpened`. Removes those that have closed.
    pub(crate) fn take_notice(&self, rooms: &mut Vec<Arc<Room>>) {
        // Under the lock under which rooms close.
        let _queue = self.queue.lock();
        rooms.retain(|room| !room.marks.has(self.number, Mark::Closed));
        for room in rooms {
            room.marks.set(self.number, Mark::Known);
        }
    }

    /// Rooms opened at `until` or earlier whose `RoomOpened` is still queued.
    pub(crate) fn opened_until(&self, until: Instant) -> Vec<Arc<Room>> {
        self.queue.lock().opened_until(until)
    }
}

#[cfg(test)]
mod tests;
