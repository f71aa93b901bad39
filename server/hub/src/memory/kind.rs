//! What memory is used for, and how much of it.

use std::sync::atomic::{AtomicUsize, Ordering};

/// What memory is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemoryKind {
    /// The connections themselves.
    Connections,
    /// WebSocket messages and HTTP bodies that have not arrived completely, or are being handled.
    Receiving,
    /// What sessions keep: joined channels, and the claims of their tokens.
    Sessions,
    /// Messages that wait for a join, questions that wait for a database, and tracked objects that wait for the window of their
    /// limit.
    Held,
    /// Frames in outboxes.
    Sending,
    /// What rooms show.
    Presence,
    /// Messages that rooms keep.
    History,
    /// Documents: their content, and what waits for it.
    Documents,
}

impl MemoryKind {
    /// The number of kinds.
    pub const COUNT: usize = 8;

    /// Every kind, in the order of their discriminants.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Connections,
        Self::Receiving,
        Self::Sessions,
        Self::Held,
        Self::Sending,
        Self::Presence,
        Self::History,
        Self::Documents,
    ];

    /// The kind as a word, for metrics and `/status`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Receiving => "receiving",
            Self::Sessions => "sessions",
            Self::Held => "held",
            Self::Sending => "sending",
            Self::Presence => "presence",
            Self::History => "history",
            Self::Documents => "documents",
        }
    }
}

/// Bytes by kind.
#[derive(Debug, Default)]
pub(super) struct MemoryUse([AtomicUsize; MemoryKind::COUNT]);

impl MemoryUse {
    pub(super) fn add(&self, kind: MemoryKind, bytes: usize) {
        // In one order with `of`: of two that add to different kinds at once, one at least sees the other.
        self.0[kind as usize].fetch_add(bytes, Ordering::SeqCst);
    }

    pub(super) fn subtract(&self, kind: MemoryKind, bytes: usize) {
        // With `of` in one order with the count of those who wait (`waits.rs`).
        self.0[kind as usize].fetch_sub(bytes, Ordering::SeqCst);
    }

    pub(super) fn of(&self, kind: MemoryKind) -> usize {
        self.0[kind as usize].load(Ordering::SeqCst)
    }

    pub(super) fn total(&self) -> usize {
        self.total_with_reserve(0)
    }

    /// All bytes, where connections count as `connections_min` at least.
    pub(super) fn total_with_reserve(&self, connections_min: usize) -> usize {
        let connections = self.of(MemoryKind::Connections).max(connections_min);
        let others = MemoryKind::ALL.into_iter().filter(|kind| *kind != MemoryKind::Connections);
        others.map(|kind| self.of(kind)).fold(connections, usize::saturating_add)
    }
}
