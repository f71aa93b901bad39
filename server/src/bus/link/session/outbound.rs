//! What a session publishes.

use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt;
use hub::{MemoryCharge, Room, RoomEvent};

use super::requests::Sent;
use super::subscriptions::OpenedRooms;
use super::{ClusterMessage, LinkSession, RELAY_EVENTS_MAX, relay_events};
use crate::bus::link::cluster_message::{self, Header, PROTOCOL};
use crate::bus::link::commands::{self, CommandBatch};
use crate::bus::link::room_table;
use crate::bus::link::room_turns::RoomPriority;
use crate::bus::{BATCH_BYTES, BATCH_MAX, Channel, Command};

impl LinkSession<'_, '_> {
    /// Publishes these events, and those that follow as long as a batch has room for them and a poll has time.
    pub(super) fn publish_events(&mut self, events: Vec<RoomEvent>) {
        let (node, hub) = (self.context.node, Arc::clone(&self.context.hub));
        let (mut opening, mut batch) = (OpenedRooms::default(), CommandBatch::default());
        let mut next = Some(events);
        while let Some(events) = next {
            events.into_iter().for_each(|event| self.publish(event, &mut opening, &mut batch));
            let has_room =
                batch.bytes < BATCH_BYTES && opening.has_room_for(RELAY_EVENTS_MAX.frames as usize);
            next = (has_room && !self.timer.is_over()).then(|| relay_events(&hub).now_or_never()).flatten();
        }
        self.subscribe(opening, RoomPriority::Joining);
        let (messages, now, is_decoded) = (batch.messages, Instant::now(), self.may_number());
        let sent = &mut self.peers.sent;
        let number = |room: &_, messages| Some(sent.count(room, messages, now)).filter(|_| is_decoded);
        let lost_at = self.context.losses.last(&hub);
        let commands = batch.into_commands(node, lost_at, number);
        self.send(commands, messages);
    }

    fn publish(&mut self, event: RoomEvent, opening: &mut OpenedRooms, batch: &mut CommandBatch) {
        match event {
            RoomEvent::RoomOpened(room) => self.open(room, opening),
            RoomEvent::Published { key, frame, messages, kept } => {
                batch.add_frame(key, frame, messages, kept);
            }
            RoomEvent::PresenceChanged(room) => {
                if let Some(command) = self.presence_change(&room) {
                    batch.add(command);
                }
            }
            RoomEvent::RoomClosed { key, final_snapshot } => {
                if let Some(snapshot) = final_snapshot.filter(|_| self.resync.is_registered) {
                    let last = commands::snapshot(self.context.node, &key, &snapshot);
                    if let Some(command) = self.admit(last, &key) {
                        batch.add(command);
                    }
                }
                let linger = self.context.settings.linger;
                self.rooms.close(&room_table::name(&key), Instant::now() + linger);
            }
            // Users are published by tenant, not by room.
            RoomEvent::MemberJoined(_) | RoomEvent::MemberLeft(_) => {}
        }
    }

    /// Stores what has changed in the room. One that is not open again yet, or whose last change was rejected, will be
    /// stored as a whole.
    fn presence_change(&mut self, room: &Room) -> Option<Command> {
        let delta = room.take_delta()?;
        let name = room_table::name(room.key());
        let is_current = self.rooms.get(&name).is_some() && !self.resync.is_obsolete(&name);
        if !is_current || !self.resync.is_registered {
            return None;
        }
        let command = commands::delta(self.context.node, room.key(), &delta);
        self.context.hub.charge_relay(&room.key().tenant, Command::len(&command));
        self.admit(command, room.key())
    }

    /// Sends `commands`, in which there are this many messages of clients.
    pub(super) fn send(&mut self, commands: Vec<Command>, messages: u64) {
        let mut commands = commands.into_iter().peekable();
        while commands.peek().is_some() {
            let batch: Vec<_> = commands.by_ref().take(BATCH_MAX).collect();
            // Of several batches the last one counts all messages, because then all have been sent.
            let messages = if commands.peek().is_none() { messages } else { 0 };
            let bytes = batch.iter().map(Command::len).sum();
            let charges = self.charge_large(&batch);
            let sent = self.connection.send(batch);
            self.requests.add_batch(sent, (bytes, messages), charges);
        }
    }

    /// Charges those of the commands that are larger than a batch should be.
    pub(super) fn charge_large(&self, commands: &[Command]) -> Vec<MemoryCharge> {
        let large = commands.iter().filter(|command| command.len() > BATCH_BYTES);
        let charges = large.filter_map(|command| match command {
            Command::Store { room, .. } => self.context.large.charge_command(room, command.len()),
            // The limits of messages bound these.
            Command::Publish { .. } | Command::Keep { .. } => None,
        });
        charges.collect()
    }

    pub(super) fn note_sent(&mut self, Sent { messages, took, rejected, .. }: Sent) {
        if messages > 0 {
            self.context.hops.note(took);
        }
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
