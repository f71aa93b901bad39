//! The presence of a room, and what has changed since its last announcement.
//!
//! A change is not announced by the task that makes it. It is recorded under the room's lock, the room is put
//! on the hub's list of rooms to announce, and one task works through that list. So the diffs of a room are
//! sent in one order, a burst of changes becomes one diff (with the newest entry of each member), and a
//! member that requests the state receives one that agrees with the diffs before and after it. Diffs and states
//! that are larger than an outbox takes at once are sent in pieces.
//!
//! Entries of other nodes' members arrive as updates of those nodes and are announced in the same way, by
//! each node to its own members.

mod announced;
mod cluster;
mod diff;
mod local;
mod remote;
mod state;

use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use slab::Slab;

use crate::member::Slot;
use crate::memory::{MemoryCharge, MemoryKind, TenantMemory};
use crate::presence_entry::{PresenceEntry, TrackedEntry};
use crate::replication::NodeId;

use self::announced::{Announced, Announcements};
use self::cluster::ClusterPresence;
use self::state::StateTransfers;

pub use self::diff::DiffEntries;
pub use self::state::{StatePart, StateRequest};

/// What to announce in a room, in this order.
#[derive(Debug, Default)]
pub struct PresenceChange {
    /// What has changed, for the members that have a state.
    pub diffs: Vec<DiffEntries>,
    /// The state as of now, for the members that have requested it.
    pub parts: Vec<StatePart>,
}

/// What has changed since the last announcement, and the presence exchanged with other nodes.
#[derive(Debug, Default)]
pub(crate) struct RoomPresence {
    joins: Vec<Unannounced>,
    leaves: Vec<Announced>,
    requests: Vec<StateRequest>,
    transfers: StateTransfers,
    /// The number of entries that have been announced, and so the number of the last one.
    announcements: u64,
    /// Whether the room is on the hub's list already.
    scheduled: bool,
    announced_at: Option<Instant>,
    /// The size of all entries, those of other nodes included.
    bytes: usize,
    /// The same, charged to the tenant. `None` while nothing is shown.
    charge: Option<MemoryCharge>,
    /// Present if this node is part of a cluster.
    cluster: Option<Box<ClusterPresence>>,
}

/// Why an entry is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryRefusal {
    /// With it the room would show more than it may.
    RoomFull,
    /// The tenant may use no more memory.
    OutOfMemory,
}

/// What follows from a change of presence.
#[derive(Debug, Default)]
pub(crate) struct Effect {
    /// There is something to announce to the members of this node.
    pub(crate) announces: bool,
    /// A member of this node tracks something else than before.
    pub(crate) is_local: bool,
}

/// An entry to announce, unless it is removed before.
#[derive(Debug, Clone, Copy)]
enum Unannounced {
    /// The entry of the member in slot `number`, if that is still `member`.
    Local { number: usize, member: u32 },
    /// The entry of another node with this id.
    Remote { node: NodeId, id: u64 },
}

impl RoomPresence {
    /// An empty presence. With an epoch, it is exchanged with other nodes.
    pub(crate) fn new(epoch: Option<u64>) -> Self {
        let cluster = epoch.map(|epoch| Box::new(ClusterPresence::new(epoch)));
        Self { cluster, ..Self::default() }
    }

    /// Charges `entry`, if `slot` may track it in a room that shows at most `bytes_max`. What takes no more than the entry
    /// that it replaces always may: otherwise no member could show less in a room that is over its limit.
    pub(crate) fn admit(
        &mut self,
        slot: &Slot,
        entry: &PresenceEntry,
        bytes_max: usize,
    ) -> Result<(), EntryRefusal> {
        let replaced = slot.tracked.as_ref().map_or(0, |tracked| tracked.entry.bytes());
        let more = entry.bytes().saturating_sub(replaced);
        if more == 0 {
            return Ok(());
        }
        if self.bytes + more > bytes_max {
            return Err(EntryRefusal::RoomFull);
        }
        if self.try_charge(more, slot.outbox.memory()) { Ok(()) } else { Err(EntryRefusal::OutOfMemory) }
    }

    /// Charges `more` bytes to `account`, if its tenant may have them.
    fn try_charge(&mut self, more: usize, account: &Arc<TenantMemory>) -> bool {
        let is_charged = match &mut self.charge {
            Some(charge) => charge.try_grow(more),
            none => {
                *none = account.try_charge(MemoryKind::Presence, more);
                none.is_some()
            }
        };
        if !is_charged {
            account.count_refusal(MemoryKind::Presence);
        }
        is_charged
    }

    /// The entries take `bytes` from now on, which the charge follows; the first is one to `account`.
    fn resize(&mut self, bytes: usize, account: Option<&Arc<TenantMemory>>) {
        self.bytes = bytes;
        match &mut self.charge {
            Some(charge) if charge.bytes() == bytes => {}
            Some(_) if bytes == 0 => self.charge = None,
            Some(charge) => charge.resize(bytes),
            none if bytes > 0 => *none = account.map(|account| account.charge(MemoryKind::Presence, bytes)),
            _ => {}
        }
    }

    /// `slot` now tracks `entry`, which replaces what it tracked.
    pub(crate) fn track(&mut self, number: usize, slot: &mut Slot, entry: PresenceEntry) -> Effect {
        let replaced = slot.tracked.as_ref().map_or(0, |tracked| tracked.entry.bytes());
        self.resize(self.bytes + entry.bytes() - replaced, Some(slot.outbox.memory()));
        if let (Some(cluster), Some(old)) = (&mut self.cluster, &slot.tracked) {
            cluster.local.remove(old);
        }
        let id = self.cluster.as_mut().map_or(0, |cluster| cluster.local.add(number));
        let tracked = Box::new(TrackedEntry { entry, id, announced: None, replicated: false });
        if let Some(TrackedEntry { entry, announced: Some(number), .. }) =
            slot.tracked.replace(tracked).map(|old| *old)
        {
            self.leaves.push(Announced { number, entry });
        }
        // Once, however often it tracks and untracks before the announcement.
        if !mem::replace(&mut slot.awaits_announcement, true) {
            self.joins.push(Unannounced::Local { number, member: slot.id });
        }
        Effect { announces: true, is_local: true }
    }

    /// `slot` no longer tracks anything.
    pub(crate) fn untrack(&mut self, slot: &mut Slot) -> Effect {
        let Some(old) = slot.tracked.take() else { return Effect::default() };
        self.resize(self.bytes - old.entry.bytes(), None);
        if let Some(cluster) = &mut self.cluster {
            cluster.local.remove(&old);
        }
        let announced = old.announced.map(|number| Announced { number, entry: old.entry });
        let announces = announced.is_some();
        self.leaves.extend(announced);
        Effect { announces, is_local: true }
    }

    /// The member of `slot` has left.
    pub(crate) fn leave(&mut self, number: usize, slot: &mut Slot) -> Effect {
        self.transfers.end(number);
        self.untrack(slot)
    }

    /// Whether the member lacks parts of the state that it receives.
    pub(crate) fn is_receiving_state(&self, number: usize, slot: &Slot) -> bool {
        self.transfers.is_active(number, slot)
    }

    /// `slot` requests the state, or the next part of it. It receives no diffs before the first.
    pub(crate) fn request_state(&mut self, number: usize, slot: &mut Slot, tag: &str) -> Effect {
        if !self.transfers.is_active(number, slot) {
            slot.stale = true;
        }
        if !mem::replace(&mut slot.awaits_state, true) {
            let (dialect, id) = (slot.dialect, slot.id);
            self.requests.push(StateRequest { dialect, tag: tag.into(), slot: number, id });
        }
        Effect { announces: true, is_local: false }
    }

    /// Marks the room as scheduled. Returns when it is due, or `None` if it is scheduled already. The first
    /// change after a quiet time is due at once, the following ones `coalesce` after the last announcement.
    pub(crate) fn schedule(&mut self, coalesce: Duration) -> Option<Instant> {
        if mem::replace(&mut self.scheduled, true) {
            return None;
        }
        let now = Instant::now();
        Some(self.announced_at.map_or(now, |last| now.max(last + coalesce)))
    }

    /// Takes what is to be announced at `now`, in pieces of about `bytes_max`, and marks it as announced.
    pub(crate) fn take(&mut self, slots: &mut Slab<Slot>, now: Instant, bytes_max: usize) -> PresenceChange {
        self.scheduled = false;
        self.announced_at = Some(now);
        let diffs = self.take_diffs(slots, bytes_max);
        if !diffs.is_empty() {
            self.transfers.entries_changed();
        }
        PresenceChange { diffs, parts: self.take_parts(slots, bytes_max) }
    }

    fn take_diffs(&mut self, slots: &mut Slab<Slot>, bytes_max: usize) -> Vec<DiffEntries> {
        let leaves = mem::take(&mut self.leaves);
        // Only entries of other nodes return.
        let may_return = self.cluster.is_some() && !self.joins.is_empty();
        let (left, gone) = if may_return { (leaves, Vec::new()) } else { (Vec::new(), leaves) };
        let mut announcements = Announcements::after(self.announcements, left);
        let mut joins = Vec::new();
        for join in self.joins.drain(..) {
            joins.extend(match join {
                Unannounced::Local { number, member } => announce(slots, number, member, &mut announcements),
                Unannounced::Remote { node, id } => {
                    let cluster = self.cluster.as_mut();
                    cluster.and_then(|cluster| cluster.remote.announce(node, id, &mut announcements))
                }
            });
        }
        let (last, mut leaves) = announcements.finish();
        self.announcements = last;
        leaves.extend(gone.into_iter().map(|gone| gone.entry));
        DiffEntries::cut(joins, leaves, bytes_max)
    }

    fn take_parts(&mut self, slots: &mut Slab<Slot>, bytes_max: usize) -> Vec<StatePart> {
        let mut requests = mem::take(&mut self.requests);
        // Without the members that have left meanwhile.
        requests.retain(|request| match slots.get_mut(request.slot) {
            Some(slot) if slot.id == request.id => mem::replace(&mut slot.awaits_state, false),
            _ => false,
        });
        if requests.is_empty() {
            return Vec::new();
        }
        let local = slots.iter().filter_map(|(_, slot)| slot.tracked.as_ref());
        let local = local.filter_map(|tracked| Some((tracked.announced?, &tracked.entry)));
        let remote = self.cluster.iter().flat_map(|cluster| cluster.remote.announced());
        let entries = local.chain(remote).collect();
        let (parts, waiting) =
            self.transfers.take_parts(slots, requests, entries, self.announcements, bytes_max);
        for request in &waiting {
            slots[request.slot].awaits_state = true;
        }
        self.requests = waiting;
        parts
    }

    /// Whether the member may receive `part`: the first one always, a further one if it has received every diff since.
    pub(crate) fn expects(&self, number: usize, slot: &Slot, part: &StatePart) -> bool {
        if part.begins_state() { slot.stale } else { self.transfers.is_active(number, slot) }
    }

    /// The part is in the outbox of the member in slot `number`. Returns whether more parts follow.
    pub(crate) fn queued(&mut self, number: usize, slot: &mut Slot, part: &StatePart) -> bool {
        slot.stale = false;
        self.transfers.queued(number, slot.id, part)
    }

    /// Whether there is anything to announce.
    pub(crate) fn has_changes(&self) -> bool {
        !(self.joins.is_empty() && self.leaves.is_empty() && self.requests.is_empty())
    }
}

/// Marks what a member tracks as announced. `None` if it was removed, or announced before.
fn announce(
    slots: &mut Slab<Slot>,
    number: usize,
    member: u32,
    announcements: &mut Announcements,
) -> Option<PresenceEntry> {
    let slot = slots.get_mut(number).filter(|slot| slot.id == member)?;
    slot.awaits_announcement = false;
    let tracked = slot.tracked.as_mut()?;
    announcements.announce(&tracked.entry, &mut tracked.announced)
}
