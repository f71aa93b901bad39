//! The rooms this node listens to, and those that wait to be opened.
//!
//! A room is listened to from its first member on. It lingers for a moment after its last, so that somebody
//! who comes right back finds it heard already.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use hub::{Hub, NodeId, Privacy, Room, RoomKey, Space};

use crate::bus::RoomName;

/// The name under which all nodes know a room. The topic comes last: it may hold anything.
pub(super) fn name(key: &RoomKey) -> RoomName {
    let space = match key.space {
        Space::Phoenix => "phoenix",
        Space::Rooms => "rooms",
        Space::Document => "document",
    };
    let privacy = match key.privacy {
        Privacy::Public => "public",
        Privacy::Private => "private",
    };
    format!("{}:{space}:{privacy}:{}", key.tenant, key.topic).into()
}

/// Rooms of one cable.
#[derive(Debug, Default)]
pub(super) struct Rooms {
    heard: HashMap<RoomName, Listened>,
    /// In the order of their times.
    opening: VecDeque<(Instant, Arc<Room>)>,
    lingering: VecDeque<(Instant, RoomName)>,
}

/// A room that is listened to.
#[derive(Debug)]
pub(super) struct Listened {
    pub(super) key: Arc<RoomKey>,
    /// When it is to be listened to no longer.
    until: Option<Instant>,
    /// Nodes that showed something here when the copies were asked for, and have not been heard since. Those
    /// that have no copy have nothing to show.
    pub(super) suspects: HashSet<NodeId>,
}

impl Rooms {
    /// How many rooms are listened to.
    pub(super) fn len(&self) -> usize {
        self.heard.len()
    }

    /// The room of this name.
    pub(super) fn get(&mut self, name: &str) -> Option<&mut Listened> {
        self.heard.get_mut(name)
    }

    /// All rooms.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&RoomName, &Listened)> {
        self.heard.iter()
    }

    /// The room has a first member, who waits until `deadline` at the latest. Returns its name, and whether it
    /// has to be subscribed to.
    pub(super) fn open(&mut self, room: Arc<Room>, deadline: Instant) -> (RoomName, bool) {
        let name = name(room.key());
        let suspects = room.nodes().into_iter().collect();
        let listened = Listened { key: Arc::clone(room.key()), until: None, suspects };
        self.opening.push_back((deadline, room));
        let is_new = self.heard.insert(Arc::clone(&name), listened).is_none();
        (name, is_new)
    }

    /// The room has no members any more.
    pub(super) fn close(&mut self, name: &RoomName, until: Instant) {
        if let Some(listened) = self.heard.get_mut(name) {
            listened.until = Some(until);
            self.lingering.push_back((until, Arc::clone(name)));
        }
    }

    /// Admits the rooms that have waited long enough.
    pub(super) fn admit_late(&mut self, hub: &Hub, now: Instant) {
        while self.opening.front().is_some_and(|(deadline, _)| *deadline <= now) {
            self.opening.pop_front().inspect(|(_, room)| hub.admit(room));
        }
    }

    /// Admits all rooms that wait.
    pub(super) fn admit_all(&mut self, hub: &Hub) {
        self.opening.drain(..).for_each(|(_, room)| hub.admit(&room));
    }

    /// The rooms, at most `max`, that have lingered long enough; they are not listened to any more.
    pub(super) fn leave(&mut self, max: usize, now: Instant) -> Vec<RoomName> {
        let mut left = Vec::new();
        while left.len() < max && self.lingering.front().is_some_and(|(until, _)| *until <= now) {
            let Some((until, name)) = self.lingering.pop_front() else { break };
            // It may have opened again, and closed again, since.
            if self.heard.get(&name).is_some_and(|listened| listened.until == Some(until)) {
                self.heard.remove(&name);
                left.push(name);
            }
        }
        left
    }

    /// When [`admit_late`](Self::admit_late) or [`leave`](Self::leave) has something to do.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let opening = self.opening.front().map(|(deadline, _)| *deadline);
        let lingering = self.lingering.front().map(|(until, _)| *until);
        opening.into_iter().chain(lingering).min()
    }
}
