//! The memory that a document takes in yrs, about.

use wire::yjs::DocumentUpdate;

/// A document is measured again once it has doubled, and this much was added.
const ADDED_MIN: usize = 1 << 20;

/// What yrs keeps for each of them, however few bytes they have in an update (measured with 0.28).
const STRUCT: usize = 300;
const SHARED_TYPE: usize = 300;
const SUBDOCUMENT: usize = 1_000;
const CLIENT: usize = 200;

/// The memory of a document: as it was measured, and what was added since. Much of that joins what is there, such as the characters
/// of a text that is typed.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct DocumentMemory {
    measured: usize,
    added: usize,
}

impl DocumentMemory {
    /// Of a document that is encoded like this.
    pub(super) fn measured(state: &DocumentUpdate<'_>) -> Self {
        Self { measured: memory_of(state), added: 0 }
    }

    pub(super) fn add(&mut self, update: &DocumentUpdate<'_>) {
        self.added += memory_of(update);
    }

    /// Whether it is to be measured.
    pub(super) fn is_uncertain(self) -> bool {
        self.added > self.measured.max(ADDED_MIN)
    }

    pub(super) fn bytes(self) -> usize {
        self.measured + self.added
    }
}

/// The memory of what is in an update.
pub(super) fn memory_of(update: &DocumentUpdate<'_>) -> usize {
    update.bytes().len()
        + STRUCT * update.structs()
        + SHARED_TYPE * update.shared_types()
        + SUBDOCUMENT * update.subdocuments()
        + CLIENT * update.sections().len()
}
