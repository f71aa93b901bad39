//! Which entries of an outbox are replaceable, where they are queued, and how large they are together.
//!
//! In a full outbox the oldest are dropped first. Removing one from the middle of the queue takes as long as removing
//! many, so that a few more than necessary are dropped at once: a sender that fills the outboxes of slow readers with new
//! entries costs them one pass over the queue for many entries, not for each.

use std::collections::HashMap;

use crate::burst::Burst;

/// The part of the replaceable entries that is dropped at least, when any is: one eighth.
const SHARE: u32 = 8;

/// Identifies a replaceable entry within an outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ReplaceKey {
    /// What the entry is about: a room or a document.
    pub scope: u64,
    /// What is unique in the scope: the member that moves a cursor.
    pub id: u64,
}

/// How far a queue would exceed its bounds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Excess {
    pub(super) frames: u32,
    pub(super) bytes: usize,
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

    /// The bytes that the positions take.
    pub(super) fn memory(&self) -> usize {
        self.by_key.capacity() * (size_of::<(ReplaceKey, usize)>() + 1)
    }

    pub(super) fn clear(&mut self) {
        self.by_key.clear();
        self.bytes = 0;
    }

    /// Removes the oldest entries from `queue`, until there is no excess; before them the one under `superseded`, which
    /// is to be queued again. Returns how many, and their bytes.
    pub(super) fn evict(
        &mut self,
        superseded: Option<ReplaceKey>,
        excess: Excess,
        queue: &mut Burst,
    ) -> (u32, usize) {
        let superseded = superseded.and_then(|key| self.get(key));
        let mut oldest: Vec<usize> = self.by_key.values().copied().collect();
        oldest.sort_unstable_by_key(|position| (Some(*position) != superseded, *position));
        let least = excess.frames.max(self.by_key.len() as u32 / SHARE).max(1);
        let (mut frames, mut bytes) = (0, 0);
        for position in &oldest {
            if frames >= least && bytes >= excess.bytes {
                break;
            }
            frames += 1;
            bytes += queue.get_mut(*position).map_or(0, |frame| frame.len());
        }
        oldest.truncate(frames as usize);
        oldest.sort_unstable();
        queue.remove(&oldest);
        self.bytes -= bytes;
        self.by_key.retain(|_, position| match oldest.binary_search(position) {
            Ok(_) => false,
            Err(before) => {
                *position -= before;
                true
            }
        });
        (frames, bytes)
    }
}
