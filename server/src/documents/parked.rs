//! What is left of a document while no task runs: its members, and what they show.

use std::collections::HashMap;

use super::awareness::Awareness;
use super::member::{DocumentMember, MemberId};

/// What is left of a document while no task runs.
#[derive(Default)]
pub(super) struct ParkedDocument {
    pub(super) members: HashMap<MemberId, DocumentMember>,
    pub(super) awareness: Awareness,
    /// What each member has that has missed an update since, as a state vector.
    pub(super) missed: HashMap<MemberId, Box<[u8]>>,
    /// What all others have at least, as a state vector, while the content is not in memory.
    pub(super) shown: Option<Box<[u8]>>,
}

impl ParkedDocument {
    /// The memory that it takes beside that of its members, about.
    pub(super) fn bytes(&self) -> usize {
        let missed: usize = self.missed.values().map(|state_vector| state_vector.len()).sum();
        self.awareness.bytes() + missed
    }
}
