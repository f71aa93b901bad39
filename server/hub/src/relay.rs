//! What a hub needs to share its rooms with other nodes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::observer::{Interests, Observer};

/// The observer that publishes to the other nodes, and the epochs of the rooms it publishes.
#[derive(Debug)]
pub(crate) struct Relay {
    pub(crate) observer: Arc<Observer>,
    epochs: AtomicU64,
}

impl Relay {
    /// What the other nodes need: joins and leaves reach them as presence, if at all.
    pub(crate) const INTERESTS: Interests =
        Interests { rooms: true, members: false, messages: true, presence: true };

    pub(crate) fn new(observer: Arc<Observer>) -> Self {
        Self { observer, epochs: AtomicU64::new(0) }
    }

    /// The epoch of the next room to open. The first is 1.
    pub(crate) fn next_epoch(&self) -> u64 {
        self.epochs.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The epoch of the room that opened last.
    pub(crate) fn newest_epoch(&self) -> u64 {
        self.epochs.load(Ordering::Relaxed)
    }
}
