//! Which nodes have no presence in a room any more, derived from missing snapshots.
//!
//! A node's presence in a room has a stored snapshot, so a live node without one has no presence there, with three
//! exceptions. A node that is resyncing has not stored everything yet. A node of which nothing has arrived over this connection
//! may be resyncing. A node without a lease may only be later than this one to reconnect to a bus that has lost its data;
//! its presence stays for as long as a lease lasts.

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use hub::{ApplyOutcome, NodeId};

use super::{ClusterMessage, LinkSession};
use crate::bus::link::commands;
use crate::bus::link::room_turns::RoomPriority;
use crate::bus::{AffectedRooms, RoomName, StoredSnapshot};

pub(super) struct Liveness {
    /// When the session began.
    since: Instant,
    /// Nodes with a lease at the last renewal.
    alive: HashSet<NodeId>,
    /// Nodes of which a cluster message has arrived since then: it has the state of their resync.
    received_from: HashSet<NodeId>,
    /// Nodes that are resyncing, and the rooms in which an update of theirs has arrived since they began.
    resyncing: HashMap<NodeId, HashSet<RoomName>>,
}

/// What a missing snapshot means.
#[derive(Debug, PartialEq, Eq)]
enum Missing {
    /// The node has no presence in the room.
    Gone,
    /// It will be read again when the resync of the node has ended.
    Resyncing,
    /// Not known yet.
    Unknown,
}

impl Liveness {
    pub(super) fn new() -> Self {
        Self {
            since: Instant::now(),
            alive: HashSet::new(),
            received_from: HashSet::new(),
            resyncing: HashMap::new(),
        }
    }

    fn missing(&self, node: NodeId) -> Missing {
        if self.resyncing.contains_key(&node) {
            Missing::Resyncing
        } else if self.alive.contains(&node) && self.received_from.contains(&node) {
            Missing::Gone
        } else {
            Missing::Unknown
        }
    }

    /// A presence update of the node has arrived.
    pub(super) fn note_update(&mut self, node: NodeId, name: &RoomName) {
        if let Some(updated) = self.resyncing.get_mut(&node) {
            updated.insert(RoomName::clone(name));
        }
    }

    /// The node has stopped.
    pub(super) fn remove(&mut self, node: NodeId) {
        self.received_from.remove(&node);
        self.resyncing.remove(&node);
    }
}

impl LinkSession<'_, '_> {
    /// Messages were dropped: in these rooms updates may be missing. If they may be any rooms, one to all nodes was among
    /// them, such as the beginning of a resync.
    pub(super) fn note_overflow(&mut self, rooms: AffectedRooms) {
        self.loss.note_overflow();
        if rooms == AffectedRooms::All {
            self.liveness.received_from.clear();
            self.liveness.resyncing.clear();
        }
        self.postpone_reads(rooms);
        self.context.host.documents().iter().for_each(|documents| documents.missed_any());
    }

    /// A cluster message has arrived. Those of version 1.0 do not always have the state of the resync.
    pub(super) fn note_resyncing(
        &mut self,
        node: NodeId,
        message: Option<&ClusterMessage>,
        is_resyncing: Option<bool>,
    ) {
        match (message, is_resyncing) {
            (Some(ClusterMessage::ResyncBegin), _) => self.resync_started(node),
            (Some(ClusterMessage::ResyncEnd), _) | (_, Some(false)) => self.reconcile(node),
            (_, Some(true)) => drop(self.liveness.resyncing.entry(node).or_default()),
            (_, None) => {}
        }
        if self.liveness.received_from.insert(node) {
            // Some may have been postponed because nothing of this node had arrived.
            self.begin_postponed();
        }
    }

    /// A node begins to store and publish its whole presence.
    fn resync_started(&mut self, node: NodeId) {
        self.liveness.resyncing.insert(node, HashSet::new());
    }

    /// A node has stored and published its whole presence. Rooms without an update have none any more, unless it was
    /// published before this node subscribed: their snapshots are read, because those read earlier may be of the previous
    /// incarnation.
    fn reconcile(&mut self, node: NodeId) {
        let Some(updated) = self.liveness.resyncing.remove(&node) else { return };
        let names = self.rooms.iter().map(|(name, _)| name);
        self.reads.list(names.filter(|name| !updated.contains(*name)).cloned(), node);
    }

    /// Applies the snapshots of a room, which were read after it was subscribed to.
    pub(super) fn apply_snapshots(
        &mut self,
        name: &RoomName,
        snapshots: Vec<(NodeId, Option<StoredSnapshot>)>,
    ) {
        let context = self.context;
        let Some(subscription) = self.rooms.get(name) else { return };
        snapshots.iter().for_each(|(node, _)| subscription.received_from(*node));
        let (silent, is_stale) = subscription.end_read();
        let room = context.hub.room(&subscription.key);
        if is_stale {
            self.reads.add(RoomName::clone(name), RoomPriority::Background);
        }
        let Some(room) = room else { return };
        for (node, snapshot) in snapshots {
            match snapshot.as_ref().map(commands::decode) {
                None => self.reads.postpone(RoomName::clone(name)),
                Some(Ok(snapshot)) => {
                    self.peers.note_message(context, node);
                    if context.hub.apply_presence(&room, node, snapshot) == ApplyOutcome::OutOfMemory {
                        self.note_unshown(RoomName::clone(name));
                    }
                }
                Some(Err(malformed)) => self.peers.note_malformed(context, malformed),
            }
        }
        for node in silent {
            match self.liveness.missing(node) {
                Missing::Gone => context.hub.remove_node_from(&room, node),
                Missing::Resyncing => {}
                Missing::Unknown => self.reads.postpone(RoomName::clone(name)),
            }
        }
        context.hub.confirm_joins(&room);
    }

    /// These nodes have a lease now.
    pub(super) fn note_alive(&mut self, alive: HashSet<NodeId>) {
        let has_new = self.peers.note_alive(self.context, &alive);
        // At first every node may be new, and has nothing to publish to a node that has just connected.
        if self.resync.is_renewed && has_new {
            self.postpone_reads(AffectedRooms::All);
        }
        if self.liveness.since.elapsed() >= self.context.settings.lease {
            self.peers.expire(self.context, &alive);
            let peers = &self.peers;
            self.liveness.resyncing.retain(|node, _| peers.is_known(*node));
            self.liveness.received_from.retain(|node| peers.is_known(*node));
        }
        self.liveness.alive = alive;
    }
}
