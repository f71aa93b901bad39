//! What presence the peers are not told, or this node cannot read, because it is refused; and how that is put
//! right.
//!
//! A Redis that is full, or cannot write to its disk, still passes messages. So the cable stays, and each room whose
//! change was refused is told as a whole later: changes that follow would make a copy in which the refused one is
//! missing. Each renewal of the lease finds out whether there is still something that is refused.

use std::collections::BTreeSet;

use super::LinkSession;
use crate::bus::link::{commands, room_table};
use crate::bus::{BATCH_MAX, LeaseRenewal, RejectedChange, RoomName};

/// RoomTable that are remembered. Beyond, they are told over the next cable.
const ROOMS_MAX: usize = 65_536;

/// RoomTable for which something was refused.
#[derive(Debug, Default)]
pub(super) struct UnsyncedRooms {
    /// What this node shows there is to be told as a whole, when nothing is refused any more.
    untold: BTreeSet<RoomName>,
    /// The same, now.
    retelling: BTreeSet<RoomName>,
    /// Whether there were more rooms than are remembered.
    is_incomplete: bool,
    /// Their copies are to be read.
    unread: BTreeSet<RoomName>,
}

impl UnsyncedRooms {
    /// Whether what this node shows in the room will be told as a whole.
    pub(super) fn is_untold(&self, name: &RoomName) -> bool {
        self.untold.contains(name) || self.retelling.contains(name)
    }

    /// Whether there are rooms to be told as a whole now.
    pub(super) fn is_retelling(&self) -> bool {
        !self.retelling.is_empty()
    }

    /// Whether there are rooms of which the peers have not been told the whole, or of which that is not known.
    pub(super) fn has_untold(&self) -> bool {
        self.is_incomplete || !self.untold.is_empty() || !self.retelling.is_empty()
    }

    fn is_empty(&self) -> bool {
        self.untold.is_empty() && self.retelling.is_empty() && self.unread.is_empty()
    }
}

impl LinkSession<'_, '_> {
    /// Changes were refused.
    pub(super) fn note_refusals(&mut self, refusals: Vec<RejectedChange>) {
        for RejectedChange { room, reason: why } in refusals {
            self.standing.deny(&why);
            if self.refused.untold.len() < ROOMS_MAX {
                self.refused.untold.insert(room);
            } else {
                self.refused.is_incomplete = true;
            }
        }
    }

    /// Copies were refused. Nothing follows from that but that nobody waits for them.
    pub(super) fn note_unread(&mut self, name: RoomName, why: &str) {
        self.standing.deny(why);
        let Some(listened) = self.rooms.get(&name) else { return };
        listened.answered();
        if let Some(room) = self.context.hub.room(&listened.key) {
            self.context.hub.confirm_joins(&room);
        }
        self.refused.unread.insert(name);
    }

    /// The lease was renewed, or that was refused.
    pub(super) fn note_renewal(&mut self, renewal: LeaseRenewal) {
        let LeaseRenewal { alive, registered, rejected: refused } = renewal;
        if !self.is_renewed || registered && !self.is_registered {
            self.is_registered = registered;
            self.refused = UnsyncedRooms::default();
            self.begin();
        }
        match &refused {
            Some(why) => self.standing.deny(why),
            None if !self.refused.is_empty() => self.try_again(),
            None if self.is_told_in_full() => self.standing.allow(),
            // What is on its way may be refused, as it was before: the next renewal knows.
            None => {}
        }
        self.is_refused = refused.is_some();
        self.know_alive(alive.into_iter().collect());
    }

    fn try_again(&mut self) {
        self.refused.retelling.append(&mut self.refused.untold);
        for name in std::mem::take(&mut self.refused.unread) {
            self.read_again(name);
        }
    }

    /// Tells of some of the rooms that are to be told as a whole now.
    pub(super) fn retell_some(&mut self) {
        let next = std::iter::from_fn(|| self.refused.retelling.pop_first());
        let keys = next.take(BATCH_MAX).filter_map(|name| room_table::key(&name));
        let (node, hub) = (self.context.node, &self.context.hub);
        let whole = keys.map(|key| commands::local_snapshot(node, hub, &key)).collect();
        self.send_wholes(whole);
    }
}
