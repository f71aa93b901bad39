//! Storing this node's presence as a whole: all of it over a new connection, and single rooms in which a change was
//! rejected, whose snapshot was evicted, or of which an older node requests it.
//!
//! A server that is full, or cannot write to its disk, still passes messages. So the connection stays, and a room in which a
//! change was rejected is stored again after the next renewal. Until then its changes are not published: they would make a
//! snapshot in which the rejected one is missing. Each renewal shows whether anything is still rejected. A room that fails
//! by itself is tried again with growing waits, and nothing else waits for it.

use std::collections::{BTreeSet, VecDeque};
use std::time::Instant;

use hub::{RoomKey, Shares};

use super::{ClusterMessage, LinkSession};
use crate::bus::link::failing_rooms::{FailingRooms, ROOMS_MAX};
use crate::bus::link::room_turns::{RoomPriority, RoomTurns};
use crate::bus::link::stored_presence::TooMuch;
use crate::bus::link::{ResyncProgress, commands, room_table};
use crate::bus::{BATCH_BYTES, BATCH_MAX, BusRejection, Command, LeaseRenewal, RejectedCommand, RoomName};

/// Rooms to store, and the lease without which nothing can be stored.
#[derive(Debug, Default)]
pub(super) struct Resync {
    /// Rooms to store now.
    pending: RoomTurns,
    /// Rooms to store after the next renewal, because a change was rejected.
    rejected: BTreeSet<RoomName>,
    /// Those of each tenant. Rooms beyond its share are stored over the next connection.
    rejected_shares: Shares<String>,
    /// Whether there were such rooms.
    is_incomplete: bool,
    /// Rooms that fail by themselves.
    failing: FailingRooms,
    /// Rooms whose snapshots are to be refreshed.
    refreshes: VecDeque<RoomName>,
    /// Rooms and bytes in the batches that have no response yet.
    sent: VecDeque<(usize, usize)>,
    /// How far the resync over a new connection is.
    pub(super) progress: ResyncProgress,
    /// Whether `ResyncBegin` was published, and `ResyncEnd` was not.
    owes_end: bool,
    /// Whether the lease has been renewed, or that was rejected.
    pub(super) is_renewed: bool,
    /// Whether there is a lease.
    pub(super) is_registered: bool,
    /// Whether anything was rejected at the last renewal.
    pub(super) is_renewal_rejected: bool,
}

impl Resync {
    /// Stores the room as a whole, soon.
    pub(super) fn add(&mut self, name: RoomName) {
        self.pending.insert(name, RoomPriority::Background);
    }

    /// Stores the room after the next renewal.
    fn add_rejected(&mut self, name: RoomName) {
        if self.rejected.contains(&name) {
            return;
        }
        if self.rejected_shares.try_take(room_table::tenant(&name), 1, ROOMS_MAX) {
            self.rejected.insert(name);
        } else {
            self.is_incomplete = true;
        }
    }

    pub(super) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Whether the room will be stored as a whole, so that changes of it need not be.
    pub(super) fn is_obsolete(&self, name: &RoomName) -> bool {
        self.pending.contains(name) || self.rejected.contains(name) || self.failing.is_waiting(name)
    }

    /// Whether other nodes must not conclude anything from what is missing.
    pub(super) fn is_unfinished(&self) -> bool {
        self.owes_end || !self.is_registered
    }

    fn is_stored(&self) -> bool {
        !self.is_incomplete && self.pending.is_empty() && self.rejected.is_empty()
    }
}

impl LinkSession<'_, '_> {
    /// The lease is renewed, or that was rejected.
    pub(super) fn note_renewal(&mut self, renewal: LeaseRenewal) {
        let LeaseRenewal { alive, registered, rejected, wrong_types } = renewal;
        self.status.wrong_types_deleted(wrong_types);
        if !self.resync.is_renewed || registered && !self.resync.is_registered {
            self.resync = Resync { is_registered: registered, ..Resync::default() };
            self.begin_resync();
        }
        let has_failed_reads = self.reads.take_failed();
        match &rejected {
            Some(reason) => self.status.presence_rejected(reason),
            None if !self.resync.rejected.is_empty() => {
                self.resync.rejected_shares = Shares::default();
                std::mem::take(&mut self.resync.rejected).into_iter().for_each(|name| self.resync.add(name));
            }
            // What is pending may be rejected again: the next renewal shows it.
            None if self.is_resynced() && !has_failed_reads => self.status.presence_accepted(),
            None => {}
        }
        self.resync.is_renewal_rejected = rejected.is_some();
        if rejected.is_none() {
            self.retry_failing();
        }
        self.reads.retry_unshown();
        self.count_failing_rooms();
        // Whatever is rejected: to extend a lifetime needs no memory.
        self.begin_refresh();
        self.note_alive(alive.into_iter().collect());
        self.resync.is_renewed = true;
        self.begin_postponed();
    }

    /// Begins to store everything, if anything can be stored, and to read everything.
    fn begin_resync(&mut self) {
        if self.resync.is_registered {
            self.resync.owes_end = true;
            self.publish_to_nodes(&ClusterMessage::ResyncBegin);
        }
        self.reads.begin(self.context.hub.rooms_for_relay());
        self.resync.progress.rooms_to_read = self.reads.returning.len();
        self.keep_sequences_of_returning();
        self.end_resync();
        let users = self.peers.all_users(self.context);
        self.publish_to_nodes(&users);
    }

    /// Publishes the end of a resync once everything is stored: until then, what is missing means nothing.
    pub(super) fn end_resync(&mut self) {
        if self.resync.owes_end && self.is_resynced() {
            self.resync.owes_end = false;
            self.publish_to_nodes(&ClusterMessage::ResyncEnd);
        }
    }

    fn is_resynced(&self) -> bool {
        self.reads.is_caught_up && self.resync.is_stored() && self.requests.stores == 0
    }

    /// A room that there was before this connection: its presence is to be stored.
    pub(super) fn store_returning(&mut self, key: &RoomKey) {
        let snapshot = self.context.hub.local_snapshot(key);
        if self.resync.is_registered && !matches!(snapshot.position.seq, 0 | u64::MAX) {
            self.resync.progress.rooms_to_store += 1;
            self.resync.progress.bytes_to_store += commands::stored_bytes(&snapshot);
            self.resync.add(room_table::name(key));
        }
    }

    /// Commands were rejected.
    pub(super) fn note_rejected(&mut self, rejected: Vec<RejectedCommand>) {
        for RejectedCommand { room, rejection } in rejected {
            match rejection {
                BusRejection::Missing => self.store_evicted(room),
                BusRejection::Room(_) | BusRejection::WrongType => self.note_failing(room, &rejection),
                BusRejection::NotKept { messages, reason } => self.note_not_kept(messages, &reason),
                BusRejection::Server(reason) => {
                    self.status.presence_rejected(&reason);
                    self.resync.add_rejected(room);
                }
            }
        }
    }

    fn note_not_kept(&mut self, messages: u32, reason: &str) {
        self.context.losses.note();
        self.status.messages_not_kept(messages, reason);
    }

    fn store_evicted(&mut self, room: RoomName) {
        self.context.metrics.evicted.increment(1);
        self.status.room_failed(&room, &BusRejection::Missing);
        self.resync.add(room);
    }

    /// The presence of a room cannot be stored or read, or it cannot be subscribed to.
    pub(super) fn note_failing(&mut self, room: RoomName, rejection: &BusRejection) {
        self.status.room_failed(&room, rejection);
        self.resync.failing.add(room, Instant::now(), self.context.retry_waits());
        self.count_failing_rooms();
    }

    pub(super) fn count_failing_rooms(&self) {
        self.status.set_failing_rooms(self.resync.failing.len() + self.reads.unshown());
    }

    /// Stores and reads rooms again that have failed.
    fn retry_failing(&mut self) {
        let (pending, reads) = (&self.resync.pending, &self.reads);
        let is_unsettled = |name: &RoomName| pending.contains(name) || reads.contains(name);
        let due = self.resync.failing.take_due(Instant::now(), is_unsettled);
        for names in due.chunks(BATCH_MAX) {
            let subscribed: Vec<_> =
                names.iter().filter(|name| self.rooms.get(name).is_some()).map(RoomName::clone).collect();
            let response = self.connection.subscribe(&subscribed);
            self.requests.add_subscriptions(response);
        }
        for name in due {
            self.reads.add(RoomName::clone(&name), RoomPriority::Background);
            self.resync.add(name);
        }
    }

    /// The command, if the presence that it stores is within what its tenant may store. Otherwise what is stored of the room
    /// is removed: without the later changes it would be wrong.
    pub(super) fn admit(&mut self, command: Command, key: &RoomKey) -> Option<Command> {
        let Command::Store { room, change, .. } = &command else { return Some(command) };
        match self.stored.admit(room, change) {
            Ok(()) => Some(command),
            Err(TooMuch) => {
                let room = RoomName::clone(room);
                let (node, hub) = (self.context.node, &self.context.hub);
                let withdrawal = self.stored.remove(&room).then(|| commands::withdrawal(node, hub, key));
                let reason = "its tenant has stored `bus.max_presence_bytes_per_tenant` already";
                self.note_failing(room, &BusRejection::Room(reason.into()));
                withdrawal
            }
        }
    }

    pub(super) fn may_store(&self) -> bool {
        self.resync.has_pending() && self.requests.may_store()
    }

    /// Stores some of the pending rooms.
    pub(super) fn store_some(&mut self) {
        let (node, hub) = (self.context.node, &self.context.hub);
        let (mut batch, mut bytes, mut rooms) = (Vec::new(), 0, 0);
        while bytes < BATCH_BYTES && rooms < BATCH_MAX && !self.timer.is_over() {
            let Some(turn) = self.resync.pending.pop() else { break };
            let Some(key) = room_table::key(&turn.name) else { continue };
            let command = commands::local_snapshot(node, hub, &key);
            rooms += 1;
            bytes += command.len();
            self.resync.pending.charge(&turn, command.len());
            batch.extend(self.admit(command, &key));
        }
        let bytes = batch.iter().map(Command::len).sum();
        self.resync.sent.push_back((rooms, bytes));
        let charges = self.charge_large(&batch);
        let stored = self.connection.send(batch);
        self.requests.add_store(stored, bytes, charges);
    }

    /// A batch of local snapshots has been stored.
    pub(super) fn note_stored(&mut self) {
        let (rooms, bytes) = self.resync.sent.pop_front().unwrap_or_default();
        self.resync.progress.rooms_stored += rooms;
        self.resync.progress.bytes_stored += bytes;
        self.end_resync();
    }

    /// Refreshes all that is stored, unless the last round has not ended.
    fn begin_refresh(&mut self) {
        if self.resync.refreshes.is_empty() && self.requests.may_refresh() {
            self.resync.refreshes = self.stored.rooms().cloned().collect();
        }
    }

    pub(super) fn may_refresh(&self) -> bool {
        !self.resync.refreshes.is_empty() && self.requests.may_refresh()
    }

    pub(super) fn refresh_some(&mut self) {
        let (hub, mut rooms) = (&self.context.hub, Vec::new());
        while rooms.len() < BATCH_MAX
            && !self.timer.is_over()
            && let Some(name) = self.resync.refreshes.pop_front()
        {
            // What is not stored any more must not be listed again.
            if !self.stored.contains(&name) || self.resync.is_obsolete(&name) {
                continue;
            }
            let key = room_table::key(&name);
            let bytes = || key.map_or(0, |key| commands::stored_bytes(&hub.local_snapshot(&key)));
            self.stored.recount(&name, bytes);
            rooms.push(name);
        }
        if !rooms.is_empty() {
            let refreshed = self.connection.refresh(&rooms);
            self.requests.add_refresh(refreshed);
        }
    }

    /// What is missing is stored again. A server that rejects this rejects the next change, too.
    pub(super) fn note_refreshed(&mut self, rejected: Vec<RejectedCommand>) {
        for RejectedCommand { room, rejection } in rejected {
            match rejection {
                BusRejection::Server(reason) => self.status.presence_rejected(&reason),
                // It may have been removed since.
                _ if !self.stored.contains(&room) => {}
                BusRejection::Missing => self.store_evicted(room),
                BusRejection::NotKept { messages, reason } => self.note_not_kept(messages, &reason),
                BusRejection::Room(_) | BusRejection::WrongType => self.note_failing(room, &rejection),
            }
        }
    }
}
