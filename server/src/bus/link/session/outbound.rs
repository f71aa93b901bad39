//! What departs, and how it is handed over.

use std::time::Instant;

use futures_util::FutureExt;
use hub::RoomEvent;

use super::subscriptions::Opening;
use super::{ClusterMessage, Done, LinkSession, Sent};
use crate::bus::link::commands::{self, CommandBatch};
use crate::bus::link::{cluster_message, room_table};
use crate::bus::{BATCH_MAX, BusFuture, Channel, Command};

impl LinkSession<'_, '_> {
    pub(super) fn depart(&mut self, departures: Vec<RoomEvent>) {
        let (node, linger) = (self.context.node, self.context.settings.linger);
        let (mut opening, mut departing) = (Opening::default(), CommandBatch::default());
        for departure in departures {
            match departure {
                RoomEvent::RoomOpened(room) => self.open(room, &mut opening),
                RoomEvent::Published { key, frame, messages } => departing.add_frame(key, frame, messages),
                RoomEvent::PresenceChanged(room) => {
                    let news = room.take_delta();
                    // A room that is yet to return will be told of as a whole, these news included. So will one
                    // of which news were refused.
                    let name = room_table::name(room.key());
                    let follows = self.rooms.get(&name).is_some() && !self.refused.is_untold(&name);
                    if let Some(news) = news.filter(|_| follows && self.is_registered) {
                        departing.add(commands::delta(node, room.key(), &news));
                    }
                }
                RoomEvent::RoomClosed { key, final_snapshot } => {
                    if let Some(snapshot) = final_snapshot.filter(|_| self.is_registered) {
                        departing.add(commands::snapshot(node, &key, &snapshot));
                    }
                    self.rooms.close(&room_table::name(&key), Instant::now() + linger);
                }
                // The relay is not interested in these: users are published by tenant.
                RoomEvent::MemberJoined(_) | RoomEvent::MemberLeft(_) => {}
            }
        }
        self.listen(opening);
        let (messages, now, is_read) = (departing.messages, Instant::now(), self.may_number());
        let outgoing = &mut self.peers.outgoing;
        let count = |room: &_, messages| Some(outgoing.count(room, messages, now)).filter(|_| is_read);
        let commands = departing.into_commands(node, count);
        self.send(commands, messages);
    }

    /// Sends `commands`, in which there are this many messages of members.
    pub(super) fn send(&mut self, commands: Vec<Command>, messages: u64) {
        self.send_batches(commands, messages, Done::Sent);
    }

    /// Sends whole states of rooms.
    pub(super) fn send_wholes(&mut self, wholes: Vec<Command>) {
        self.unanswered_wholes += wholes.len().div_ceil(BATCH_MAX);
        self.send_batches(wholes, 0, Done::SentWholes);
    }

    fn send_batches(&mut self, commands: Vec<Command>, messages: u64, done: fn(Sent) -> Done) {
        let mut commands = commands.into_iter().peekable();
        while commands.peek().is_some() {
            let batch: Vec<_> = commands.by_ref().take(BATCH_MAX).collect();
            let bytes = batch.iter().map(Command::len).sum();
            // Of several batches the last has them all: they are counted when everything has been taken.
            let messages = if commands.peek().is_none() { messages } else { 0 };
            self.unanswered_bytes += bytes;
            self.unanswered_messages += messages;
            let sent = self.cable.send(batch);
            self.expect(sent, move |refusals| done(Sent { bytes, messages, refusals }));
        }
    }

    pub(super) fn note_sent(&mut self, Sent { bytes, messages, refusals }: Sent) {
        self.unanswered_bytes -= bytes;
        self.unanswered_messages -= messages;
        self.context.metrics.published.increment(messages);
        self.note_refusals(refusals);
    }

    /// Tells all other nodes.
    pub(super) fn say(&mut self, said: &ClusterMessage) {
        let message = cluster_message::encode(self.context.node, said, self.peers.outgoing.next_stream());
        self.send(vec![Command::Publish { channel: Channel::Nodes, message }], 0);
    }

    /// Waits for an answer, beside the peers.
    pub(super) fn expect<T: Send + 'static>(
        &self,
        answer: BusFuture<T>,
        done: impl FnOnce(T) -> Done + Send + 'static,
    ) {
        self.unanswered.push(Box::pin(answer.map(|answer| answer.map(done))));
    }
}
