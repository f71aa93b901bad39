//! What each observer knows of a room.

use std::sync::atomic::{AtomicU32, Ordering};

/// The most observers that a hub can have: each has four marks in a room's 32 bits.
pub(crate) const OBSERVERS_MAX: usize = 8;

/// The marks of one observer. Each changes under the lock of that observer's queue only.
#[derive(Debug, Clone, Copy)]
#[repr(u32)]
pub(crate) enum Mark {
    /// `RoomOpened` is queued.
    OpenedQueued = 1,
    /// The observer has taken `RoomOpened` or has listed the room, so it must receive `RoomClosed`.
    Known = 2,
    /// `PresenceChanged` is queued.
    PresenceQueued = 4,
    /// The room has closed.
    Closed = 8,
}

impl Mark {
    fn bit(self, observer: u32) -> u32 {
        (self as u32) << (4 * observer)
    }
}

/// The marks of all observers in one room.
#[derive(Debug, Default)]
pub(crate) struct Marks(AtomicU32);

impl Marks {
    pub(crate) fn has(&self, observer: u32, mark: Mark) -> bool {
        self.0.load(Ordering::Relaxed) & mark.bit(observer) != 0
    }

    pub(crate) fn set(&self, observer: u32, mark: Mark) {
        self.0.fetch_or(mark.bit(observer), Ordering::Relaxed);
    }

    pub(crate) fn clear(&self, observer: u32, mark: Mark) {
        self.0.fetch_and(!mark.bit(observer), Ordering::Relaxed);
    }
}
