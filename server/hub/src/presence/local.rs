//! The changes of what this node's members track, as other nodes receive them.
//!
//! Changes are numbered, and the entries changed since the last delta are kept by id. An entry that was
//! tracked and removed in between leaves no trace, so the size is bounded by the entries tracked now and
//! those in the last delta, however long no delta is taken.

use std::collections::BTreeMap;
use std::mem;

use slab::Slab;

use crate::member::Slot;
use crate::presence_entry::TrackedEntry;
use crate::replication::{Delta, Position, Snapshot};

/// The changes in one room within one epoch.
#[derive(Debug, Default)]
pub(super) struct LocalChanges {
    /// The number of changes. The id of an entry is the number of the change that added it.
    seq: u64,
    /// The last change in a delta.
    delta_seq: u64,
    /// Entries added since the last delta: their ids, and the slots of their members.
    added: BTreeMap<u64, usize>,
    /// Ids of entries removed since the last delta that other nodes may know.
    removed: Vec<u64>,
}

impl LocalChanges {
    /// The member in slot `number` tracks a new entry. Returns its id.
    pub(super) fn add(&mut self, number: usize) -> u64 {
        self.seq += 1;
        self.added.insert(self.seq, number);
        self.seq
    }

    /// A member no longer tracks `entry`.
    pub(super) fn remove(&mut self, entry: &TrackedEntry) {
        self.seq += 1;
        self.added.remove(&entry.id);
        if entry.replicated {
            self.removed.push(entry.id);
        }
    }

    /// Whether there was ever a change.
    pub(super) fn has_changed(&self) -> bool {
        self.seq > 0
    }

    /// The changes since the last delta.
    pub(super) fn take_delta(&mut self, epoch: u64, slots: &mut Slab<Slot>) -> Option<Delta> {
        if self.added.is_empty() && self.removed.is_empty() {
            return None;
        }
        let from = mem::replace(&mut self.delta_seq, self.seq);
        let added = mem::take(&mut self.added).into_iter().map(|(id, number)| {
            let tracked = slots.get_mut(number).and_then(|slot| slot.tracked.as_mut());
            let tracked = tracked.expect("an added entry is in its member's slot");
            tracked.replicated = true;
            (id, tracked.entry.clone())
        });
        Some(Delta {
            epoch,
            from,
            to: self.seq,
            added: added.collect(),
            removed: mem::take(&mut self.removed),
        })
    }

    /// Everything tracked now. Its receiver may know entries that are new in the next delta only, so their
    /// removal must be in a delta too.
    pub(super) fn snapshot(&self, epoch: u64, slots: &mut Slab<Slot>) -> Snapshot {
        let tracked = slots.iter_mut().filter_map(|(_, slot)| slot.tracked.as_mut());
        let entries = tracked.map(|tracked| {
            tracked.replicated = true;
            (tracked.id, tracked.entry.clone())
        });
        Snapshot { position: Position { epoch, seq: self.seq }, entries: entries.collect() }
    }
}
