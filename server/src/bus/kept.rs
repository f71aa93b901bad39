//! Messages that the bus keeps of a room, for nodes that read them later.

use bytes::Bytes;
use hub::HistoryBounds;

/// A message to keep.
#[derive(Debug, Clone)]
pub struct EntryToKeep {
    /// Opaque.
    pub message: Bytes,
    /// The messages of clients in it.
    pub messages: u32,
    /// When this node has last lost messages for other nodes, in milliseconds since 1970: those that precede this one may
    /// not be kept.
    pub lost_at: u64,
    /// The bounds of the room. Bytes are those of `message`. With less than one entry more than `messages` it is within them.
    pub bounds: HistoryBounds,
}

/// A message that was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptEntry {
    /// Its place in its room.
    pub position: EntryPosition,
    /// As in [`EntryToKeep`].
    pub message: Bytes,
    /// As in [`EntryToKeep`].
    pub lost_at: u64,
}

/// The place of an entry in the order of its room, which is the same for all nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryPosition {
    /// When the bus has kept it, by its clock, in milliseconds since 1970.
    pub kept_at: u64,
    /// Its number among those of this time.
    pub number: u64,
}
