//! What becomes of updates that are applied to a document, and what that takes.

/// What became of updates that were applied together.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::documents) enum Applied {
    /// They contain nothing that was not there.
    Nothing,
    /// They contain this, as one update.
    Update(Vec<u8>),
}

/// Updates cannot be applied. The content must not be used any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(in crate::documents) enum Inapplicable {
    /// It is not an update, or yrs fails to apply it.
    #[error("the update contradicts itself or the document")]
    Contradictory,
    /// Shared types would be nested too deeply.
    #[error("shared types are nested too deeply")]
    Nested,
    /// Too much would wait for updates that have not come.
    #[error("too much waits for other updates")]
    Waiting,
    /// The tenant has no memory for it. It was not begun.
    #[error("there is no memory for it")]
    OutOfMemory,
}

/// What it takes to apply updates, about.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::documents) struct ApplyCost {
    /// Bytes that are read.
    pub(in crate::documents) bytes: usize,
    /// Bytes of memory that the document takes more.
    pub(in crate::documents) memory: usize,
}
