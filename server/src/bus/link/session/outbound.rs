//! What a session publishes.

use std::time::Instant;

use hub::RoomEvent;

use super::requests::Sent;
use super::subscriptions::OpenedRooms;
use super::{ClusterMessage, LinkSession};
use crate::bus::link::cluster_message::{self, Header, PROTOCOL};
use crate::bus::link::commands::{self, CommandBatch};
use crate::bus::link::room_table;
use crate::bus::link::room_turns::RoomPriority;
use crate::bus::{BATCH_MAX, Channel, Command};

impl LinkSession<'_, '_> {
    pub(super) fn publish_events(&mut self, events: Vec<RoomEvent>) {
        let (node, linger) = (self.context.node, self.context.settings.linger);
        let (mut opening, mut batch) = (OpenedRooms::default(), CommandBatch::default());
        for event in events {
            match event {
                RoomEvent::RoomOpened(room) => self.open(room, &mut opening),
                RoomEvent::Published { key, frame, messages } => batch.add_frame(key, frame, messages),
                RoomEvent::PresenceChanged(room) => {
                    let delta = room.take_delta();
                    // A room that is not open again yet, or whose last change was rejected, will be stored as a whole.
                    let name = room_table::name(room.key());
                    let is_current = self.rooms.get(&name).is_some() && !self.resync.is_obsolete(&name);
                    if let Some(delta) = delta.filter(|_| is_current && self.resync.is_registered) {
                        let command = commands::delta(node, room.key(), &delta);
                        self.context.hub.charge_relay(&room.key().tenant, Command::len(&command));
                        if let Some(command) = self.admit(command, room.key()) {
                            batch.add(command);
                        }
                    }
                }
                RoomEvent::RoomClosed { key, final_snapshot } => {
                    if let Some(snapshot) = final_snapshot.filter(|_| self.resync.is_registered) {
                        let last = commands::snapshot(node, &key, &snapshot);
                        if let Some(command) = self.admit(last, &key) {
                            batch.add(command);
                        }
                    }
                    self.rooms.close(&room_table::name(&key), Instant::now() + linger);
                }
                // Users are published by tenant, not by room.
                RoomEvent::MemberJoined(_) | RoomEvent::MemberLeft(_) => {}
            }
        }
        self.subscribe(opening, RoomPriority::Joining);
        let (messages, now, is_decoded) = (batch.messages, Instant::now(), self.may_number());
        let sent = &mut self.peers.sent;
        let number = |room: &_, messages| Some(sent.count(room, messages, now)).filter(|_| is_decoded);
        let commands = batch.into_commands(node, number);
        self.send(commands, messages);
    }

    /// Sends `commands`, in which there are this many messages of clients.
    pub(super) fn send(&mut self, commands: Vec<Command>, messages: u64) {
        let mut commands = commands.into_iter().peekable();
        while commands.peek().is_some() {
            let batch: Vec<_> = commands.by_ref().take(BATCH_MAX).collect();
            // Of several batches the last one counts all messages, because then all have been sent.
            let messages = if commands.peek().is_none() { messages } else { 0 };
            let bytes = batch.iter().map(Command::len).sum();
            let sent = self.connection.send(batch);
            self.requests.add_batch(sent, (bytes, messages));
        }
    }

    pub(super) fn note_sent(&mut self, Sent { messages, rejected, .. }: Sent) {
        self.context.metrics.published.increment(messages);
        self.note_rejected(rejected);
    }

    /// Publishes a message to all other nodes.
    pub(super) fn publish_to_nodes(&mut self, message: &ClusterMessage) {
        let header = Header {
            streams: Some(self.peers.sent.next_stream()),
            protocol: Some(PROTOCOL),
            resyncing: Some(self.resync.is_unfinished()),
        };
        let message = cluster_message::encode(self.context.node, header, message);
        self.send(vec![Command::Publish { channel: Channel::Nodes, message }], 0);
    }
}
