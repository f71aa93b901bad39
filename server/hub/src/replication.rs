//! What nodes tell each other about who is present.
//!
//! Each node speaks for its own members alone, so nobody ever contradicts it. What it shows has an id, and
//! what it says about a room has a [`Position`]: statements may come late, twice, or not at all, and the one
//! who hears them knows which of these it was. Statements are plain data; how they travel is the link's.

use std::fmt;

use crate::presence::PresenceEntry;

/// One run of one server process. Never the same again, not even after a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(u64);

impl NodeId {
    /// An id that nobody has.
    ///
    /// # Panics
    /// If the operating system has no random numbers.
    pub fn random() -> Self {
        Self(getrandom::u64().expect("the operating system has random numbers"))
    }

    /// The node with this number, as it has told it.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number, to be told to others.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Where in a node's account of a room a statement belongs. The greater, the newer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Grows whenever the room comes to be on that node again.
    pub epoch: u64,
    /// How many changes there have been since.
    pub seq: u64,
}

impl Position {
    /// After everything that is said in `epoch`.
    pub const fn end_of(epoch: u64) -> Self {
        Self { epoch, seq: u64::MAX }
    }
}

/// What has changed in what a node's members show. What came and went in between is not in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delta {
    /// See [`Position::epoch`].
    pub epoch: u64,
    /// The change it follows; news from 0 stand by themselves.
    pub from: u64,
    /// The last change in it.
    pub to: u64,
    /// What is added now and was not added at `from`. An id is never used again within an epoch.
    pub added: Vec<(u64, PresenceEntry)>,
    /// What is not added any more. May name ids that the one who hears it has never heard of.
    pub removed: Vec<u64>,
}

/// Everything that a node's members show in a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// When this was so.
    pub position: Position,
    /// What is added, each under its id.
    pub entries: Vec<(u64, PresenceEntry)>,
}

impl Snapshot {
    /// Nobody is in the room any more: the last that is said in `epoch`.
    pub(crate) fn gone(epoch: u64) -> Self {
        Self { position: Position::end_of(epoch), entries: Vec::new() }
    }
}

/// Either of the two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PresenceUpdate {
    /// A change.
    Delta(Delta),
    /// The whole.
    Snapshot(Snapshot),
}

impl PresenceUpdate {
    /// Whether it only says that nothing is added.
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Self::Snapshot(state) if state.entries.is_empty())
    }
}

impl From<Delta> for PresenceUpdate {
    fn from(news: Delta) -> Self {
        Self::Delta(news)
    }
}

impl From<Snapshot> for PresenceUpdate {
    fn from(state: Snapshot) -> Self {
        Self::Snapshot(state)
    }
}

/// What became of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApplyOutcome {
    /// It was new, and is known now.
    Applied,
    /// It says nothing that was not known.
    Old,
    /// Something before it is missing. Nothing was changed; the node has to be asked for the whole.
    Gap,
}
