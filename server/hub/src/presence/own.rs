//! What this node's members show, as the other nodes are told of it.
//!
//! Changes are counted, and what has changed since the others were last told is kept by id: what came and
//! went untold leaves no trace, however long nobody asks. So this is never more than what is shown now and
//! what was shown then.

use std::collections::BTreeMap;
use std::mem;

use slab::Slab;

use super::Meta;
use crate::member::Slot;
use crate::replication::{Delta, Position, Snapshot};

/// The account of one room in one epoch.
#[derive(Debug, Default)]
pub(crate) struct Own {
    /// How many changes there have been. What is shown has the number of its change as id.
    seq: u64,
    /// The last change the others have been told of.
    told: u64,
    /// What is shown since, by id, and in which slot.
    shown: BTreeMap<u64, usize>,
    /// What is hidden since and may be known to somebody.
    hidden: Vec<u64>,
    /// Whether the room is among the departures already.
    listed: bool,
}

impl Own {
    /// The member in slot `number` shows something. Returns its id.
    pub(super) fn show(&mut self, number: usize) -> u64 {
        self.seq += 1;
        self.shown.insert(self.seq, number);
        self.seq
    }

    /// `meta` is shown no more.
    pub(super) fn hide(&mut self, meta: &Meta) {
        self.seq += 1;
        self.shown.remove(&meta.id);
        if meta.told {
            self.hidden.push(meta.id);
        }
    }

    /// Whether the room is to be put among the departures.
    pub(super) fn list(&mut self) -> bool {
        let has_news = !self.shown.is_empty() || !self.hidden.is_empty();
        has_news && !mem::replace(&mut self.listed, true)
    }

    /// Whether anything was ever shown.
    pub(super) fn has_spoken(&self) -> bool {
        self.seq > 0
    }

    /// What has changed since this was last taken.
    pub(super) fn take_delta(&mut self, epoch: u64, slots: &mut Slab<Slot>) -> Option<Delta> {
        self.listed = false;
        if self.shown.is_empty() && self.hidden.is_empty() {
            return None;
        }
        let from = mem::replace(&mut self.told, self.seq);
        let shown = mem::take(&mut self.shown).into_iter().map(|(id, number)| {
            let meta = slots.get_mut(number).and_then(|slot| slot.meta.as_mut());
            let meta = meta.expect("what is shown is in its slot");
            meta.told = true;
            (id, meta.entry.clone())
        });
        Some(Delta { epoch, from, to: self.seq, shown: shown.collect(), hidden: mem::take(&mut self.hidden) })
    }

    /// Everything shown now. Whoever is told may know what the next news only mention as new, so that it has
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
