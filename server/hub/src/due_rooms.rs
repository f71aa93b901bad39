//! Rooms that have presence to announce, and whose turn it is.
//!
//! A room waits until it is due, and then in the line of its tenant: tenants take turns by the time that their
//! announcements take. Each room is listed at most once, and rooms that have closed since are removed when they are
//! many, so the list is never longer than the rooms that are open by more than a third.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use crate::bounds::Bounds;
use crate::fair_queue::{FairQueue, Quantum};
use crate::room::Room;

/// Closed rooms are removed when there are so many and they are a quarter of the list.
const CLOSED_KEPT: usize = 64;

/// In microseconds: a few announcements in small rooms, or one in a large room.
const QUANTUM: Quantum = Quantum { per_turn: 1_000, per_item: 10 };

/// What the announcer does next.
#[derive(Debug)]
pub enum NextDue {
    /// It announces the presence of this room.
    Room(Arc<Room>),
    /// It waits until then, or until it is woken.
    At(Instant),
    /// It waits until it is woken.
    Idle,
}

/// The list, and the waker of the task that works through it.
#[derive(Debug)]
pub(crate) struct DueRooms {
    waiting: BinaryHeap<Reverse<Waiting>>,
    ready: FairQueue<Arc<str>, Arc<Room>>,
    /// Rooms listed so far.
    listed: u64,
    /// About how many rooms in the list have closed: a room may be taken or removed after it has closed and before this is
    /// noted.
    closed: usize,
    waker: Option<Waker>,
}

/// A room that is not due yet; ordered by when it is, then by when it was listed.
#[derive(Debug)]
struct Waiting {
    due: Instant,
    number: u64,
    room: Arc<Room>,
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due, self.number).cmp(&(other.due, other.number))
    }
}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Waiting {}

impl Default for DueRooms {
    fn default() -> Self {
        // Rooms are not counted against bounds: each is listed once.
        let bounds = Bounds { frames: 0, bytes: 0 };
        Self {
            waiting: BinaryHeap::new(),
            ready: FairQueue::new(bounds, QUANTUM),
            listed: 0,
            closed: 0,
            waker: None,
        }
    }
}

impl DueRooms {
    /// Lists the room, unless it has closed. Returns the waker to wake without the lock.
    pub(crate) fn add(&mut self, room: &Arc<Room>, due: Instant) -> Option<Waker> {
        if room.is_closed() {
            return None;
        }
        room.set_listed(true);
        self.listed += 1;
        let (number, room) = (self.listed, Arc::clone(room));
        self.waiting.push(Reverse(Waiting { due, number, room }));
        self.waker.take()
    }

    /// The room has closed. Returns closed rooms that were removed, to be dropped without the lock.
    pub(crate) fn note_closed(&mut self, room: &Room) -> Vec<Arc<Room>> {
        self.closed += usize::from(room.is_listed());
        if self.closed <= CLOSED_KEPT.max(self.len() / 4) {
            return Vec::new();
        }
        self.closed = 0;
        let mut removed = self.ready.remove_unless(|room| !room.is_closed());
        let (closed, waiting) = std::mem::take(&mut self.waiting)
            .into_vec()
            .into_iter()
            .partition::<Vec<_>, _>(|Reverse(waiting)| waiting.room.is_closed());
        self.waiting = waiting.into();
        removed.extend(closed.into_iter().map(|Reverse(waiting)| waiting.room));
        removed
    }

    fn len(&self) -> usize {
        self.waiting.len() + self.ready.len()
    }

    /// What to do at `now`. If it is to wait, `waker` is woken when that changes. Closed rooms go into `closed`, to be
    /// dropped without the lock.
    pub(crate) fn next(&mut self, now: Instant, waker: &Waker, closed: &mut Vec<Arc<Room>>) -> NextDue {
        while let Some(Reverse(first)) = self.waiting.peek()
            && first.due <= now
            && let Some(Reverse(Waiting { room, .. })) = self.waiting.pop()
        {
            self.ready.insert(&room.key().tenant, Arc::clone(&room));
        }
        while let Some(room) = self.ready.pop() {
            room.set_listed(false);
            if !room.is_closed() {
                return NextDue::Room(room);
            }
            self.closed = self.closed.saturating_sub(1);
            closed.push(room);
        }
        self.waker = Some(waker.clone());
        self.waiting.peek().map_or(NextDue::Idle, |Reverse(first)| NextDue::At(first.due))
    }

    /// Announcing presence of `tenant` has taken this long.
    pub(crate) fn charge(&mut self, tenant: &Arc<str>, taken: Duration) {
        self.ready.charge(tenant, usize::try_from(taken.as_micros()).unwrap_or(usize::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topic::{Privacy, RoomKey, Space};

    fn room(tenant: &str, topic: &str) -> Arc<Room> {
        let (space, privacy) = (Space::Phoenix, Privacy::Public);
        let key = RoomKey { tenant: tenant.into(), space, privacy, topic: topic.into() };
        Arc::new(Room::new(key.into(), None))
    }

    fn next(due: &mut DueRooms) -> Option<String> {
        match due.next(Instant::now(), Waker::noop(), &mut Vec::new()) {
            NextDue::Room(room) => Some(format!("{}: {}", room.tenant(), room.topic())),
            NextDue::At(_) | NextDue::Idle => None,
        }
    }

    #[test]
    fn a_tenant_waits_for_one_turn_of_another_and_not_for_its_rooms() {
        let (mut due, now) = (DueRooms::default(), Instant::now());
        for number in 0..1_000 {
            due.add(&room("busy", &number.to_string()), now);
        }
        assert_eq!(next(&mut due).as_deref(), Some("busy: 0"));
        due.charge(&"busy".into(), Duration::from_millis(20));
        due.add(&room("quiet", "a"), now);
        due.add(&room("quiet", "b"), now);
        assert_eq!(next(&mut due).as_deref(), Some("quiet: a"));
        assert_eq!(next(&mut due).as_deref(), Some("quiet: b"));
        assert_eq!(next(&mut due).as_deref(), Some("busy: 1"));
    }

    #[test]
    fn rooms_wait_until_they_are_due_and_keep_their_order() {
        let (mut due, now) = (DueRooms::default(), Instant::now());
        let later = now + Duration::from_secs(60);
        due.add(&room("t", "later"), later);
        due.add(&room("t", "first"), now);
        due.add(&room("t", "second"), now);
        assert_eq!(next(&mut due).as_deref(), Some("t: first"));
        assert_eq!(next(&mut due).as_deref(), Some("t: second"));
        let waits = due.next(now, Waker::noop(), &mut Vec::new());
        assert!(matches!(waits, NextDue::At(at) if at == later), "{waits:?}");
        let at_last = due.next(later, Waker::noop(), &mut Vec::new());
        assert!(matches!(&at_last, NextDue::Room(room) if room.topic() == "later"), "{at_last:?}");
        assert!(matches!(due.next(later, Waker::noop(), &mut Vec::new()), NextDue::Idle));
    }

    #[test]
    fn closed_rooms_do_not_accumulate_and_are_not_announced() {
        let (mut due, now) = (DueRooms::default(), Instant::now());
        for number in 0..10_000 {
            let brief = room("t", &number.to_string());
            // Some are due, and others wait.
            due.add(&brief, now + Duration::from_secs(number % 2 * 60));
            if number == 5_000 {
                assert!(next(&mut due).is_some());
            }
            brief.close();
            drop(due.note_closed(&brief));
        }
        assert!(due.len() <= CLOSED_KEPT + 1, "{}", due.len());
        due.add(&room("t", "open"), now);
        assert_eq!(next(&mut due).as_deref(), Some("t: open"));
        assert_eq!(next(&mut due), None);
        let unnoted = room("t", "unnoted");
        due.add(&unnoted, now);
        unnoted.close();
        due.closed = 0;
        assert_eq!(next(&mut due), None, "taken before it is noted that it has closed");
        drop(due.note_closed(&unnoted));
        let closed = room("t", "closed");
        closed.close();
        due.add(&closed, now);
        assert!(due.waiting.iter().all(|Reverse(waiting)| waiting.room.topic() != "closed"));
    }
}
