//! How many bytes one client tracks in all its rooms together.
//!
//! The total is a counter, because a client may be in thousands of rooms and each `track` needs it. Every tracker holds
//! its part of it and returns that when it is dropped, so that no way out of a room can forget to.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The bytes tracked by one client.
#[derive(Debug, Clone, Default)]
pub struct TrackedBytes(Arc<AtomicUsize>);

/// The bytes tracked by one client in one room.
#[derive(Debug)]
pub(super) struct RoomTrackedBytes {
    of_client: TrackedBytes,
    bytes: usize,
}

impl TrackedBytes {
    /// Bytes in use.
    pub fn used(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn of_room(&self) -> RoomTrackedBytes {
        RoomTrackedBytes { of_client: self.clone(), bytes: 0 }
    }
}

impl RoomTrackedBytes {
    /// Bytes in use by the client's other rooms.
    pub(super) fn used_by_others(&self) -> usize {
        self.of_client.used() - self.bytes
    }

    /// This room uses `bytes` from now on.
    pub(super) fn set(&mut self, bytes: usize) {
        self.of_client.0.fetch_add(bytes, Ordering::Relaxed);
        self.of_client.0.fetch_sub(self.bytes, Ordering::Relaxed);
        self.bytes = bytes;
    }
}

impl Drop for RoomTrackedBytes {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_the_sum_of_the_rooms_that_exist() {
        let client = TrackedBytes::default();
        let mut rooms: Vec<_> = (0..1_000).map(|_| client.of_room()).collect();
        for (bytes, room) in rooms.iter_mut().enumerate() {
            room.set(7);
            room.set(bytes);
        }
        assert_eq!(client.used(), 499_500);
        assert_eq!(rooms[999].used_by_others(), 498_501);
        rooms[999].set(0);
        assert_eq!((client.used(), rooms[999].used_by_others()), (498_501, 498_501));
        rooms.truncate(10);
        assert_eq!(client.used(), 45);
        drop(rooms);
        assert_eq!(client.used(), 0);
    }
}
