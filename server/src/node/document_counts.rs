//! What is known of the shared documents of this node, for metrics and `/status`. The documents count themselves.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use parking_lot::Mutex;

/// The shared documents of this node.
#[derive(Debug, Default)]
pub struct DocumentCounts {
    open: AtomicUsize,
    loaded: AtomicUsize,
    unsaved_bytes: AtomicUsize,
    unsaved_since: Mutex<Option<SaveFailure>>,
}

/// Updates cannot be saved at present.
#[derive(Debug, Clone)]
pub struct SaveFailure {
    /// Since when.
    pub since: SystemTime,
    /// Why.
    pub error: String,
}

/// One document whose content is in memory, as long as this lives.
#[derive(Debug)]
pub struct LoadedDocument(Arc<DocumentCounts>);

impl DocumentCounts {
    /// Documents that connections have open, or that were just used.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Documents whose content is in memory.
    pub fn loaded(&self) -> usize {
        self.loaded.load(Ordering::Relaxed)
    }

    /// Bytes of updates that the store has not taken yet.
    pub fn unsaved_bytes(&self) -> usize {
        self.unsaved_bytes.load(Ordering::Relaxed)
    }

    /// Why updates cannot be saved, while that is so.
    pub fn save_failure(&self) -> Option<SaveFailure> {
        self.unsaved_since.lock().clone()
    }

    /// So many documents are open.
    pub fn set_open(&self, open: usize) {
        self.open.store(open, Ordering::Relaxed);
    }

    /// The content of a document is in memory.
    pub fn note_loaded(self: &Arc<Self>) -> LoadedDocument {
        self.loaded.fetch_add(1, Ordering::Relaxed);
        LoadedDocument(Arc::clone(self))
    }

    /// The updates of one document that are not saved had `before` bytes, and have `now`.
    pub fn resize_unsaved(&self, before: usize, now: usize) {
        self.unsaved_bytes.fetch_add(now.wrapping_sub(before), Ordering::Relaxed);
    }

    /// A commit has succeeded.
    pub fn note_saved(&self) {
        *self.unsaved_since.lock() = None;
    }

    /// A commit has failed.
    pub fn note_save_failure(&self, error: String) {
        let mut failure = self.unsaved_since.lock();
        let since = failure.as_ref().map_or_else(SystemTime::now, |failure| failure.since);
        *failure = Some(SaveFailure { since, error });
    }
}

impl Drop for LoadedDocument {
    fn drop(&mut self) {
        self.0.loaded.fetch_sub(1, Ordering::Relaxed);
    }
}
