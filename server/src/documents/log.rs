//! How much is in the log of a document, as far as this node knows: what it has read and appended.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// How much the log of a document contains.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct LogSize {
    pub(super) updates: usize,
    pub(super) bytes: usize,
}

/// What is known of the log of a document.
#[derive(Debug, Default)]
pub(super) struct Log {
    updates: AtomicUsize,
    bytes: AtomicUsize,
    pub(super) is_compacting: AtomicBool,
}

impl Log {
    /// It was read.
    pub(super) fn set(&self, size: LogSize) {
        self.updates.store(size.updates, Ordering::Relaxed);
        self.bytes.store(size.bytes, Ordering::Relaxed);
    }

    /// So much was appended.
    pub(super) fn add(&self, size: LogSize) {
        self.updates.fetch_add(size.updates, Ordering::Relaxed);
        self.bytes.fetch_add(size.bytes, Ordering::Relaxed);
    }

    pub(super) fn size(&self) -> LogSize {
        let (updates, bytes) = (self.updates.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed));
        LogSize { updates, bytes }
    }

    /// So much was replaced by the state.
    pub(super) fn subtract(&self, size: LogSize) {
        self.updates.fetch_sub(size.updates, Ordering::Relaxed);
        self.bytes.fetch_sub(size.bytes, Ordering::Relaxed);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.updates.load(Ordering::Relaxed) == 0
    }

    /// Whether it is longer than the settings want.
    pub(super) fn is_long(&self, settings: &settings::Documents) -> bool {
        let LogSize { updates, bytes } = self.size();
        updates >= settings.compact_updates.get() as usize || bytes as u64 >= settings.compact_bytes.as_u64()
    }
}
