//! What the members of other nodes track in a room, as those nodes have published it.
//!
//! For each node its entries and the position of its newest update. The position stays when a node tracks
//! nothing any more: otherwise a late update would bring back entries that were removed.

use std::collections::HashMap;
use std::mem;
use std::num::NonZeroU64;

use super::announced::{Announced, Announcements};
use crate::presence_entry::PresenceEntry;
use crate::replication::{ApplyOutcome, Delta, NodeId, Position, PresenceUpdate, Snapshot};

/// The presence of all other nodes in a room.
#[derive(Debug, Default)]
pub(super) struct RemotePresence {
    nodes: HashMap<NodeId, NodePresence>,
}

/// The presence of one node.
#[derive(Debug)]
struct NodePresence {
    position: Position,
    entries: HashMap<u64, RemoteEntry>,
}

/// An entry, and the number of its announcement to the members of this node.
#[derive(Debug)]
struct RemoteEntry {
    entry: PresenceEntry,
    announced: Option<NonZeroU64>,
}

/// What an update changes for the members of this node.
#[derive(Debug, Default)]
pub(super) struct RemoteChange {
    /// Ids of new entries.
    pub(super) added: Vec<u64>,
    /// Announced entries that were removed.
    pub(super) removed: Vec<Announced>,
    /// The size of the new entries.
    pub(super) added_bytes: usize,
    /// The size of the removed entries, announced or not.
    pub(super) removed_bytes: usize,
}

impl RemoteChange {
    pub(super) fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty()
    }

    fn add(&mut self, entries: &mut HashMap<u64, RemoteEntry>, (id, entry): (u64, PresenceEntry)) {
        entries.entry(id).or_insert_with(|| {
            self.added.push(id);
            self.added_bytes += entry.bytes();
            RemoteEntry { entry, announced: None }
        });
    }

    fn remove(&mut self, removed: RemoteEntry) {
        self.removed_bytes += removed.entry.bytes();
        let entry = removed.entry;
        self.removed.extend(removed.announced.map(|number| Announced { number, entry }));
    }
}

impl NodePresence {
    /// Applies a delta that may overlap with what is known: ids are never reused, so applying a change twice
    /// has no effect.
    fn apply_delta(&mut self, delta: Delta, change: &mut RemoteChange) {
        self.position.seq = delta.to;
        for id in delta.removed {
            if let Some(removed) = self.entries.remove(&id) {
                change.remove(removed);
            }
        }
        for added in delta.added {
            change.add(&mut self.entries, added);
        }
    }
}

impl RemotePresence {
    /// What applying an update of `node` would result in: it may be old, or an earlier one may be missing.
    pub(super) fn outcome(&self, node: NodeId, update: &PresenceUpdate) -> ApplyOutcome {
        let known = self.nodes.get(&node).map(|presence| presence.position);
        match update {
            PresenceUpdate::Snapshot(snapshot) if known.is_some_and(|known| snapshot.position <= known) => {
                ApplyOutcome::Old
            }
            PresenceUpdate::Snapshot(_) => ApplyOutcome::Applied,
            PresenceUpdate::Delta(delta) => match known.filter(|known| known.epoch >= delta.epoch) {
                Some(known) if known >= (Position { epoch: delta.epoch, seq: delta.to }) => ApplyOutcome::Old,
                Some(known) if known.seq >= delta.from => ApplyOutcome::Applied,
                None if delta.from == 0 => ApplyOutcome::Applied,
                Some(_) | None => ApplyOutcome::Gap,
            },
        }
    }

    /// By how many bytes the entries of `node` would grow.
    pub(super) fn growth(&self, node: NodeId, update: &PresenceUpdate) -> usize {
        let nothing = HashMap::new();
        let known = self.nodes.get(&node).map_or(&nothing, |presence| &presence.entries);
        let size = |entries: &[(u64, PresenceEntry)]| entries.iter().map(|(_, it)| it.bytes()).sum::<usize>();
        match update {
            PresenceUpdate::Delta(delta) if delta.from > 0 => {
                let removed = delta.removed.iter().filter_map(|id| known.get(id));
                size(&delta.added).saturating_sub(removed.map(|it| it.entry.bytes()).sum())
            }
            PresenceUpdate::Delta(Delta { added: entries, .. })
            | PresenceUpdate::Snapshot(Snapshot { entries, .. }) => {
                size(entries).saturating_sub(known.values().map(|it| it.entry.bytes()).sum())
            }
        }
    }

    /// Applies an update of `node` that is neither old nor has a gap before it.
    pub(super) fn apply(&mut self, node: NodeId, update: PresenceUpdate, change: &mut RemoteChange) {
        match update {
            PresenceUpdate::Snapshot(snapshot) => self.replace(node, snapshot, change),
            PresenceUpdate::Delta(delta) => match self.nodes.get_mut(&node) {
                Some(known) if known.position.epoch >= delta.epoch => known.apply_delta(delta, change),
                _ => {
                    let position = Position { epoch: delta.epoch, seq: delta.to };
                    self.replace(node, Snapshot { position, entries: delta.added }, change);
                }
            },
        }
    }

    fn replace(&mut self, node: NodeId, snapshot: Snapshot, change: &mut RemoteChange) {
        let empty = || NodePresence { position: snapshot.position, entries: HashMap::new() };
        let presence = self.nodes.entry(node).or_insert_with(empty);
        let mut before = mem::take(&mut presence.entries);
        if presence.position.epoch != snapshot.position.epoch {
            // Ids are unique within an epoch only.
            before.drain().for_each(|(_id, removed)| change.remove(removed));
        }
        presence.position = snapshot.position;
        for (id, entry) in snapshot.entries {
            match before.remove(&id) {
                Some(known) => drop(presence.entries.insert(id, known)),
                None => change.add(&mut presence.entries, (id, entry)),
            }
        }
        before.into_values().for_each(|removed| change.remove(removed));
    }

    /// Removes everything of `node`, its position included.
    pub(super) fn remove_node(&mut self, node: NodeId, change: &mut RemoteChange) {
        let entries =
            self.nodes.remove(&node).into_iter().flat_map(|presence| presence.entries.into_values());
        entries.for_each(|removed| change.remove(removed));
    }

    /// Marks an entry as announced. `None` if it was removed, or needs no announcement.
    pub(super) fn announce(
        &mut self,
        node: NodeId,
        id: u64,
        announcements: &mut Announcements,
    ) -> Option<PresenceEntry> {
        let remote = self.nodes.get_mut(&node)?.entries.get_mut(&id)?;
        announcements.announce(&remote.entry, &mut remote.announced)
    }

    /// All entries that have been announced, with the numbers of their announcements.
    pub(super) fn announced(&self) -> impl Iterator<Item = (NonZeroU64, &PresenceEntry)> {
        let entries = self.nodes.values().flat_map(|presence| presence.entries.values());
        entries.filter_map(|remote| Some((remote.announced?, &remote.entry)))
    }

    /// The nodes that have published presence, those without entries included.
    pub(super) fn nodes(&self) -> impl Iterator<Item = NodeId> {
        self.nodes.keys().copied()
    }
}
