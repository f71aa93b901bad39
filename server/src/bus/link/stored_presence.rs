//! What this node has stored on the bus: how much in each room, and of each tenant together.
//!
//! A tenant may store so much and no more, or it could use up the memory that all tenants share. What does not fit is not
//! stored, and so not shown by other nodes. Updates are counted with what they add; the next refresh of the room counts
//! what they have removed.

use std::collections::HashMap;
use std::sync::Arc;

use super::room_table::tenant;
use crate::bus::{RoomName, SnapshotChange};

#[derive(Debug)]
pub(super) struct StoredPresence {
    /// Bytes that one tenant may store.
    bytes_max: usize,
    rooms: HashMap<RoomName, StoredRoom>,
    by_tenant: HashMap<Arc<str>, usize>,
}

#[derive(Debug, Clone, Copy, Default)]
struct StoredRoom {
    bytes: usize,
    /// Whether it may be less, because entries were removed.
    is_estimate: bool,
}

/// The tenant has no room left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooMuch;

impl StoredPresence {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, rooms: HashMap::new(), by_tenant: HashMap::new() }
    }

    /// A change is about to be stored.
    ///
    /// # Errors
    /// When the tenant would have more than it may. Then nothing is counted.
    pub(super) fn admit(&mut self, name: &RoomName, change: &SnapshotChange) -> Result<(), TooMuch> {
        let before = self.rooms.get(name).copied().unwrap_or_default();
        let after = match change {
            SnapshotChange::Remove => {
                self.remove(name);
                return Ok(());
            }
            SnapshotChange::Replace(_) => StoredRoom { bytes: change.len(), is_estimate: false },
            SnapshotChange::Update { .. } => {
                StoredRoom { bytes: before.bytes + change.len(), is_estimate: true }
            }
        };
        let total = self.by_tenant.get(tenant(name)).copied().unwrap_or_default();
        if after.bytes > before.bytes && total - before.bytes + after.bytes > self.bytes_max {
            return Err(TooMuch);
        }
        self.set(name, after);
        Ok(())
    }

    fn set(&mut self, name: &RoomName, room: StoredRoom) {
        let before = self.rooms.insert(RoomName::clone(name), room).unwrap_or_default();
        let total = self.by_tenant.entry(tenant(name).into()).or_default();
        *total = *total - before.bytes + room.bytes;
    }

    /// Nothing of the room is stored any more. Returns whether anything was.
    pub(super) fn remove(&mut self, name: &RoomName) -> bool {
        let Some(before) = self.rooms.remove(name) else { return false };
        if let Some(total) = self.by_tenant.get_mut(tenant(name)) {
            *total -= before.bytes;
            if *total == 0 {
                self.by_tenant.remove(tenant(name));
            }
        }
        true
    }

    /// All rooms of which anything is stored.
    pub(super) fn rooms(&self) -> impl Iterator<Item = &RoomName> {
        self.rooms.keys()
    }

    pub(super) fn contains(&self, name: &RoomName) -> bool {
        self.rooms.contains_key(name)
    }

    /// Counts the room exactly, if it is estimated.
    pub(super) fn recount(&mut self, name: &RoomName, bytes: impl FnOnce() -> usize) {
        if self.rooms.get(name).is_some_and(|room| room.is_estimate) {
            self.set(name, StoredRoom { bytes: bytes(), is_estimate: false });
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::bus::StoredSnapshot;

    fn replace(bytes: usize) -> SnapshotChange {
        let entries = vec![(1, Bytes::from(vec![0; bytes]))];
        SnapshotChange::Replace(StoredSnapshot { position: Bytes::new(), entries })
    }

    fn update(bytes: usize) -> SnapshotChange {
        let set = vec![(1, Bytes::from(vec![0; bytes]))];
        SnapshotChange::Update { position: Bytes::new(), set, removed: vec![] }
    }

    #[test]
    fn a_tenant_stores_so_much_in_all_its_rooms_and_no_more() {
        let mut stored = StoredPresence::new(100);
        let [one, two, other] = ["a:1", "a:2", "b:1"].map(RoomName::from);
        assert_eq!(stored.admit(&one, &replace(60)), Ok(()));
        assert_eq!(stored.admit(&two, &replace(41)), Err(TooMuch));
        assert_eq!(stored.admit(&other, &replace(100)), Ok(()));
        assert_eq!(stored.admit(&one, &update(40)), Ok(()));
        assert_eq!(stored.admit(&one, &update(1)), Err(TooMuch));
        stored.recount(&one, || 50);
        assert_eq!(stored.admit(&two, &replace(50)), Ok(()));
        assert_eq!(stored.admit(&two, &replace(40)), Ok(()), "less always fits");
        assert!(stored.remove(&one) && stored.remove(&two) && !stored.remove(&two));
        assert_eq!(stored.by_tenant.len(), 1);
    }
}
