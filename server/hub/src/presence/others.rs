//! What the members of other nodes show, as those nodes have told it.
//!
//! For each node what it shows and the position of its newest statement. The position stays when a node
//! shows nothing any more: else a statement that comes late would bring back who has left.

use std::collections::HashMap;
use std::mem;

use super::PresenceEntry;
use crate::replication::{ApplyOutcome, Delta, NodeId, Position, PresenceUpdate, Snapshot};

/// What all the other nodes show in a room.
#[derive(Debug, Default)]
pub(crate) struct RemotePresence {
    nodes: HashMap<NodeId, NodePresence>,
}

/// What one node has told.
#[derive(Debug)]
struct NodePresence {
    position: Position,
    entries: HashMap<u64, RemoteEntry>,
}

/// An entry, and whether the members of this node have heard of it.
#[derive(Debug)]
struct RemoteEntry {
    entry: PresenceEntry,
    announced: bool,
}

/// What a statement changes for the members of this node.
#[derive(Debug, Default)]
pub(super) struct Change {
    /// Ids of what is new.
    pub(super) added: Vec<u64>,
    /// What was announced and is gone.
    pub(super) removed: Vec<PresenceEntry>,
}

impl Change {
    pub(super) fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty()
    }

    fn show(&mut self, entries: &mut HashMap<u64, RemoteEntry>, (id, entry): (u64, PresenceEntry)) {
        entries.entry(id).or_insert_with(|| {
            self.added.push(id);
            RemoteEntry { entry, announced: false }
        });
    }

    fn hide(&mut self, told: RemoteEntry) {
        if told.announced {
            self.removed.push(told.entry);
        }
    }
}

impl RemotePresence {
    /// Takes a statement of `node` for true, unless it is old or something before it is missing.
    pub(super) fn apply_presence(
        &mut self,
        node: NodeId,
        statement: PresenceUpdate,
        change: &mut Change,
    ) -> ApplyOutcome {
        let known = self.nodes.get(&node).map(|account| account.position);
        match statement {
            PresenceUpdate::Snapshot(state) if known.is_some_and(|known| state.position <= known) => {
                ApplyOutcome::Old
            }
            PresenceUpdate::Snapshot(state) => self.replace(node, state, change),
            PresenceUpdate::Delta(news) => match known.filter(|known| known.epoch >= news.epoch) {
                Some(known) if known >= (Position { epoch: news.epoch, seq: news.to }) => ApplyOutcome::Old,
                Some(known) if known.seq >= news.from => self.apply(node, news, change),
                None if news.from == 0 => {
                    let position = Position { epoch: news.epoch, seq: news.to };
                    self.replace(node, Snapshot { position, entries: news.added }, change)
                }
                Some(_) | None => ApplyOutcome::Gap,
            },
        }
    }

    /// News that may overlap with what is known: ids are never used again, so hearing twice of one changes
    /// nothing.
    fn apply(&mut self, node: NodeId, news: Delta, change: &mut Change) -> ApplyOutcome {
        let account = self.nodes.get_mut(&node).expect("it has a known position");
        account.position.seq = news.to;
        for id in news.removed {
            if let Some(told) = account.entries.remove(&id) {
                change.hide(told);
            }
        }
        for added in news.added {
            change.show(&mut account.entries, added);
        }
        ApplyOutcome::Applied
    }

    fn replace(&mut self, node: NodeId, state: Snapshot, change: &mut Change) -> ApplyOutcome {
        let empty = || NodePresence { position: state.position, entries: HashMap::new() };
        let account = self.nodes.entry(node).or_insert_with(empty);
        let mut before = mem::take(&mut account.entries);
        if account.position.epoch != state.position.epoch {
            // The ids of another epoch mean nothing in this one.
            before.drain().for_each(|(_id, told)| change.hide(told));
        }
        account.position = state.position;
        for (id, entry) in state.entries {
            match before.remove(&id) {
                Some(told) => drop(account.entries.insert(id, told)),
                None => change.show(&mut account.entries, (id, entry)),
            }
        }
        before.into_values().for_each(|told| change.hide(told));
        ApplyOutcome::Applied
    }

    /// Nothing of what `node` has added is true any more.
    pub(super) fn forget(&mut self, node: NodeId, change: &mut Change) {
        let account = self.nodes.remove(&node);
        account
            .into_iter()
            .flat_map(|account| account.entries.into_values())
            .for_each(|told| change.hide(told));
    }

    /// Marks an entry as announced. `None` if it is gone, or was announced before.
    pub(super) fn announce(&mut self, node: NodeId, id: u64) -> Option<PresenceEntry> {
        let told = self.nodes.get_mut(&node)?.entries.get_mut(&id)?;
        (!mem::replace(&mut told.announced, true)).then(|| told.entry.clone())
    }

    /// Everything added.
    pub(super) fn entries(&self) -> impl Iterator<Item = &PresenceEntry> {
        self.nodes.values().flat_map(|account| account.entries.values()).map(|told| &told.entry)
    }

    /// Who has said something.
    pub(super) fn nodes(&self) -> impl Iterator<Item = NodeId> {
        self.nodes.keys().copied()
    }
}
