//! Rooms in which messages are missing.

use std::collections::HashSet;

use crate::bus::{Channel, RoomName};

/// Names of rooms that are kept when messages are dropped; beyond that, any room counts as affected. Reading so many
/// takes a few requests, and the names take less than 1 MiB.
const ROOMS_KEPT: usize = 1_024;

/// Rooms in which messages are missing.
#[derive(Debug, PartialEq, Eq)]
pub enum AffectedRooms {
    /// These rooms.
    Only(HashSet<RoomName>),
    /// Possibly every room.
    All,
}

impl Default for AffectedRooms {
    fn default() -> Self {
        Self::Only(HashSet::new())
    }
}

impl AffectedRooms {
    /// Whether no room is affected.
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Only(rooms) if rooms.is_empty())
    }

    /// Adds the rooms that a dropped message may have been about.
    pub(super) fn add(&mut self, channel: &Channel) {
        match (&mut *self, channel) {
            (Self::Only(rooms), Channel::Room(room)) if rooms.len() < ROOMS_KEPT || rooms.contains(room) => {
                rooms.insert(RoomName::clone(room));
            }
            // A cluster message may concern any room.
            _ => *self = Self::All,
        }
    }
}
