//! Rooms that wait for something to be stored or read. Tenants take turns: much presence of one does not delay the others.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
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

/// A room, and the line that pays for what is stored or read of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RoomTurn {
    pub(super) name: RoomName,
    pub(super) priority: RoomPriority,
}

/// In which lines of its tenant a room is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Queued {
    /// In this one.
    In(RoomPriority),
    /// In both, because joins wait for it since it was queued.
    InBoth,
    /// In that of the background, although it has had its turn in the other.
    HadTurn,
}

/// A set of rooms. Bounded by the rooms that there are on this node: a room is once in each line.
#[derive(Debug)]
pub(super) struct RoomTurns {
    queue: FairQueue<Line, RoomTurn>,
    rooms: HashMap<RoomName, Queued>,
    /// Rooms that have not had their turn.
    waiting: usize,
}

impl Default for RoomTurns {
    fn default() -> Self {
        let queue = FairQueue::new(Bounds { frames: 0, bytes: 0 }, TURN);
        Self { queue, rooms: HashMap::new(), waiting: 0 }
    }
}

impl RoomTurns {
    /// Adds the room. If it is in the set already, it has the higher priority of the two.
    pub(super) fn insert(&mut self, name: RoomName, priority: RoomPriority) {
        use RoomPriority::{Background, Joining};
        let queued = self.rooms.get(&name).copied();
        self.waiting += usize::from(matches!(queued, None | Some(Queued::HadTurn)));
        let now = match (queued, priority) {
            (None, priority) => Queued::In(priority),
            (Some(Queued::In(Background) | Queued::HadTurn), Joining) => Queued::InBoth,
            (Some(Queued::HadTurn), Background) => Queued::In(Background),
            (Some(same), _) => same,
        };
        self.rooms.insert(RoomName::clone(&name), now);
        if queued.is_none() || (now == Queued::InBoth && queued != Some(Queued::InBoth)) {
            let turn = RoomTurn { name, priority };
            self.queue.insert(&turn.line(), turn);
        }
    }

    /// Removes the room whose turn it is.
    pub(super) fn pop(&mut self) -> Option<RoomTurn> {
        // The places of rooms that have had their turn are left until then, and cost their line little.
        while let Some(turn) = self.queue.pop() {
            if self.take(&turn) {
                self.waiting -= 1;
                return Some(turn);
            }
        }
        None
    }

    /// The room was taken from a line. Returns whether it is its turn.
    fn take(&mut self, turn: &RoomTurn) -> bool {
        let Entry::Occupied(mut room) = self.rooms.entry(RoomName::clone(&turn.name)) else { return false };
        match (*room.get(), turn.priority) {
            (Queued::InBoth, RoomPriority::Joining) => {
                room.insert(Queued::HadTurn);
                true
            }
            (Queued::InBoth, RoomPriority::Background) => {
                room.insert(Queued::In(RoomPriority::Joining));
                false
            }
            (queued, _) => {
                room.remove();
                queued != Queued::HadTurn
            }
        }
    }

    /// Storing or reading the room in its turn has taken this many bytes.
    pub(super) fn charge(&mut self, turn: &RoomTurn, bytes: usize) {
        self.queue.charge(&turn.line(), bytes);
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.rooms.get(name).is_some_and(|queued| *queued != Queued::HadTurn)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting == 0
    }
}

impl RoomTurn {
    fn line(&self) -> Line {
        Line { tenant: tenant(&self.name).into(), priority: self.priority }
    }
}

#[cfg(test)]
mod tests {
    use super::RoomPriority::{Background, Joining};
    use super::*;

    fn insert(turns: &mut RoomTurns, names: &[&str], priority: RoomPriority) {
        names.iter().for_each(|name| turns.insert((*name).into(), priority));
    }

    fn pop_all(turns: &mut RoomTurns) -> Vec<String> {
        std::iter::from_fn(|| turns.pop().map(|turn| turn.name.to_string())).collect()
    }

    #[test]
    fn a_join_raises_a_room_that_waits_in_the_background() {
        let mut turns = RoomTurns::default();
        let rooms: Vec<_> = (0..200).map(|n| format!("a:{n}")).collect();
        insert(&mut turns, &rooms.iter().map(String::as_str).collect::<Vec<_>>(), Background);
        insert(&mut turns, &["a:199"], Joining);
        insert(&mut turns, &["a:199"], Background);
        let order = pop_all(&mut turns);
        let place = order.iter().position(|name| name == "a:199");
        assert!(place.is_some_and(|place| place <= 64), "after one turn of the others: {place:?}");
        assert_eq!(order.len(), rooms.len(), "each room has one turn");
        assert!(turns.is_empty() && turns.rooms.is_empty() && turns.queue.is_empty());
    }

    #[test]
    fn a_room_is_once_in_each_line_however_often_clients_join_it() {
        let mut turns = RoomTurns::default();
        insert(&mut turns, &["a:behind", "a:room"], Background);
        turns.charge(&RoomTurn { name: "a:behind".into(), priority: Background }, 1 << 20);
        for _ in 0..10 {
            insert(&mut turns, &["a:room"], Joining);
            assert_eq!(turns.pop(), Some(RoomTurn { name: "a:room".into(), priority: Joining }));
            assert!(!turns.contains("a:room") && turns.contains("a:behind"));
            insert(&mut turns, &["a:room"], Background);
            assert!(turns.contains("a:room"));
            assert_eq!(turns.queue.len(), 2);
        }
        assert_eq!(pop_all(&mut turns), ["a:behind", "a:room"]);
    }

    #[test]
    fn what_joins_have_read_is_charged_to_the_line_of_joins() {
        let mut turns = RoomTurns::default();
        insert(&mut turns, &["a:1", "a:2"], Joining);
        insert(&mut turns, &["a:3", "a:4"], Background);
        let first = turns.pop().expect("a room");
        assert_eq!(&*first.name, "a:1");
        turns.charge(&first, 1 << 20);
        assert_eq!(pop_all(&mut turns), ["a:3", "a:4", "a:2"]);
    }
}
