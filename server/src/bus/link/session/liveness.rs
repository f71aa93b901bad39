//! Who shows nothing any more, as follows from what is not said, and what is missing.
//!
//! Whatever a node shows has a copy, so where there is none it shows nothing. A node that has a new cable has no
//! copies before it has told everything, and is judged only then. A node that is not alive may only be later than
//! this one to come back to a bus that has forgotten everybody: nothing follows from its silence before a lease
//! has run out.

use std::collections::HashSet;

use hub::{NodeId, Position};

use super::inbound::ask;
use super::{LinkSession, RoomName, StoredSnapshot};
use crate::bus::AffectedRooms;
use crate::bus::link::commands;

impl LinkSession<'_, '_> {
    /// What was dropped would have been heard by now.
    pub(super) fn miss(&mut self) {
        self.missed.extend(std::mem::take(&mut self.interrupted));
        if !self.telling.is_empty() {
            // Whoever was telling everything may have told what is missing, or that this was everything.
            self.telling.clear();
            self.missed = AffectedRooms::All;
        }
    }

    /// A node is about to tell everything it shows.
    pub(super) fn resync_started(&mut self, node: NodeId) {
        self.telling.insert(node, HashSet::new());
    }

    /// A node has told what it shows in a room.
    pub(super) fn has_told(&mut self, node: NodeId, name: &RoomName) {
        if let Some(told) = self.telling.get_mut(&node) {
            told.insert(RoomName::clone(name));
        }
    }

    /// A node has told everything: where it said nothing, it shows nothing, unless it did so before we listened.
    /// The copies know; those that were asked for earlier may be of its last cable.
    pub(super) fn reconcile(&mut self, node: NodeId) {
        let Some(told) = self.telling.remove(&node) else { return };
        for (name, listened) in self.rooms.iter().filter(|(name, _)| !told.contains(*name)) {
            let room = self.context.hub.room(&listened.key);
            if room.is_some_and(|room| room.remote_nodes().contains(&node)) {
                self.rereading.insert(RoomName::clone(name));
            }
        }
    }

    /// What the nodes that are alive show in a room, as it stood after it began to be listened to.
    pub(super) fn hear_copies(&mut self, name: &RoomName, copies: Vec<(NodeId, Option<StoredSnapshot>)>) {
        let (context, me) = (self.context, self.context.node);
        let Some(listened) = self.rooms.get(name) else { return };
        copies.iter().for_each(|(node, _)| listened.heard(*node));
        let (silent, is_old) = listened.answered();
        let room = context.hub.room(&listened.key);
        if is_old {
            self.read_again(RoomName::clone(name));
        }
        let Some(room) = room else { return };
        for (node, copy) in copies.into_iter().filter(|(node, _)| *node != me) {
            self.peers.notice(context, node);
            let Some(copy) = copy else {
                self.unclear.insert(RoomName::clone(name));
                continue;
            };
            match commands::decode(&copy) {
                Ok(state) => {
                    let position = state.position;
                    context.hub.apply_presence(&room, node, state);
                    self.know_until(name, node, position);
                }
                Err(why) => self.peers.pass_over(context, why),
            }
        }
        // Whoever is about to tell everything has no copies yet; it will be read once more when it has told them.
        for node in silent.into_iter().filter(|node| !self.telling.contains_key(node)) {
            if self.alive.contains(&node) {
                context.hub.remove_node_from(&room, node);
                self.asked.remove(&(RoomName::clone(name), node));
            } else {
                self.unclear.insert(RoomName::clone(name));
            }
        }
        context.hub.confirm_joins(&room);
    }

    /// Whose lease holds now.
    pub(super) fn know_alive(&mut self, alive: HashSet<NodeId>) {
        let strangers = self.peers.meet(self.context, &alive);
        // At first everybody may be a stranger: they have nothing to say to who has just come.
        if std::mem::replace(&mut self.is_renewed, true) && strangers {
            self.missed = AffectedRooms::All;
        }
        if self.since.elapsed() >= self.context.settings.lease {
            self.peers.expire(self.context, &alive);
            let peers = &self.peers;
            self.telling.retain(|node, _| peers.knows(*node));
        }
        self.alive = alive;
        std::mem::take(&mut self.unclear).into_iter().for_each(|name| self.read_again(name));
    }

    /// What a node said in a room up to `position` is not known in full. Returns whether it is to be asked.
    pub(super) fn miss_until(&mut self, name: &RoomName, node: NodeId, position: Position) -> bool {
        let before = self.asked.get(&(RoomName::clone(name), node)).copied();
        self.asked.insert((RoomName::clone(name), node), before.map_or(position, |it| it.max(position)));
        before.is_none()
    }

    /// What a node said in a room is known up to `position`.
    pub(super) fn know_until(&mut self, name: &RoomName, node: NodeId, position: Position) {
        if !self.asked.is_empty() {
            let key = (RoomName::clone(name), node);
            if self.asked.get(&key).is_some_and(|missing| *missing <= position) {
                self.asked.remove(&key);
            }
        }
    }

    /// Questions may be lost like anything else.
    pub(super) fn ask_again(&mut self) {
        let (peers, rooms, hub) = (&self.peers, &mut self.rooms, &self.context.hub);
        self.asked.retain(|(name, node), _| {
            let is_open = rooms.get(name).is_some_and(|listened| hub.room(&listened.key).is_some());
            is_open && peers.knows(*node)
        });
        let me = self.context.node;
        self.send(self.asked.keys().map(|(name, node)| ask(me, name, *node)).collect(), 0);
    }
}
