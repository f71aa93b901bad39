//! Messages of other nodes, and what follows from them.

use std::time::Duration;

use hub::{ApplyOutcome, Bounds, NodeId, PresenceUpdate, Space};
use tracing::debug;
use wire::relay::{self, Events, MessageBody, SequenceNumber};

use super::{ClusterMessage, LinkSession};
use crate::bus::link::cluster_message::{self, Decoded};
use crate::bus::{Arrival, Channel, InboxOverflow, ReceivedMessage, RoomName};

/// What is taken out of the inbox at once.
pub(super) const ARRIVALS_MAX: Bounds = Bounds { frames: 256, bytes: 256 * 1024 };

impl LinkSession<'_, '_> {
    /// Processes what was taken out of the inbox, as much as a poll has time for.
    pub(super) fn receive_some(&mut self) {
        while !self.timer.is_over()
            && let Some(arrival) = self.arrivals.pop_front()
        {
            match arrival {
                Arrival::Message(ReceivedMessage { channel: Channel::Room(name), message }) => {
                    self.process_room_message(name, &message);
                }
                Arrival::Message(ReceivedMessage { channel: Channel::Nodes, message }) => {
                    self.process_cluster_message(&message);
                }
                Arrival::Overflow(InboxOverflow { messages, rooms }) => {
                    self.context.metrics.unheard.increment(messages);
                    self.note_overflow(rooms);
                }
            }
        }
    }

    fn process_room_message(&mut self, name: RoomName, message: &[u8]) {
        let message = match relay::decode(message) {
            Ok(message) => message,
            Err(malformed) => return self.peers.note_malformed(self.context, malformed),
        };
        let (node, sender) = (self.context.node, message.sender);
        if sender == node {
            return;
        }
        self.peers.note_message(self.context, sender);
        if self.rooms.get(&name).is_none() {
            return;
        }
        match message.body {
            MessageBody::Events(events) => self.deliver(&name, sender, None, events),
            MessageBody::NumberedEvents(number, events) => self.deliver(&name, sender, Some(number), events),
            MessageBody::Delta(delta) => self.apply_update(name, sender, delta.into()),
            MessageBody::Snapshot(snapshot) => self.apply_update(name, sender, snapshot.into()),
            // Nodes of version 1.0 request what they miss, and read only the snapshots of rooms that open.
            MessageBody::RequestSnapshot { of } => {
                if of.is_none_or(|of| of == node) && self.resync.is_registered {
                    self.resync.add(name);
                }
            }
            MessageBody::SnapshotStored => {
                self.liveness.note_update(sender, &name);
                self.read_again(name);
            }
        }
    }

    /// Delivers broadcasts of another node, and counts how many before them are missing.
    fn deliver(&mut self, name: &RoomName, node: NodeId, number: Option<SequenceNumber>, events: Events<'_>) {
        let (context, messages) = (self.context, events.messages());
        let Some(subscription) = self.rooms.get(name) else { return };
        if number.is_some_and(|number| !self.peers.received.is_plausible(name, node, number)) {
            context.metrics.unread.increment(1);
            return debug!(%node, "Ignored a message with a number that no node can have published");
        }
        let since = || context.hub.room(&subscription.key).map(|room| room.opened_at());
        let missed = self.peers.received.count(name, node, number, messages as u64, since);
        context.metrics.missed.increment(missed);
        if subscription.key.space == Space::Document {
            let documents = context.host.documents();
            documents.iter().filter(|_| missed > 0).for_each(|it| it.missed(&subscription.key));
            documents.iter().for_each(|it| it.receive(&subscription.key, node, &events));
            context.metrics.received.increment(messages as u64);
        } else if messages > 0 {
            let _receipts = context.host.begin_receipts(&events, &subscription.key);
            let delivery = context.hub.deliver(&subscription.key, events);
            context.metrics.received.increment(messages as u64);
            context.host.delivered(&subscription.key.tenant, messages, delivery);
        }
    }

    /// Applies a presence update of another node. After a gap the snapshot has what is missing: it was stored together
    /// with the update.
    fn apply_update(&mut self, name: RoomName, node: NodeId, update: PresenceUpdate) {
        let hub = &self.context.hub;
        let Some(subscription) = self.rooms.get(&name) else { return };
        subscription.received_from(node);
        let Some(room) = hub.room(&subscription.key) else { return };
        let outcome = hub.apply_presence(&room, node, update);
        self.liveness.note_update(node, &name);
        match outcome {
            ApplyOutcome::Applied | ApplyOutcome::Old => {}
            ApplyOutcome::Gap => self.read_again(name),
            ApplyOutcome::OutOfMemory => self.note_unshown(name),
        }
    }

    fn process_cluster_message(&mut self, message: &[u8]) {
        let Some(Decoded { from: node, header, message }) = cluster_message::decode(message) else {
            self.context.metrics.unread.increment(1);
            return debug!("Ignored a malformed message to all nodes");
        };
        if node == self.context.node {
            return;
        }
        if message == Some(ClusterMessage::Leaving) {
            self.liveness.remove(node);
            return self.peers.stopped(self.context, node);
        }
        self.peers.note_message(self.context, node);
        self.peers.note_header(self.context, node, &header);
        self.note_resyncing(node, message.as_ref(), header.resyncing);
        match message {
            // Once for all nodes that begin a resync within a second.
            Some(ClusterMessage::ResyncBegin) => {
                self.peers.request_all_users();
                // What it has stored while it was not connected.
                self.context.host.documents().iter().for_each(|documents| documents.missed_any());
            }
            Some(ClusterMessage::Users { whole, users }) => {
                self.peers.apply_users(self.context, node, whole, users);
            }
            Some(ClusterMessage::RequestSequences { since_ms }) => {
                self.loss.note_request(Duration::from_millis(since_ms));
            }
            Some(ClusterMessage::Operator(command)) => self.context.host.execute(command),
            Some(ClusterMessage::ResyncEnd | ClusterMessage::Leaving) => {}
            None => self.context.metrics.unread.increment(1),
        }
    }
}
