//! Storing this node's presence as a whole: all of it over a new connection, and single rooms in which a change was
//! rejected, or of which an older node requests it.
//!
//! A server that is full, or cannot write to its disk, still passes messages. So the connection stays, and a room in which a
//! change was rejected is stored again after the next renewal. Until then its changes are not published: they would make a
//! snapshot in which the rejected one is missing. Each renewal shows whether anything is still rejected.

use std::collections::BTreeSet;

use super::requests::Completed;
use super::{ClusterMessage, LinkSession};
use crate::bus::link::{commands, room_table};
use crate::bus::{BATCH_MAX, Command, LeaseRenewal, RejectedChange, RoomName};

/// Rooms with rejected changes that are remembered. More are stored over the next connection.
const ROOMS_MAX: usize = 65_536;

/// Bytes of snapshots in one batch, unless a single one is larger.
const BATCH_BYTES: usize = 256 * 1024;

/// Rooms to store, and the lease without which nothing can be stored.
#[derive(Debug, Default)]
pub(super) struct Resync {
    /// Rooms to store now.
    pending: BTreeSet<RoomName>,
    /// Rooms to store after the next renewal, because a change was rejected.
    rejected: BTreeSet<RoomName>,
    /// Whether there were more such rooms than are remembered.
    is_incomplete: bool,
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
        self.pending.insert(name);
    }

    pub(super) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Whether the room will be stored as a whole, so that changes of it need not be.
    pub(super) fn is_obsolete(&self, name: &RoomName) -> bool {
        self.pending.contains(name) || self.rejected.contains(name)
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
    pub(super) fn note_renewal(&mut self, LeaseRenewal { alive, registered, rejected }: LeaseRenewal) {
        if !self.resync.is_renewed || registered && !self.resync.is_registered {
            self.resync = Resync { is_registered: registered, ..Resync::default() };
            self.begin_resync();
        }
        let has_failed_reads = self.reads.take_failed();
        match &rejected {
            Some(reason) => self.status.presence_rejected(reason),
            None if !self.resync.rejected.is_empty() => {
                let rejected = &mut self.resync.rejected;
                self.resync.pending.append(rejected);
            }
            // What is pending may be rejected again: the next renewal shows it.
            None if self.is_resynced() && !has_failed_reads => self.status.presence_accepted(),
            None => {}
        }
        self.resync.is_renewal_rejected = rejected.is_some();
        self.note_alive(alive.into_iter().collect());
        self.resync.is_renewed = true;
        self.reads.begin_postponed();
    }

    /// Begins to store everything, if anything can be stored, and to read everything.
    fn begin_resync(&mut self) {
        if self.resync.is_registered {
            self.resync.owes_end = true;
            self.publish_to_nodes(&ClusterMessage::ResyncBegin);
        }
        self.reads.begin(self.context.hub.rooms_for_relay());
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

    /// Changes were rejected.
    pub(super) fn note_rejected(&mut self, rejected: Vec<RejectedChange>) {
        for RejectedChange { room, reason } in rejected {
            self.status.presence_rejected(&reason);
            if self.resync.rejected.len() < ROOMS_MAX {
                self.resync.rejected.insert(room);
            } else {
                self.resync.is_incomplete = true;
            }
        }
    }

    pub(super) fn may_store(&self) -> bool {
        self.resync.has_pending() && self.requests.may_store()
    }

    /// Stores some of the pending rooms.
    pub(super) fn store_some(&mut self) {
        let (node, hub) = (self.context.node, &self.context.hub);
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while bytes < BATCH_BYTES && batch.len() < BATCH_MAX {
            let Some(name) = self.resync.pending.pop_first() else { break };
            let Some(key) = room_table::key(&name) else { continue };
            let command = commands::local_snapshot(node, hub, &key);
            bytes += Command::len(&command);
            batch.push(command);
        }
        self.requests.stores += 1;
        self.send_batch(batch, 0, Completed::Stored);
    }
}
