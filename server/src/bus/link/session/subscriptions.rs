//! Which rooms are subscribed to, and whose snapshots are read.
//!
//! A room is in [`RoomTable`](super::RoomTable) from when it is subscribed to. By then its local snapshot has been stored over
//! this connection, or is about to be, or is empty, so that deltas can follow.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hub::Room;

use super::LinkSession;
use super::requests::Completed;
use crate::bus::link::room_table;
use crate::bus::{AffectedRooms, BATCH_MAX, RoomName};

/// Rooms that are opened together.
#[derive(Debug, Default)]
pub(super) struct OpenedRooms {
    names: Vec<RoomName>,
    /// Those that have to be subscribed to.
    new: Vec<RoomName>,
}

/// Rooms whose snapshots are to be read.
#[derive(Debug, Default)]
pub(super) struct ReadQueue {
    /// Rooms that there were before this connection, and that are to be subscribed to first.
    pub(super) returning: VecDeque<Arc<Room>>,
    /// Rooms in which something was missed.
    due: BTreeSet<RoomName>,
    /// Rooms to read after the next renewal, which shows which nodes are alive and what is rejected.
    postponed: BTreeSet<RoomName>,
    /// Whether snapshots could not be read since the last renewal.
    has_failed: bool,
    /// Whether all returning rooms have been subscribed to.
    pub(super) is_caught_up: bool,
}

impl ReadQueue {
    pub(super) fn begin(&mut self, rooms: Vec<Arc<Room>>) {
        self.is_caught_up = rooms.is_empty();
        self.returning = rooms.into();
    }

    /// Reads the room now.
    pub(super) fn add(&mut self, name: RoomName) {
        self.due.insert(name);
    }

    /// Reads the room after the next renewal.
    pub(super) fn postpone(&mut self, name: RoomName) {
        self.postponed.insert(name);
    }

    /// Reads the postponed rooms now.
    pub(super) fn begin_postponed(&mut self) {
        self.due.append(&mut self.postponed);
    }

    /// Whether snapshots could not be read since this was last called.
    pub(super) fn take_failed(&mut self) -> bool {
        std::mem::take(&mut self.has_failed)
    }
}

/// How often joins are looked for that have waited longer than `wait`.
pub(super) fn confirmation_interval(wait: Duration) -> Duration {
    (wait / 4).clamp(Duration::from_millis(10), Duration::from_millis(250))
}

impl LinkSession<'_, '_> {
    pub(super) fn may_read(&self) -> bool {
        self.requests.may_read() && !(self.reads.returning.is_empty() && self.reads.due.is_empty())
    }

    /// Reads some rooms: those that there were before this connection, then those in which something was missed.
    pub(super) fn read_some(&mut self) {
        if self.reads.returning.is_empty() {
            let next = std::iter::from_fn(|| self.reads.due.pop_first());
            let names = next.take(BATCH_MAX).collect();
            return self.read(names);
        }
        let returning = &mut self.reads.returning;
        let mut rooms: Vec<_> = returning.drain(..BATCH_MAX.min(returning.len())).collect();
        // The event that a room has closed may have been handled already; its subscription would never end.
        rooms.retain(|room| !room.is_closed());
        let mut opening = OpenedRooms::default();
        for room in rooms {
            if self.resync.is_registered && room.local_snapshot().position.seq > 0 {
                self.resync.add(room_table::name(room.key()));
            }
            self.open(room, &mut opening);
        }
        self.subscribe(opening);
        self.reads.is_caught_up = self.reads.returning.is_empty();
        self.end_resync();
    }

    /// The room has opened. [`subscribe`](Self::subscribe) follows.
    pub(super) fn open(&mut self, room: Arc<Room>, opening: &mut OpenedRooms) {
        let deadline = room.opened_at() + self.context.settings.subscribe_timeout;
        let (name, is_new) = self.rooms.open(room, deadline);
        opening.new.extend(is_new.then(|| Arc::clone(&name)));
        opening.names.push(name);
    }

    /// Subscribes to the rooms and reads their snapshots; then their joins are confirmed.
    pub(super) fn subscribe(&mut self, OpenedRooms { names, new }: OpenedRooms) {
        if !new.is_empty() {
            let subscribed = self.connection.subscribe(&new);
            self.requests.add(subscribed, |()| Completed::SubscriptionsChanged);
        }
        // After the subscription: what is not in a snapshot arrives as a message.
        self.read(names);
    }

    /// Confirms joins that have waited long enough in the hub's queue.
    pub(super) fn confirm_queued(&self) {
        let wait = self.context.settings.subscribe_timeout;
        // The next time would be too late for these.
        if let Some(until) = Instant::now().checked_sub(wait.saturating_sub(confirmation_interval(wait))) {
            self.context.hub.confirm_joins_until(until);
        }
    }

    /// Requests the snapshots of rooms that are subscribed to; later, if many reads are pending.
    fn read(&mut self, mut rooms: Vec<RoomName>) {
        if !self.requests.may_read() {
            return self.reads.due.extend(rooms);
        }
        rooms.retain(|name| {
            let Some(subscription) = self.rooms.get(name) else { return false };
            let room = self.context.hub.room(&subscription.key);
            subscription.begin_read(room.map(|room| room.remote_nodes()).unwrap_or_default())
        });
        if !rooms.is_empty() {
            let (snapshots, is_first) = (self.connection.snapshots(&rooms), !self.reads.is_caught_up);
            self.requests.add_read(rooms, snapshots, is_first);
        }
    }

    /// Snapshots of a room cannot be read. Joins do not wait for them any longer.
    pub(super) fn note_unreadable(&mut self, name: RoomName, reason: &str) {
        self.status.presence_rejected(reason);
        let Some(subscription) = self.rooms.get(&name) else { return };
        let _nothing_follows = subscription.end_read();
        if let Some(room) = self.context.hub.room(&subscription.key) {
            self.context.hub.confirm_joins(&room);
        }
        self.reads.has_failed = true;
        self.reads.postpone(name);
    }

    /// Reads rooms in which messages are missing, after the next renewal.
    pub(super) fn postpone_reads(&mut self, rooms: AffectedRooms) {
        match rooms {
            AffectedRooms::Only(rooms) => self.reads.postponed.extend(rooms),
            AffectedRooms::All => {
                self.reads.postponed.extend(self.rooms.iter().map(|(name, _)| Arc::clone(name)));
            }
        }
    }
}
