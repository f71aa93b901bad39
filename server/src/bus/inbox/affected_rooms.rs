//! Rooms in which messages are missing.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::bus::{Channel, RoomName};

/// Names of rooms that are kept for each tenant when messages are dropped; beyond that, any room of the tenant counts as
/// affected. Reading so many takes a few requests, and the names take less than 1 MiB.
const ROOMS_KEPT: usize = 1_024;

/// Rooms in which messages are missing.
#[derive(Debug, PartialEq, Eq)]
pub enum AffectedRooms {
    /// Rooms of these tenants.
    Of(HashMap<Arc<str>, TenantRooms>),
    /// Possibly every room.
    All,
}

/// Those of one tenant.
#[derive(Debug, PartialEq, Eq)]
pub enum TenantRooms {
    /// These rooms.
    Only(HashSet<RoomName>),
    /// Possibly every room of the tenant.
    All,
}

impl Default for AffectedRooms {
    fn default() -> Self {
        Self::Of(HashMap::new())
    }
}

impl AffectedRooms {
    /// Adds the rooms that a dropped message may have been about.
    pub(super) fn add(&mut self, channel: &Channel) {
        match (&mut *self, channel) {
            (Self::Of(tenants), Channel::Room(room)) => {
                let tenant = room.split(':').next().unwrap_or_default();
                match tenants.get_mut(tenant) {
                    Some(rooms) => rooms.add(room),
                    None => {
                        let rooms = TenantRooms::Only(HashSet::from([RoomName::clone(room)]));
                        tenants.insert(tenant.into(), rooms);
                    }
                }
            }
            // A cluster message may concern any room.
            (_, Channel::Nodes) => *self = Self::All,
            (Self::All, _) => {}
        }
    }
}

impl TenantRooms {
    fn add(&mut self, room: &RoomName) {
        match self {
            Self::Only(rooms) if rooms.len() < ROOMS_KEPT || rooms.contains(room) => {
                rooms.insert(RoomName::clone(room));
            }
            _ => *self = Self::All,
        }
    }
}
