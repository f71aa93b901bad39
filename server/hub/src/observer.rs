//! A bounded queue of what happens in the rooms of a hub, for one observer.
//!
//! A leaf under the locks of shard and room, so that an observer receives events in the order in which the
//! members of a room see them. Messages, joins and leaves are bounded by frames and bytes, as in an outbox;
//! those that do not fit are dropped for this observer alone, and counted. Rooms that open, close or change
//! presence are never dropped and never many: each is queued at most once per kind, and a room that opens and
//! closes before the observer has taken notice of it is not reported.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Poll, Waker};
use std::time::Instant;

use parking_lot::Mutex;

use crate::frame::Frame;
use crate::marks::Mark;
use crate::outbox::Bounds;
use crate::replication::Snapshot;
use crate::room::Room;
use crate::room_event::RoomEvent;
use crate::topic::RoomKey;
use crate::wakers::Wakers;

/// Obsolete events are removed when there are so many and they are a quarter of the queue.
const OBSOLETE_KEPT: usize = 64;

/// Queue memory kept while the queue is empty, in events.
const IDLE_CAPACITY: usize = 1_024;

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
    bounds: Bounds,
    /// Selects the observer's marks in each room.
    number: u32,
    paused: AtomicBool,
    dropped: AtomicU64,
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    events: VecDeque<RoomEvent>,
    load: Load,
    /// The number of obsolete events in `events`.
    obsolete: usize,
    waker: Option<Waker>,
}

/// How much of the bounds is used. [`Load::fits`] alone decides what is queued. There is one load for all
/// tenants: a share per tenant is one of these for each, with bounds of its own.
#[derive(Debug, Default)]
struct Load {
    frames: u32,
    bytes: usize,
}

impl Load {
    fn fits(&self, bytes: usize, bounds: Bounds) -> bool {
        self.frames == 0 || (self.frames < bounds.frames && self.bytes + bytes <= bounds.bytes)
    }

    fn add(&mut self, bytes: usize) {
        self.frames += 1;
        self.bytes += bytes;
    }

    fn subtract(&mut self, bytes: usize) {
        self.frames -= 1;
        self.bytes -= bytes;
    }
}

impl Queue {
    fn push(&mut self, event: RoomEvent, wakers: &mut Wakers) {
        self.events.push_back(event);
        wakers.extend(self.waker.take());
    }
}

impl Observer {
    pub(crate) fn new(interests: Interests, bounds: Bounds, number: u32) -> Self {
        let (paused, dropped) = (AtomicBool::new(false), AtomicU64::new(0));
        Self { interests, bounds, number, paused, dropped, queue: Mutex::default() }
    }

    /// The messages, joins and leaves dropped since the start, because they did not fit or came while paused.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Drops messages, joins and leaves from now on, those queued included. Messages are not encoded either.
    pub fn pause(&self) {
        let mut queue = self.queue.lock();
        self.paused.store(true, Ordering::Relaxed);
        let is_bounded = |event: &RoomEvent| event.bounded_bytes().is_some();
        let (bounded, kept): (VecDeque<_>, _) =
            mem::take(&mut queue.events).into_iter().partition(is_bounded);
        queue.events = kept;
        queue.load = Load::default();
        drop(queue);
        self.count_dropped(bounded.iter().map(RoomEvent::count).sum());
    }

    /// Queues messages, joins and leaves again.
    pub fn resume(&self) {
        self.paused.store(false, Ordering::Relaxed);
    }

    /// Takes up to `max` events in order, or registers `waker`. For one task: the last waker replaces the
    /// others.
    pub fn poll(&self, max: usize, waker: &Waker) -> Poll<Vec<RoomEvent>> {
        let mut queue = self.queue.lock();
        let mut taken = Vec::with_capacity(max.min(queue.events.len()));
        let mut obsolete = Vec::new();
        while taken.len() < max {
            let Some(event) = self.pop(&mut queue) else { break };
            if event.is_obsolete(self.number) { obsolete.push(event) } else { taken.push(event) }
        }
        if taken.is_empty() {
            queue.waker = Some(waker.clone());
            queue.events.shrink_to(IDLE_CAPACITY);
        }
        drop(queue);
        // Rooms are dropped without the lock.
        drop(obsolete);
        if taken.is_empty() { Poll::Pending } else { Poll::Ready(taken) }
    }

    fn pop(&self, queue: &mut Queue) -> Option<RoomEvent> {
        let event = queue.events.pop_front()?;
        queue.obsolete -= usize::from(event.is_obsolete(self.number));
        if let Some(bytes) = event.bounded_bytes() {
            queue.load.subtract(bytes);
        }
        match &event {
            RoomEvent::RoomOpened(room) => {
                room.marks.clear(self.number, Mark::OpenedQueued);
                room.marks.set(self.number, Mark::Known);
            }
            RoomEvent::PresenceChanged(room) => room.marks.clear(self.number, Mark::PresenceQueued),
            _ => {}
        }
        Some(event)
    }

    /// Whether messages are to be encoded for this observer now.
    pub(crate) fn wants_frames(&self) -> bool {
        self.interests.messages && !self.paused.load(Ordering::Relaxed)
    }

    pub(crate) fn room_opened(&self, room: &Arc<Room>, wakers: &mut Wakers) {
        if self.interests.rooms {
            let mut queue = self.queue.lock();
            room.marks.set(self.number, Mark::OpenedQueued);
            queue.push(RoomEvent::RoomOpened(Arc::clone(room)), wakers);
        }
    }

    pub(crate) fn presence_changed(&self, room: &Arc<Room>, wakers: &mut Wakers) {
        // The caller holds the room's lock. An observer that has just cleared the mark has yet to read the room
        // under that lock, and will find this change.
        if self.interests.presence && !room.marks.has(self.number, Mark::PresenceQueued) {
            let mut queue = self.queue.lock();
            room.marks.set(self.number, Mark::PresenceQueued);
            queue.push(RoomEvent::PresenceChanged(Arc::clone(room)), wakers);
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
        queue.obsolete += queued.iter().filter(|mark| room.marks.has(self.number, **mark)).count();
        if room.marks.has(self.number, Mark::Known) {
            queue.push(RoomEvent::RoomClosed { key: Arc::clone(room.key()), final_snapshot }, wakers);
        }
        if queue.obsolete > OBSOLETE_KEPT.max(queue.events.len() / 4) {
            queue.obsolete = 0;
            let is_obsolete = |event: &RoomEvent| event.is_obsolete(self.number);
            let (obsolete, events): (VecDeque<_>, _) =
                mem::take(&mut queue.events).into_iter().partition(is_obsolete);
            queue.events = events;
            drop(queue);
            drop(obsolete);
        }
    }

    pub(crate) fn member_joined(&self, key: &Arc<RoomKey>, wakers: &mut Wakers) {
        if self.interests.members {
            self.offer(RoomEvent::MemberJoined(Arc::clone(key)), wakers);
        }
    }

    pub(crate) fn member_left(&self, key: &Arc<RoomKey>, wakers: &mut Wakers) {
        if self.interests.members {
            self.offer(RoomEvent::MemberLeft(Arc::clone(key)), wakers);
        }
    }

    /// `messages` were published. Without a frame they were not encoded and count as dropped.
    pub(crate) fn published(
        &self,
        key: &Arc<RoomKey>,
        frame: Option<&Frame>,
        messages: u32,
        wakers: &mut Wakers,
    ) {
        if !self.interests.messages {
            return;
        }
        match frame {
            Some(frame) => {
                let (key, frame) = (Arc::clone(key), frame.clone());
                self.offer(RoomEvent::Published { key, frame, messages }, wakers);
            }
            None => self.count_dropped(messages.into()),
        }
    }

    /// Queues an event that counts against the bounds, if it fits.
    fn offer(&self, event: RoomEvent, wakers: &mut Wakers) {
        let bytes = event.bounded_bytes().unwrap_or_default();
        let mut queue = self.queue.lock();
        if !self.paused.load(Ordering::Relaxed) && queue.load.fits(bytes, self.bounds) {
            queue.load.add(bytes);
            queue.push(event, wakers);
        } else {
            drop(queue);
            self.count_dropped(event.count());
        }
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
        let queue = self.queue.lock();
        let opened = queue.events.iter().filter_map(|event| match event {
            RoomEvent::RoomOpened(room) => Some(room),
            _ => None,
        });
        opened.filter(|room| room.opened_at() <= until).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topic::{Privacy, Space};

    fn room(topic: &str) -> Arc<Room> {
        let (space, privacy) = (Space::Phoenix, Privacy::Public);
        let key = RoomKey { tenant: "t".into(), space, privacy, topic: topic.into() };
        Arc::new(Room::new(key.into(), Some(1)))
    }

    fn observer() -> Observer {
        let interests = Interests { rooms: true, presence: true, ..Interests::default() };
        Observer::new(interests, Bounds { frames: 1, bytes: 1 }, 0)
    }

    #[test]
    fn rooms_that_open_and_close_before_they_are_taken_do_not_accumulate() {
        let observer = observer();
        let mut wakers = Wakers::collect();
        let lasting: Vec<_> = (0..10).map(|number| room(&number.to_string())).collect();
        for (number, kept) in lasting.iter().enumerate() {
            observer.room_opened(kept, &mut wakers);
            for brief in 0..1_000 {
                let brief = room(&format!("{number}-{brief}"));
                observer.room_opened(&brief, &mut wakers);
                observer.presence_changed(&brief, &mut wakers);
                observer.room_closed(&brief, None, &mut wakers);
            }
        }
        assert!(observer.queue.lock().events.len() <= 10 + 2 * (OBSOLETE_KEPT + 1));
        let Poll::Ready(taken) = observer.poll(usize::MAX, Waker::noop()) else {
            panic!("ten rooms are open")
        };
        let opened = taken.iter().map(|event| match event {
            RoomEvent::RoomOpened(room) => room.topic(),
            other => panic!("unexpected {other:?}"),
        });
        assert!(opened.eq(lasting.iter().map(|room| room.topic())));
        assert_eq!(observer.queue.lock().obsolete, 0);
    }

    #[test]
    fn an_observer_that_lists_a_room_receives_its_end() {
        let observer = observer();
        let mut wakers = Wakers::collect();
        let (open, closed) = (room("open"), room("closed"));
        observer.room_opened(&open, &mut wakers);
        observer.room_opened(&closed, &mut wakers);
        observer.room_closed(&closed, None, &mut wakers);
        let mut rooms = vec![Arc::clone(&open), closed];
        observer.take_notice(&mut rooms);
        let listed: Vec<_> = rooms.iter().map(|room| room.topic()).collect();
        assert_eq!(listed, ["open"], "the other has closed");
        observer.room_closed(&open, None, &mut wakers);
        let Poll::Ready(taken) = observer.poll(usize::MAX, Waker::noop()) else {
            panic!("the room has closed")
        };
        assert!(
            matches!(&taken[..], [RoomEvent::RoomClosed { key, .. }] if *key.topic == *"open"),
            "{taken:?}"
        );
        assert_eq!(observer.queue.lock().obsolete, 0);
    }
}
