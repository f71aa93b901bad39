//! Presence as nodes replicate it to each other.
//!
//! Each node publishes the entries of its own members only, so updates of two nodes never conflict. Every
//! entry has an id and every update a [`Position`]. Updates may arrive late, twice or not at all, and the
//! receiver recognises each of these cases. Updates are plain data; the link transports them.

use std::fmt;

use crate::presence_entry::PresenceEntry;

/// One run of one server process. Never reused, not even after a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(u64);

impl NodeId {
    /// A new random id.
    ///
    /// # Panics
    /// If the operating system has no random numbers.
    pub fn random() -> Self {
        Self(getrandom::u64().expect("the operating system has random numbers"))
    }

    /// The node with this number, as received from it.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number, to be sent to other nodes.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The position of an update among a node's updates of a room. Greater positions are newer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Grows each time the room opens on that node.
    pub epoch: u64,
    /// The number of changes within the epoch.
    pub seq: u64,
}

impl Position {
    /// The position after all updates of `epoch`.
    pub const fn end_of(epoch: u64) -> Self {
        Self { epoch, seq: u64::MAX }
    }
}

/// What has changed among the entries of a node's members. Entries added and removed in between are not in
/// it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delta {
    /// See [`Position::epoch`].
    pub epoch: u64,
    /// The change that precedes it. A delta from 0 needs no earlier update.
    pub from: u64,
    /// The last change in it.
    pub to: u64,
    /// Entries tracked now that were not tracked at `from`. Ids are never reused within an epoch.
    pub added: Vec<(u64, PresenceEntry)>,
    /// Ids of entries no longer tracked. The receiver may not know all of them.
    pub removed: Vec<u64>,
}

/// All entries of a node's members in a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The position as of which these are the entries.
    pub position: Position,
    /// The entries with their ids.
    pub entries: Vec<(u64, PresenceEntry)>,
}

impl Snapshot {
    /// No entries: the last update of `epoch`, after the room has closed on its node.
    pub(crate) fn closed(epoch: u64) -> Self {
        Self { position: Position::end_of(epoch), entries: Vec::new() }
    }
}

/// A delta or a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PresenceUpdate {
    /// What has changed.
    Delta(Delta),
    /// All entries.
    Snapshot(Snapshot),
}

impl PresenceUpdate {
    /// Whether it is a snapshot without entries.
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Self::Snapshot(snapshot) if snapshot.entries.is_empty())
    }
}

impl From<Delta> for PresenceUpdate {
    fn from(delta: Delta) -> Self {
        Self::Delta(delta)
    }
}

impl From<Snapshot> for PresenceUpdate {
    fn from(snapshot: Snapshot) -> Self {
        Self::Snapshot(snapshot)
    }
}

/// The result of applying an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApplyOutcome {
    /// The update was new and is applied.
    Applied,
    /// The update contains nothing new.
    Old,
    /// An earlier update is missing. Nothing was changed; a snapshot of the node is needed.
    Gap,
    /// The tenant has no memory for it. Nothing of the node is shown any more; a snapshot of it is needed once there is.
    OutOfMemory,
}
