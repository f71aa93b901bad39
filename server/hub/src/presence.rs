//! Who is present in a room, and what has changed since the members were last told.
//!
//! A change is not announced by whoever makes it. It is noted under the room's lock, the room is put on
//! the hub's list of rooms with something to announce, and one task works through that list. So diffs
//! of a room leave in one order, a burst of changes becomes one diff (the newest state of each member),
//! and a member that asks for the whole state gets one that agrees with the diffs around it.
//!
//! What a member tracks is opaque: a key and finished text.

use std::sync::Arc;
use std::time::{Duration, Instant};

use slab::Slab;

use crate::frame::Dialect;
use crate::member::Slot;

/// One tracked state, ready to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What the member is known by. Several members may share a key: two tabs of one user.
    pub key: Arc<str>,
    /// What it tracks, as finished text.
    pub meta: Arc<str>,
}

/// A member's tracked state, and whether the others have heard of it.
#[derive(Debug)]
pub(crate) struct Meta {
    pub(crate) entry: Entry,
    pub(crate) announced: bool,
}

/// A member that is to be shown everybody present.
#[derive(Debug)]
pub struct StateRequest {
    /// How its connection spells events.
    pub dialect: Dialect,
    /// What the session gave along: whatever its protocol needs to address the member.
    pub tag: Box<str>,
    pub(crate) slot: usize,
    pub(crate) id: u64,
}

/// What is to be announced in a room now.
#[derive(Debug, Default)]
pub struct PresenceChange {
    /// New states, sorted by key.
    pub joins: Vec<Entry>,
    /// States that are gone, sorted by key. An update is in both lists.
    pub leaves: Vec<Entry>,
    /// Who is to be shown everybody.
    pub states: Vec<StateRequest>,
    /// Everybody, sorted by key, `joins` included; empty when nobody asked.
    pub present: Vec<Entry>,
}

/// What has happened since the last announcement.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    fresh: Vec<(usize, u64)>,
    leaves: Vec<Entry>,
    states: Vec<StateRequest>,
    /// Whether the room is on the hub's list already.
    listed: bool,
    /// When the room last announced something.
    announced_at: Option<Instant>,
}

impl Pending {
    /// `slot` now tracks `entry` instead of whatever it tracked.
    pub(crate) fn track(&mut self, number: usize, slot: &mut Slot, entry: Entry) {
        let meta = Box::new(Meta { entry, announced: false });
        match slot.meta.replace(meta) {
            Some(old) if old.announced => {
                self.leaves.push(old.entry);
                self.fresh.push((number, slot.id));
            }
            Some(_unannounced) => {}
            None => self.fresh.push((number, slot.id)),
        }
    }

    /// `slot` tracks nothing any more. Returns whether there is something to announce.
    pub(crate) fn untrack(&mut self, slot: &mut Slot) -> bool {
        let Some(old) = slot.meta.take().filter(|meta| meta.announced) else { return false };
        self.leaves.push(old.entry);
        true
    }

    /// `slot` is to be shown everybody; until then diffs mean nothing to it.
    pub(crate) fn request_state(&mut self, number: usize, slot: &mut Slot, tag: &str) {
        slot.stale = true;
        if !std::mem::replace(&mut slot.awaits_state, true) {
            let (dialect, id) = (slot.dialect, slot.id);
            self.states.push(StateRequest { dialect, tag: tag.into(), slot: number, id });
        }
    }

    /// Puts the room on the list: returns when it is due, unless it is listed already. The first change
    /// after a quiet time is due at once, the following ones when `coalesce` has passed.
    pub(crate) fn list(&mut self, coalesce: Duration) -> Option<Instant> {
        if std::mem::replace(&mut self.listed, true) {
            return None;
        }
        let now = Instant::now();
        Some(self.announced_at.map_or(now, |last| now.max(last + coalesce)))
    }

    /// Takes everything out, marking what is new as announced.
    pub(crate) fn take(&mut self, slots: &mut Slab<Slot>, now: Instant) -> PresenceChange {
        self.listed = false;
        self.announced_at = Some(now);
        let mut change = PresenceChange {
            leaves: std::mem::take(&mut self.leaves),
            states: std::mem::take(&mut self.states),
            ..PresenceChange::default()
        };
        for (number, id) in self.fresh.drain(..) {
            let Some(slot) = slots.get_mut(number).filter(|slot| slot.id == id) else { continue };
            if let Some(meta) = slot.meta.as_mut().filter(|meta| !meta.announced) {
                meta.announced = true;
                change.joins.push(meta.entry.clone());
            }
        }
        // Whoever has left meanwhile is not to be shown anything.
        change.states.retain(|request| match slots.get_mut(request.slot) {
            Some(slot) if slot.id == request.id => std::mem::replace(&mut slot.awaits_state, false),
            _ => false,
        });
        if !change.states.is_empty() {
            let metas = slots.iter().filter_map(|(_, slot)| slot.meta.as_ref());
            change.present = metas.map(|meta| meta.entry.clone()).collect();
        }
        for entries in [&mut change.joins, &mut change.leaves, &mut change.present] {
            entries.sort_by(|a, b| a.key.cmp(&b.key));
        }
        change
    }
}
