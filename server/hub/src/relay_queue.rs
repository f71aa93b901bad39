//! What leaves for the other nodes, in order, until the link takes it.
//!
//! A leaf under the locks of shard and room, so that what a room says departs in the order in which its own
//! members hear it. Frames are bounded twice, as in an outbox; what does not fit is dropped for the other
//! nodes alone, and counted. Rooms that open, close or have news are never dropped and never many: each is
//! here at most once in each part, and what the link has not yet heard of is not mentioned when it has gone.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Poll, Waker};
use std::time::Instant;

use parking_lot::Mutex;

use crate::frame::Frame;
use crate::outbox::Bounds;
use crate::replication::Snapshot;
use crate::room::Room;
use crate::topic::RoomKey;
use crate::wakers::Wakers;

/// Rooms that have opened and closed unheard of are cleared away when there are so many, and they are a
/// good part of the queue.
const STALE_KEPT: usize = 64;

/// Queue memory kept when nothing departs, in entries.
const IDLE_CAPACITY: usize = 1_024;

/// Something the other nodes, or the link to them, should know.
#[derive(Debug)]
pub enum RelayEvent {
    /// The room has its first member on this node. Its members wait until it is
    /// [admitted](crate::Hub::confirm_joins).
    RoomOpened(Arc<Room>),
    /// Something was said in the room, to everybody who is in it elsewhere.
    Frame {
        /// Which room.
        key: Arc<RoomKey>,
        /// Said in [`Dialect::RELAY`](crate::Dialect::RELAY), possibly several messages end to end.
        frame: Frame,
        /// How many.
        messages: u32,
    },
    /// What the room's own members show has changed: [`Room::take_delta`].
    PresenceChanged(Arc<Room>),
    /// The room's last member on this node has left.
    RoomClosed {
        /// Which room.
        key: Arc<RoomKey>,
        /// To be told to the others, if anything was shown.
        final_snapshot: Option<Snapshot>,
    },
}

impl RelayEvent {
    /// Nobody needs to hear of it any more.
    fn is_stale(&self) -> bool {
        match self {
            Self::RoomOpened(room) | Self::PresenceChanged(room) => room.relay_state.is_closed(),
            Self::Frame { .. } | Self::RoomClosed { .. } => false,
        }
    }
}

/// What the link has been told of a room. Belongs to the queue, and changes under its lock alone.
#[derive(Debug)]
pub(crate) struct RelayState {
    /// When the room opened.
    pub(crate) since: Instant,
    /// It has taken `Opened` or has been given the room in a list, so it will have to hear of the end.
    known: AtomicBool,
    closed: AtomicBool,
}

impl RelayState {
    pub(crate) fn new() -> Self {
        Self { since: Instant::now(), known: AtomicBool::new(false), closed: AtomicBool::new(false) }
    }

    fn is_known(&self) -> bool {
        self.known.load(Ordering::Relaxed)
    }

    /// Whether the room's last member has left.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }
}

/// The queue, and what its rooms need to be one among several.
#[derive(Debug)]
pub(crate) struct RelayQueue {
    bounds: Bounds,
    queue: Mutex<Queue>,
    paused: AtomicBool,
    dropped: AtomicU64,
    epochs: AtomicU64,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<RelayEvent>,
    frames: u32,
    bytes: usize,
    /// Rooms in `waiting` that have closed before the link heard of them.
    stale: usize,
    waker: Option<Waker>,
}

impl Queue {
    fn push(&mut self, departure: RelayEvent, wakers: &mut Wakers) {
        self.waiting.push_back(departure);
        wakers.extend(self.waker.take());
    }

    fn fits(&self, frame: &Frame, bounds: Bounds) -> bool {
        self.frames == 0 || (self.frames < bounds.frames && self.bytes + frame.len() <= bounds.bytes)
    }

    fn pop(&mut self) -> Option<RelayEvent> {
        let departure = self.waiting.pop_front()?;
        match &departure {
            RelayEvent::Frame { frame, .. } => {
                self.frames -= 1;
                self.bytes -= frame.len();
            }
            RelayEvent::RoomOpened(room) if room.relay_state.is_known() => {}
            RelayEvent::RoomOpened(room) if room.relay_state.is_closed() => self.stale -= 1,
            RelayEvent::RoomOpened(room) => room.relay_state.known.store(true, Ordering::Relaxed),
            RelayEvent::PresenceChanged(_) | RelayEvent::RoomClosed { .. } => {}
        }
        Some(departure)
    }
}

impl RelayQueue {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            queue: Mutex::default(),
            paused: AtomicBool::new(false),
            dropped: AtomicU64::new(0),
            epochs: AtomicU64::new(0),
        }
    }

    /// Whether frames depart now.
    pub(crate) fn is_flowing(&self) -> bool {
        !self.paused.load(Ordering::Relaxed)
    }

    /// The epoch of the next room. It begins with 1.
    pub(crate) fn next_epoch(&self) -> u64 {
        self.epochs.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The epoch of the newest room.
    pub(crate) fn newest_epoch(&self) -> u64 {
        self.epochs.load(Ordering::Relaxed)
    }

    pub(crate) fn opened(&self, room: &Arc<Room>, wakers: &mut Wakers) {
        self.queue.lock().push(RelayEvent::RoomOpened(Arc::clone(room)), wakers);
    }

    pub(crate) fn news(&self, room: &Arc<Room>, wakers: &mut Wakers) {
        self.queue.lock().push(RelayEvent::PresenceChanged(Arc::clone(room)), wakers);
    }

    /// The room has closed. If the link has not heard of it, it never will.
    pub(crate) fn closed(&self, room: &Room, final_snapshot: Option<Snapshot>, wakers: &mut Wakers) {
        let mut queue = self.queue.lock();
        room.relay_state.closed.store(true, Ordering::Relaxed);
        if room.relay_state.is_known() {
            queue.push(RelayEvent::RoomClosed { key: Arc::clone(room.key()), final_snapshot }, wakers);
            return;
        }
        queue.stale += 1;
        if queue.stale > STALE_KEPT.max(queue.waiting.len() / 4) {
            queue.stale = 0;
            let all = mem::take(&mut queue.waiting).into_iter();
            let (stale, waiting): (VecDeque<_>, _) = all.partition(RelayEvent::is_stale);
            queue.waiting = waiting;
            drop(queue);
            drop(stale);
        }
    }

    /// The link is given these rooms in a list: it hears of the end of each, even if it has not taken `Opened`.
    pub(crate) fn list(&self, rooms: &mut Vec<Arc<Room>>) {
        // Under the lock under which rooms close.
        let _queue = self.queue.lock();
        rooms.retain(|room| !room.relay_state.is_closed());
        rooms.iter().for_each(|room| room.relay_state.known.store(true, Ordering::Relaxed));
    }

    /// Rooms that opened at `before` at the latest and of which the link has not yet taken notice.
    pub(crate) fn waiting(&self, before: Instant) -> Vec<Arc<Room>> {
        let queue = self.queue.lock();
        let opened = queue.waiting.iter().filter_map(|departure| match departure {
            RelayEvent::RoomOpened(room) => Some(room),
            _ => None,
        });
        opened.filter(|room| room.relay_state.since <= before).cloned().collect()
    }

    /// `messages` were said in a room. Without a frame they were not encoded, because frames did not flow.
    pub(crate) fn say(&self, key: &Arc<RoomKey>, frame: Option<&Frame>, messages: u32, wakers: &mut Wakers) {
        let mut queue = self.queue.lock();
        match frame.filter(|frame| self.is_flowing() && queue.fits(frame, self.bounds)) {
            Some(frame) => {
                queue.frames += 1;
                queue.bytes += frame.len();
                let (key, frame) = (Arc::clone(key), frame.clone());
                queue.push(RelayEvent::Frame { key, frame, messages }, wakers);
            }
            None => self.count_dropped(messages.into()),
        }
    }

    /// `messages` do not depart.
    pub(crate) fn count_dropped(&self, messages: u64) {
        self.dropped.fetch_add(messages, Ordering::Relaxed);
    }

    /// Messages that the other nodes did not get.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// From now on frames are dropped, those that wait included.
    pub(crate) fn pause(&self) {
        let mut queue = self.queue.lock();
        self.paused.store(true, Ordering::Relaxed);
        let is_frame = |departure: &RelayEvent| matches!(departure, RelayEvent::Frame { .. });
        let (frames, others): (VecDeque<_>, _) =
            mem::take(&mut queue.waiting).into_iter().partition(is_frame);
        queue.waiting = others;
        (queue.frames, queue.bytes) = (0, 0);
        drop(queue);
        for departure in &frames {
            if let RelayEvent::Frame { messages, .. } = departure {
                self.count_dropped((*messages).into());
            }
        }
    }

    /// From now on frames are queued again.
    pub(crate) fn resume(&self) {
        self.paused.store(false, Ordering::Relaxed);
    }

    /// Takes up to `max` out, or leaves `waker`.
    pub(crate) fn poll(&self, max: usize, waker: &Waker) -> Poll<Vec<RelayEvent>> {
        let mut queue = self.queue.lock();
        let mut taken = Vec::with_capacity(max.min(queue.waiting.len()));
        let mut stale = Vec::new();
        while taken.len() < max {
            let Some(departure) = queue.pop() else { break };
            if departure.is_stale() { stale.push(departure) } else { taken.push(departure) }
        }
        if taken.is_empty() {
            queue.waker = Some(waker.clone());
            queue.waiting.shrink_to(IDLE_CAPACITY);
        }
        drop(queue);
        drop(stale);
        if taken.is_empty() { Poll::Pending } else { Poll::Ready(taken) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topic::{Privacy, Space};

    fn room(topic: &str) -> Arc<Room> {
        let (space, privacy) = (Space::Phoenix, Privacy::Public);
        let key = RoomKey { tenant: "t".into(), space, privacy, topic: topic.into() };
        Arc::new(Room::opening(key.into(), 1))
    }

    #[test]
    fn rooms_that_come_and_go_unheard_of_do_not_pile_up() {
        let departures = RelayQueue::new(Bounds { frames: 1, bytes: 1 });
        let mut wakers = Wakers::collect();
        let lasting: Vec<_> = (0..10).map(|number| room(&number.to_string())).collect();
        for (number, kept) in lasting.iter().enumerate() {
            departures.opened(kept, &mut wakers);
            for brief in 0..1_000 {
                let brief = room(&format!("{number}-{brief}"));
                departures.opened(&brief, &mut wakers);
                departures.news(&brief, &mut wakers);
                departures.closed(&brief, None, &mut wakers);
            }
        }
        assert!(departures.queue.lock().waiting.len() <= 10 + 2 * (STALE_KEPT + 1));
        let Poll::Ready(taken) = departures.poll(usize::MAX, Waker::noop()) else { panic!("ten are open") };
        let opened = taken.iter().map(|departure| match departure {
            RelayEvent::RoomOpened(room) => room.topic(),
            other => panic!("nobody has heard of {other:?}"),
        });
        assert!(opened.eq(lasting.iter().map(|room| room.topic())));
        assert_eq!(departures.queue.lock().stale, 0);
    }

    #[test]
    fn whoever_lists_a_room_hears_of_its_end() {
        let departures = RelayQueue::new(Bounds { frames: 1, bytes: 1 });
        let mut wakers = Wakers::collect();
        let (open, closed) = (room("open"), room("closed"));
        departures.opened(&open, &mut wakers);
        departures.opened(&closed, &mut wakers);
        departures.closed(&closed, None, &mut wakers);
        let mut rooms = vec![Arc::clone(&open), closed];
        departures.list(&mut rooms);
        let listed: Vec<_> = rooms.iter().map(|room| room.topic()).collect();
        assert_eq!(listed, ["open"], "the other has gone unheard of");
        departures.closed(&open, None, &mut wakers);
        let Poll::Ready(taken) = departures.poll(usize::MAX, Waker::noop()) else { panic!("it has closed") };
        assert!(
            matches!(&taken[..], [RelayEvent::RoomClosed { key, .. }] if *key.topic == *"open"),
            "{taken:?}"
        );
        assert_eq!(departures.queue.lock().stale, 0);
    }
}
