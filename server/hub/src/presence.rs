//! Who is present in a room, and what has changed since the members were last told.
//!
//! A change is not announced by whoever makes it. It is noted under the room's lock, the room is put on
//! the hub's list of rooms with something to announce, and one task works through that list. So diffs
//! of a room leave in one order, a burst of changes becomes one diff (the newest state of each member),
//! and a member that asks for the whole state gets one that agrees with the diffs around it.
//!
//! What the members of other nodes show is heard from those nodes and announced in the same way, though by
//! nobody but this node to its own members.
//!
//! What a member tracks is opaque: a key and finished text.

mod others;
mod own;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use slab::Slab;

use crate::frame::Dialect;
use crate::member::Slot;
use crate::replication::{ApplyOutcome, Delta, NodeId, PresenceUpdate, Snapshot};

use self::others::{Change, RemotePresence};
use self::own::LocalChanges;

/// One tracked state, ready to be shown. No two are the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PresenceEntry {
    /// What the member is known by. Several members may share a key: two tabs of one user.
    pub key: Arc<str>,
    /// What it tracks, as finished text.
    pub meta: Arc<str>,
}

/// A member's tracked state, and who has heard of it.
#[derive(Debug)]
pub(crate) struct TrackedEntry {
    pub(crate) entry: PresenceEntry,
    /// What the other nodes know it by.
    pub(crate) id: u64,
    /// The members of this node have.
    pub(crate) announced: bool,
    /// Other nodes may have.
    pub(crate) told: bool,
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
    pub joins: Vec<PresenceEntry>,
    /// States that are gone, sorted by key. An update is in both lists.
    pub leaves: Vec<PresenceEntry>,
    /// Who is to be shown everybody.
    pub states: Vec<StateRequest>,
    /// Everybody, sorted by key, `joins` included; empty when nobody asked.
    pub present: Vec<PresenceEntry>,
}

impl PresenceChange {
    /// Takes out what was lost and has come back: another node was forgotten, and heard again at once. A
    /// client that finds the same state in both lists takes it for gone.
    fn settle(&mut self) {
        let Self { joins, leaves, .. } = self;
        if joins.is_empty() || leaves.is_empty() {
            return;
        }
        let left: HashSet<&PresenceEntry> = leaves.iter().collect();
        let back: HashSet<PresenceEntry> =
            joins.iter().filter(|entry| left.contains(entry)).cloned().collect();
        for entries in [joins, leaves] {
            entries.retain(|entry| !back.contains(entry));
        }
    }
}

/// What has happened since the last announcement, and what other nodes are told and have told.
#[derive(Debug, Default)]
pub(crate) struct RoomPresence {
    fresh: Vec<Unannounced>,
    leaves: Vec<PresenceEntry>,
    states: Vec<StateRequest>,
    /// Whether the room is on the hub's list already.
    listed: bool,
    /// When the room last announced something.
    announced_at: Option<Instant>,
    /// There if this node is one among several.
    relayed: Option<Box<ClusterPresence>>,
}

/// Something to be announced, unless it has gone by then.
#[derive(Debug, Clone, Copy)]
enum Unannounced {
    /// Of the member in the slot `number`, if that is still `member`.
    Here { number: usize, member: u64 },
    /// Of another node, by its id there.
    There { node: NodeId, id: u64 },
}

/// Presence beyond this node.
#[derive(Debug, Default)]
struct ClusterPresence {
    own: LocalChanges,
    others: RemotePresence,
}

impl RoomPresence {
    /// Nothing has happened yet in a room that is known to other nodes.
    pub(crate) fn relayed() -> Self {
        Self { relayed: Some(Box::default()), ..Self::default() }
    }

    /// `slot` now tracks `entry` instead of whatever it tracked.
    pub(crate) fn track(&mut self, number: usize, slot: &mut Slot, entry: PresenceEntry) {
        if let (Some(relayed), Some(old)) = (&mut self.relayed, &slot.meta) {
            relayed.own.hide(old);
        }
        let id = self.relayed.as_mut().map_or(0, |relayed| relayed.own.show(number));
        let meta = Box::new(TrackedEntry { entry, id, announced: false, told: false });
        let fresh = Unannounced::Here { number, member: slot.id };
        match slot.meta.replace(meta) {
            Some(old) if old.announced => {
                self.leaves.push(old.entry);
                self.fresh.push(fresh);
            }
            Some(_unannounced) => {}
            None => self.fresh.push(fresh),
        }
    }

    /// `slot` tracks nothing any more. Returns whether there is something to announce.
    pub(crate) fn untrack(&mut self, slot: &mut Slot) -> bool {
        let Some(old) = slot.meta.take() else { return false };
        if let Some(relayed) = &mut self.relayed {
            relayed.own.hide(&old);
        }
        if old.announced {
            self.leaves.push(old.entry);
        }
        old.announced
    }

    /// `slot` is to be shown everybody; until then it receives no diffs.
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
        for fresh in self.fresh.drain(..) {
            let entry = match fresh {
                Unannounced::Here { number, member } => announce(slots, number, member),
                Unannounced::There { node, id } => {
                    self.relayed.as_mut().and_then(|r| r.others.announce(node, id))
                }
            };
            change.joins.extend(entry);
        }
        // Whoever has left meanwhile is not to be shown anything.
        change.states.retain(|request| match slots.get_mut(request.slot) {
            Some(slot) if slot.id == request.id => std::mem::replace(&mut slot.awaits_state, false),
            _ => false,
        });
        if !change.states.is_empty() {
            let here = slots.iter().filter_map(|(_, slot)| Some(&slot.meta.as_ref()?.entry));
            let there = self.relayed.iter().flat_map(|relayed| relayed.others.entries());
            change.present = here.chain(there).cloned().collect();
        }
        if self.relayed.is_some() {
            change.settle();
        }
        for entries in [&mut change.joins, &mut change.leaves, &mut change.present] {
            entries.sort_by(|a, b| a.key.cmp(&b.key));
        }
        change
    }

    /// Whether there is anything to announce.
    pub(crate) fn is_due(&self) -> bool {
        !(self.fresh.is_empty() && self.leaves.is_empty() && self.states.is_empty())
    }

    /// Whether the other nodes are to be told of something and the link does not know yet.
    pub(crate) fn list_news(&mut self) -> bool {
        self.relayed.as_mut().is_some_and(|relayed| relayed.own.list())
    }

    /// What the other nodes have not been told yet.
    pub(crate) fn take_delta(&mut self, epoch: u64, slots: &mut Slab<Slot>) -> Option<Delta> {
        self.relayed.as_mut()?.own.take_delta(epoch, slots)
    }

    /// What the members of this node show.
    pub(crate) fn own(&self, epoch: u64, slots: &mut Slab<Slot>) -> Option<Snapshot> {
        self.relayed.as_ref().map(|relayed| relayed.own.state(epoch, slots))
    }

    /// Whether they have ever shown anything.
    pub(crate) fn has_spoken(&self) -> bool {
        self.relayed.as_ref().is_some_and(|relayed| relayed.own.has_spoken())
    }

    /// Takes a statement of another node for true, unless it is old or something before it is missing.
    /// Returns as well whether there is something to announce.
    pub(crate) fn apply_presence(&mut self, node: NodeId, statement: PresenceUpdate) -> (ApplyOutcome, bool) {
        let Some(relayed) = &mut self.relayed else { return (ApplyOutcome::Old, false) };
        let mut change = Change::default();
        let heard = relayed.others.apply_presence(node, statement, &mut change);
        (heard, self.note(node, change))
    }

    /// Nothing of what `node` has shown is true any more. Returns whether there is something to announce.
    pub(crate) fn forget(&mut self, node: NodeId) -> bool {
        let mut change = Change::default();
        if let Some(relayed) = &mut self.relayed {
            relayed.others.forget(node, &mut change);
        }
        self.note(node, change)
    }

    /// The other nodes that have said something.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = NodeId> {
        self.relayed.iter().flat_map(|relayed| relayed.others.nodes())
    }

    fn note(&mut self, node: NodeId, change: Change) -> bool {
        let is_change = !change.is_empty();
        self.fresh.extend(change.added.into_iter().map(|id| Unannounced::There { node, id }));
        self.leaves.extend(change.removed);
        is_change
    }
}

/// Marks what a member tracks as announced. `None` if that has gone, or was announced before.
fn announce(slots: &mut Slab<Slot>, number: usize, member: u64) -> Option<PresenceEntry> {
    let slot = slots.get_mut(number).filter(|slot| slot.id == member)?;
    let meta = slot.meta.as_mut().filter(|meta| !meta.announced)?;
    meta.announced = true;
    Some(meta.entry.clone())
}
