//! What the members of other nodes show, as those nodes have told it.
//!
//! For each node what it shows and the position of its newest statement. The position stays when a node
//! shows nothing any more: else a statement that comes late would bring back who has left.

use std::collections::HashMap;
use std::mem;

use super::Entry;
use crate::replication::{ApplyOutcome, Delta, NodeId, Position, PresenceUpdate, Snapshot};

/// What all the other nodes show in a room.
#[derive(Debug, Default)]
pub(crate) struct Others {
    nodes: HashMap<NodeId, Account>,
}

/// What one node has told.
#[derive(Debug)]
struct Account {
    position: Position,
    entries: HashMap<u64, Told>,
}

/// An entry, and whether the members of this node have heard of it.
#[derive(Debug)]
struct Told {
    entry: Entry,
    announced: bool,
}

/// What a statement changes for the members of this node.
#[derive(Debug, Default)]
pub(super) struct Change {
    /// Ids of what is new.
    pub(super) shown: Vec<u64>,
    /// What was announced and is gone.
    pub(super) hidden: Vec<Entry>,
}

impl Change {
    pub(super) fn is_empty(&self) -> bool {
        self.shown.is_empty() && self.hidden.is_empty()
    }

    fn show(&mut self, entries: &mut HashMap<u64, Told>, (id, entry): (u64, Entry)) {
        entries.entry(id).or_insert_with(|| {
            self.shown.push(id);
            Told { entry, announced: false }
        });
    }

    fn hide(&mut self, told: Told) {
        if told.announced {
            self.hidden.push(told.entry);
        }
    }
}

impl Others {
    /// Takes a statement of `node` for true, unless it is old or something before it is missing.
    pub(super) fn hear(
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
                    self.replace(node, Snapshot { position, entries: news.shown }, change)
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
        for id in news.hidden {
            if let Some(told) = account.entries.remove(&id) {
                change.hide(told);
            }
        }
        for shown in news.shown {
            change.show(&mut account.entries, shown);
        }
        ApplyOutcome::Applied
    }

    fn replace(&mut self, node: NodeId, state: Snapshot, change: &mut Change) -> ApplyOutcome {
        let empty = || Account { position: state.position, entries: HashMap::new() };
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

    /// Nothing of what `node` has shown is true any more.
    pub(super) fn forget(&mut self, node: NodeId, change: &mut Change) {
        let account = self.nodes.remove(&node);
        account
            .into_iter()
            .flat_map(|account| account.entries.into_values())
            .for_each(|told| change.hide(told));
    }

    /// Marks an entry as announced. `None` if it is gone, or was announced before.
    pub(super) fn announce(&mut self, node: NodeId, id: u64) -> Option<Entry> {
        let told = self.nodes.get_mut(&node)?.entries.get_mut(&id)?;
        (!mem::replace(&mut told.announced, true)).then(|| told.entry.clone())
    }

    /// Everything shown.
    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.nodes.values().flat_map(|account| account.entries.values()).map(|told| &told.entry)
    }

    /// Who has said something.
    pub(super) fn nodes(&self) -> impl Iterator<Item = NodeId> {
        self.nodes.keys().copied()
    }
}
