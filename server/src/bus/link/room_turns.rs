//! Rooms that wait for something to be stored or read. Tenants take turns: much presence of one does not delay the others.

use std::collections::HashSet;
use std::sync::Arc;

use hub::{Bounds, FairQueue, Quantum};

use super::room_table::tenant;
use crate::bus::RoomName;

/// A turn: this many bytes of presence, or rooms with little.
const TURN: Quantum = Quantum { per_turn: 64 * 1024, per_item: 1024 };

/// Whose turn it is. Rooms whose joins wait have turns of their own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Line {
    tenant: Arc<str>,
    priority: RoomPriority,
}

/// Whether clients wait for a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum RoomPriority {
    /// Its joins do.
    Joining,
    /// It is repaired, or restored.
    Background,
}

/// A set of rooms. Bounded by the rooms that there are on this node.
#[derive(Debug)]
pub(super) struct RoomTurns {
    queue: FairQueue<Line, RoomName>,
    names: HashSet<RoomName>,
}

impl Default for RoomTurns {
    fn default() -> Self {
        Self { queue: FairQueue::new(Bounds { frames: 0, bytes: 0 }, TURN), names: HashSet::new() }
    }
}

impl RoomTurns {
    /// Adds the room, if it is not in the set.
    pub(super) fn insert(&mut self, name: RoomName, priority: RoomPriority) {
        if self.names.insert(RoomName::clone(&name)) {
            self.queue.insert(&line(&name, priority), name);
        }
    }

    /// Removes the room whose turn it is.
    pub(super) fn pop(&mut self) -> Option<RoomName> {
        let name = self.queue.pop()?;
        self.names.remove(&name);
        Some(name)
    }

    /// Storing or reading the room has taken this many bytes.
    pub(super) fn charge(&mut self, name: &str, bytes: usize) {
        self.queue.charge(&line(name, RoomPriority::Background), bytes);
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}

fn line(name: &str, priority: RoomPriority) -> Line {
    Line { tenant: tenant(name).into(), priority }
}
