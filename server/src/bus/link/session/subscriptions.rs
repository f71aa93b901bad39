//! Which rooms are subscribed to, and whose snapshots are read.
//!
//! A room is in [`RoomTable`](super::RoomTable) from when it is subscribed to. By then its local snapshot has been stored over
//! this connection, or is about to be, or is empty, so that deltas can follow.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hub::{NodeId, Room};

use super::LinkSession;
use crate::bus::link::failing_rooms::FailingRooms;
use crate::bus::link::room_table::tenant;
use crate::bus::link::room_turns::{RoomPriority, RoomTurn, RoomTurns};
use crate::bus::{
    AffectedRooms, BATCH_MAX, BusRejection, ReadRooms, RejectedCommand, RoomName, StoredSnapshot, TenantRooms,
};

/// Rooms that are opened together, at most [`BATCH_MAX`].
#[derive(Debug, Default)]
pub(super) struct OpenedRooms {
    names: Vec<RoomName>,
    /// Those that have to be subscribed to.
    new: Vec<RoomName>,
}

/// A room whose snapshots may have to be read.
#[derive(Debug)]
struct ListedRoom {
    name: RoomName,
    /// Only if this node has presence there.
    of: Option<NodeId>,
}

/// Rooms whose snapshots are to be read.
#[derive(Debug)]
pub(super) struct ReadQueue {
    /// Rooms that there were before this connection, and that are to be subscribed to first.
    pub(super) returning: VecDeque<Arc<Room>>,
    /// Rooms that have just opened, that are returning, or in which something was missed.
    due: RoomTurns,
    /// Rooms that there were before this connection, and that have not been read over it.
    pub(super) first: HashSet<RoomName>,
    /// Rooms in the next request: not many more than were answered in the last, because those have much presence.
    per_request: usize,
    /// Rooms to read after the next renewal, which shows which nodes are alive and what is rejected.
    postponed: HashSet<RoomName>,
    /// Whether all rooms are.
    are_all_postponed: bool,
    /// Rooms to be added to `due`, which is done in parts: there may be many.
    listed: VecDeque<ListedRoom>,
    /// Whether snapshots could not be read since the last renewal.
    has_failed: bool,
    /// Rooms for which there was no memory. They are read again with growing waits, and not with each change.
    unshown: FailingRooms,
    /// Whether all returning rooms have been subscribed to.
    pub(super) is_caught_up: bool,
}

impl OpenedRooms {
    /// Whether so many more may be added.
    pub(super) fn has_room_for(&self, more: usize) -> bool {
        self.names.len() + more <= BATCH_MAX
    }
}

impl Default for ReadQueue {
    fn default() -> Self {
        Self {
            returning: VecDeque::new(),
            due: RoomTurns::default(),
            first: HashSet::new(),
            per_request: BATCH_MAX,
            postponed: HashSet::new(),
            are_all_postponed: false,
            listed: VecDeque::new(),
            has_failed: false,
            unshown: FailingRooms::default(),
            is_caught_up: false,
        }
    }
}

impl ReadQueue {
    pub(super) fn begin(&mut self, rooms: Vec<Arc<Room>>) {
        self.is_caught_up = rooms.is_empty();
        self.returning = rooms.into();
    }

    /// Reads the room in its turn.
    pub(super) fn add(&mut self, name: RoomName, priority: RoomPriority) {
        self.due.insert(name, priority);
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.due.contains(name)
    }

    /// Rooms of which something is not shown, for want of memory.
    pub(super) fn unshown(&self) -> usize {
        self.unshown.len()
    }

    /// Reads those rooms whose wait is over.
    pub(super) fn retry_unshown(&mut self) {
        let due = &self.due;
        for name in self.unshown.take_due(Instant::now(), |name| due.contains(name)) {
            self.due.insert(name, RoomPriority::Background);
        }
    }

    /// Reads the room after the next renewal.
    pub(super) fn postpone(&mut self, name: RoomName) {
        self.postponed.insert(name);
    }

    /// Reads those of these rooms in which the node has presence.
    pub(super) fn list(&mut self, names: impl Iterator<Item = RoomName>, of: NodeId) {
        self.listed.extend(names.map(|name| ListedRoom { name, of: Some(of) }));
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
        let is_listed = !self.reads.returning.is_empty() || !self.reads.listed.is_empty();
        is_listed || self.requests.may_read() && !self.reads.due.is_empty()
    }

    /// Reads the postponed rooms now.
    pub(super) fn begin_postponed(&mut self) {
        let listed = |name| ListedRoom { name, of: None };
        let postponed = std::mem::take(&mut self.reads.postponed);
        if std::mem::take(&mut self.reads.are_all_postponed) {
            self.reads.listed.extend(self.rooms.iter().map(|(name, _)| listed(RoomName::clone(name))));
        } else {
            self.reads.listed.extend(postponed.into_iter().map(listed));
        }
    }

    /// Adds some of the listed rooms to those that are read in their turns.
    fn queue_some(&mut self) {
        while !self.timer.is_over()
            && let Some(ListedRoom { name, of }) = self.reads.listed.pop_front()
        {
            let has_presence = |node| {
                let subscription = self.rooms.get(&name);
                let room = subscription.and_then(|it| self.context.hub.room(&it.key));
                room.is_some_and(|room| room.remote_nodes().contains(&node))
            };
            if of.is_none_or(has_presence) {
                self.reads.add(name, RoomPriority::Background);
            }
        }
    }

    /// Subscribes to some of the rooms that there were before this connection, or reads some rooms.
    pub(super) fn read_some(&mut self) {
        self.queue_some();
        if self.reads.returning.is_empty() {
            if !self.requests.may_read() {
                return;
            }
            let next = std::iter::from_fn(|| self.reads.due.pop());
            let rooms = next.take(self.reads.per_request).collect();
            return self.read(rooms);
        }
        let mut opening = OpenedRooms::default();
        while opening.has_room_for(1)
            && !self.timer.is_over()
            && let Some(room) = self.reads.returning.pop_front()
        {
            // The event that a room has closed may have been handled already; its subscription would never end.
            if !room.is_closed() {
                self.store_returning(room.key());
                self.open(room, &mut opening);
            }
        }
        self.reads.first.extend(opening.names.iter().cloned());
        self.subscribe(opening, RoomPriority::Background);
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

    /// Subscribes to the rooms and queues the reads of their snapshots; then their joins are confirmed.
    pub(super) fn subscribe(&mut self, OpenedRooms { names, new }: OpenedRooms, priority: RoomPriority) {
        if !new.is_empty() {
            let subscribed = self.connection.subscribe(&new);
            self.requests.add_subscriptions(subscribed);
        }
        // After the subscription: what is not in a snapshot arrives as a message.
        names.into_iter().for_each(|name| self.reads.add(name, priority));
    }

    /// Confirms joins that have waited long enough in the hub's queue.
    pub(super) fn confirm_queued(&self) {
        let wait = self.context.settings.subscribe_timeout;
        // The next time would be too late for these.
        if let Some(until) = Instant::now().checked_sub(wait.saturating_sub(confirmation_interval(wait))) {
            self.context.hub.confirm_joins_until(until);
        }
    }

    /// Requests the snapshots of those rooms that are subscribed to.
    fn read(&mut self, mut rooms: Vec<RoomTurn>) {
        rooms.retain(|RoomTurn { name, .. }| {
            let Some(subscription) = self.rooms.get(name) else {
                self.reads.first.remove(name);
                return false;
            };
            let room = self.context.hub.room(&subscription.key);
            subscription.begin_read(room.map(|room| room.remote_nodes()).unwrap_or_default())
        });
        if !rooms.is_empty() {
            let names: Vec<_> = rooms.iter().map(|turn| RoomName::clone(&turn.name)).collect();
            let read = self.connection.snapshots(&names, self.context.large.clone());
            self.requests.add_read(rooms, read);
        }
    }

    /// Snapshots of the first of these rooms were read; the others are read later.
    pub(super) fn note_read(&mut self, rooms: Vec<RoomTurn>, read: ReadRooms) {
        let ReadRooms { rooms: snapshots, large } = read;
        let (asked, answered) = (rooms.len(), snapshots.len());
        self.reads.per_request = if answered < asked {
            answered.max(1)
        } else {
            self.reads.per_request.saturating_mul(2).min(BATCH_MAX)
        };
        let mut rooms = rooms.into_iter();
        // In this order, because the first of the two is asked once more than the second.
        for (snapshots, turn) in snapshots.into_iter().zip(rooms.by_ref()) {
            let bytes = snapshots.iter().flatten().filter_map(|(_, it)| it.as_ref()).map(bytes).sum();
            self.reads.due.charge(&turn, bytes);
            let name = turn.name;
            if self.reads.first.remove(&name) {
                self.resync.progress.rooms_read += 1;
                self.resync.progress.bytes_read += bytes;
            }
            match snapshots {
                Ok(snapshots) => self.apply_snapshots(&name, snapshots),
                Err(rejection) => self.note_unreadable(name, rejection),
            }
        }
        drop(large);
        for RoomTurn { name, priority } in rooms {
            if let Some(subscription) = self.rooms.get(&name) {
                let _read_again_anyway = subscription.end_read();
                self.reads.add(name, priority);
            }
        }
    }

    /// Something was missed in the room, and its snapshots have it.
    pub(super) fn read_again(&mut self, name: RoomName) {
        if !self.reads.unshown.is_waiting(&name) {
            self.reads.add(name, RoomPriority::Background);
        }
    }

    /// There is no memory for what another node shows in the room.
    pub(super) fn note_unshown(&mut self, name: RoomName) {
        let reason = "its tenant may use no more of `server.memory_budget`";
        self.status.room_failed(&name, &BusRejection::Room(reason.into()));
        let waits = self.context.retry_waits();
        self.reads.unshown.add(name, Instant::now(), waits);
        self.count_failing_rooms();
    }

    /// Snapshots of a room cannot be read. Joins do not wait for them any longer.
    fn note_unreadable(&mut self, name: RoomName, rejection: BusRejection) {
        let Some(subscription) = self.rooms.get(&name) else { return };
        let _nothing_follows = subscription.end_read();
        if let Some(room) = self.context.hub.room(&subscription.key) {
            self.context.hub.confirm_joins(&room);
        }
        match rejection {
            BusRejection::Room(_) | BusRejection::WrongType => self.note_failing(name, &rejection),
            BusRejection::Server(_) | BusRejection::Missing | BusRejection::NotKept { .. } => {
                self.status.presence_rejected(&rejection.to_string());
                self.reads.has_failed = true;
                self.reads.postpone(name);
            }
        }
    }

    /// Rooms that may not be subscribed to. Other nodes do not reach their members here.
    pub(super) fn note_unsubscribable(&mut self, rejected: Vec<RejectedCommand>) {
        for RejectedCommand { room, rejection } in rejected {
            self.note_failing(room, &rejection);
        }
    }

    /// Reads rooms in which messages are missing, after the next renewal.
    pub(super) fn postpone_reads(&mut self, rooms: AffectedRooms) {
        let postponed = &mut self.reads.postponed;
        match rooms {
            AffectedRooms::All => self.reads.are_all_postponed = true,
            AffectedRooms::Of(tenants) => {
                let is_whole = |name: &RoomName| tenants.get(tenant(name)) == Some(&TenantRooms::All);
                if tenants.values().any(|rooms| *rooms == TenantRooms::All) {
                    let subscribed = self.rooms.iter().map(|(name, _)| name);
                    postponed.extend(subscribed.filter(|name| is_whole(name)).cloned());
                }
                for rooms in tenants.into_values() {
                    if let TenantRooms::Only(rooms) = rooms {
                        postponed.extend(rooms);
                    }
                }
            }
        }
    }
}

fn bytes(snapshot: &StoredSnapshot) -> usize {
    snapshot.entries.iter().map(|(_, entry)| entry.len()).sum()
}
