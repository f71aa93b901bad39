//! Which entries of an outbox are replaceable, where they are queued, and how large they are together.

use std::collections::HashMap;

/// Identifies a replaceable entry within an outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ReplaceKey {
    /// What the entry is about: a room or a document.
    pub scope: u64,
    /// What is unique in the scope: the member that moves a cursor.
    pub id: u64,
}

/// The positions of the replaceable entries in the queue.
#[derive(Debug, Default)]
pub(super) struct Positions {
    by_key: HashMap<ReplaceKey, usize>,
    bytes: usize,
}

impl Positions {
    pub(super) fn get(&self, key: ReplaceKey) -> Option<usize> {
        self.by_key.get(&key).copied()
    }

    pub(super) fn insert(&mut self, key: ReplaceKey, position: usize, bytes: usize) {
        self.by_key.insert(key, position);
        self.bytes += bytes;
    }

    /// An entry has changed its size.
    pub(super) fn resize(&mut self, from: usize, to: usize) {
        self.bytes = self.bytes - from + to;
    }

    /// Frames and bytes.
    pub(super) fn size(&self) -> (u32, usize) {
        (self.by_key.len() as u32, self.bytes)
    }

    pub(super) fn clear(&mut self) {
        self.by_key.clear();
        self.bytes = 0;
    }

    /// The positions in ascending order.
    pub(super) fn into_sorted(self) -> Vec<usize> {
        let mut positions: Vec<usize> = self.by_key.into_values().collect();
        positions.sort_unstable();
        positions
    }
}
