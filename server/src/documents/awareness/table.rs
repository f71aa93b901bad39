//! The states of clients by their ids, and how much memory they take.

use std::collections::HashMap;
use std::time::Instant;

use bytes::Bytes;
use hub::NodeId;

use super::SentState;
use crate::documents::MemberId;

/// Bytes that an entry takes beside its state.
const ENTRY_BYTES: usize = 128;

/// The state of one client, or that it was removed.
#[derive(Debug)]
pub(super) struct KnownState {
    pub(super) clock: u32,
    /// JSON; `None` once it is removed.
    pub(super) state: Option<Bytes>,
    /// Who has sent it.
    pub(super) owner: Owner,
    /// When it was renewed, or removed.
    pub(super) at: Instant,
}

/// Who has sent a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// A connection to this node.
    Member(MemberId),
    /// A connection to another node.
    Node(NodeId),
}

/// The entries by client id.
#[derive(Debug, Default)]
pub(super) struct AwarenessTable {
    entries: HashMap<u64, KnownState>,
    bytes: usize,
}

impl AwarenessTable {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The memory that it takes, about.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn get(&self, client: u64) -> Option<&KnownState> {
        self.entries.get(&client)
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &KnownState> {
        self.entries.values()
    }

    pub(super) fn put(&mut self, client: u64, entry: KnownState) {
        self.bytes += bytes_of(&entry);
        let before = self.entries.insert(client, entry);
        self.bytes -= before.as_ref().map_or(0, bytes_of);
    }

    /// Raises clocks, and notes that the states were renewed.
    pub(super) fn renew(&mut self, which: impl Fn(&KnownState) -> bool, now: Instant) {
        let renewed = self.entries.values_mut().filter(|entry| which(entry));
        renewed.for_each(|entry| (entry.clock, entry.at) = (entry.clock.saturating_add(1), now));
    }

    /// Sets the clock of a client.
    pub(super) fn set_clock(&mut self, client: u64, clock: u32) {
        self.entries.entry(client).and_modify(|entry| entry.clock = clock);
    }

    /// Forgets entries, of which nothing stays.
    pub(super) fn forget(&mut self, which: impl Fn(&KnownState) -> bool) {
        let bytes = &mut self.bytes;
        self.entries.retain(|_, entry| {
            let stays = !which(entry);
            *bytes -= if stays { 0 } else { bytes_of(entry) };
            stays
        });
    }

    /// Removes states, of which the clocks stay. Returns what all are sent.
    pub(super) fn remove(&mut self, now: Instant, which: impl Fn(&KnownState) -> bool) -> Vec<SentState> {
        let mut removed = Vec::new();
        for (client, entry) in &mut self.entries {
            if entry.state.is_some() && which(entry) {
                // That a node shows it again is known by a higher clock.
                let raised = u32::from(matches!(entry.owner, Owner::Member(_)));
                self.bytes -= bytes_of(entry) - ENTRY_BYTES;
                let clock = entry.clock.saturating_add(raised);
                *entry = KnownState { clock, state: None, owner: entry.owner, at: now };
                removed.push(SentState { client: *client, clock, state: None });
            }
        }
        removed
    }

    /// What is shown in these entries.
    pub(super) fn states_of(&self, which: impl Fn(&KnownState) -> bool) -> Vec<SentState> {
        let shown = self.entries.iter().filter(|(_, entry)| entry.state.is_some() && which(entry));
        let sent = |(client, entry): (&u64, &KnownState)| SentState {
            client: *client,
            clock: entry.clock,
            state: entry.state.clone(),
        };
        shown.map(sent).collect()
    }
}

impl KnownState {
    /// Whether it was removed, or sent by another connection.
    pub(super) fn is_of_another(&self, member: MemberId) -> bool {
        self.state.is_none() || self.owner != Owner::Member(member)
    }

    pub(super) fn is_shown_here(&self) -> bool {
        self.state.is_some() && matches!(self.owner, Owner::Member(_))
    }

    /// Whether `sent` is newer. As in Yjs, a removal is so with an equal clock too.
    pub(super) fn is_older_than(&self, sent: &SentState) -> bool {
        match (&self.state, &sent.state) {
            (_, Some(_)) => sent.clock > self.clock,
            (Some(_), None) => sent.clock >= self.clock,
            (None, None) => false,
        }
    }
}

fn bytes_of(entry: &KnownState) -> usize {
    ENTRY_BYTES + entry.state.as_ref().map_or(0, Bytes::len)
}
