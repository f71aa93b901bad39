//! What this node's members show, as the other nodes are told of it.
//!
//! Changes are counted, and what has changed since the others were last told is kept by id: what came and
//! went untold leaves no trace, however long nobody asks. So this is never more than what is added now and
//! what was added then.

use std::collections::BTreeMap;
use std::mem;

use slab::Slab;

use super::TrackedEntry;
use crate::member::Slot;
use crate::replication::{Delta, Position, Snapshot};

/// The account of one room in one epoch.
#[derive(Debug, Default)]
pub(crate) struct LocalChanges {
    /// How many changes there have been. What is added has the number of its change as id.
    seq: u64,
    /// The last change the others have been told of.
    told: u64,
    /// What is added since, by id, and in which slot.
    added: BTreeMap<u64, usize>,
    /// What is removed since and may be known to somebody.
    removed: Vec<u64>,
    /// Whether the room is among the departures already.
    listed: bool,
}

impl LocalChanges {
    /// The member in slot `number` shows something. Returns its id.
    pub(super) fn show(&mut self, number: usize) -> u64 {
        self.seq += 1;
        self.added.insert(self.seq, number);
        self.seq
    }

    /// `meta` is added no more.
    pub(super) fn hide(&mut self, meta: &TrackedEntry) {
        self.seq += 1;
        self.added.remove(&meta.id);
        if meta.told {
            self.removed.push(meta.id);
        }
    }

    /// Whether the room is to be put among the departures.
    pub(super) fn list(&mut self) -> bool {
        let has_news = !self.added.is_empty() || !self.removed.is_empty();
        has_news && !mem::replace(&mut self.listed, true)
    }

    /// Whether anything was ever added.
    pub(super) fn has_spoken(&self) -> bool {
        self.seq > 0
    }

    /// What has changed since this was last taken.
    pub(super) fn take_delta(&mut self, epoch: u64, slots: &mut Slab<Slot>) -> Option<Delta> {
        self.listed = false;
        if self.added.is_empty() && self.removed.is_empty() {
            return None;
        }
        let from = mem::replace(&mut self.told, self.seq);
        let added = mem::take(&mut self.added).into_iter().map(|(id, number)| {
            let meta = slots.get_mut(number).and_then(|slot| slot.meta.as_mut());
            let meta = meta.expect("what is added is in its slot");
            meta.told = true;
            (id, meta.entry.clone())
        });
        Some(Delta {
            epoch,
            from,
            to: self.seq,
            added: added.collect(),
            removed: mem::take(&mut self.removed),
        })
    }

    /// Everything added now. Whoever is told may know what the next news only mention as new, so that it has
    /// to hear when that goes.
    pub(super) fn state(&self, epoch: u64, slots: &mut Slab<Slot>) -> Snapshot {
        let metas = slots.iter_mut().filter_map(|(_, slot)| slot.meta.as_mut());
        let entries = metas.map(|meta| {
            meta.told = true;
            (meta.id, meta.entry.clone())
        });
        Snapshot { position: Position { epoch, seq: self.seq }, entries: entries.collect() }
    }
}
