//! What a member tracks.
//!
//! The content is opaque to the hub: a key and encoded text.

use std::num::NonZeroU64;
use std::sync::Arc;

/// One tracked presence entry, encoded. No two entries are equal, because the text contains a unique
/// reference.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PresenceEntry {
    /// The presence key of the member. Several members may share a key: two tabs of one user.
    pub key: Arc<str>,
    /// What it tracks, as encoded text.
    pub meta: Arc<str>,
}

impl PresenceEntry {
    /// What an entry adds to a message beside its key and its text, where encodings have most.
    const ENVELOPE_BYTES: usize = 16;

    /// How many bytes of a message it takes, at most: encodings write a control character of a key in six bytes, a
    /// quote or a backslash in two.
    pub fn bytes(&self) -> usize {
        let escapes = self.key.bytes().map(|byte| match byte {
            0..b' ' => 5,
            b'"' | b'\\' => 1,
            _ => 0,
        });
        self.key.len() + escapes.sum::<usize>() + self.meta.len() + Self::ENVELOPE_BYTES
    }
}

/// An entry tracked by a member of this node, and to whom it has been sent.
#[derive(Debug)]
pub(crate) struct TrackedEntry {
    pub(crate) entry: PresenceEntry,
    /// Its id in deltas and snapshots.
    pub(crate) id: u64,
    /// The number of its announcement to the members of this node, once it was announced.
    pub(crate) announced: Option<NonZeroU64>,
    /// Other nodes may know it: it was in a delta or a snapshot.
    pub(crate) replicated: bool,
}
