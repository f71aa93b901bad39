//! What a document has to do for the same document on other nodes, or because of it: see `exchanging.rs`.

use tokio::time::Instant;

use crate::store::DocumentVersion;

/// What is to be done for the other nodes, or because of them.
#[derive(Debug, Default)]
pub(super) struct Exchange {
    /// When the store is read again.
    pub(super) read_at: Option<Instant>,
    /// When the others are notified of something that is stored and was not published.
    pub(super) notify_at: Option<Instant>,
    /// What was stored at a time at which own updates were on their way.
    pub(super) version: Option<DocumentVersion>,
}

impl Exchange {
    /// When something is due.
    pub(super) fn due_at(&self) -> Option<Instant> {
        [self.read_at, self.notify_at].into_iter().flatten().min()
    }
}
