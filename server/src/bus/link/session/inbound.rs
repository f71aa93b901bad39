//! What arrives over the cable, and what follows from it.

use std::time::Duration;

use hub::{ApplyOutcome, NodeId, Position, PresenceUpdate};
use tracing::debug;
use wire::relay::{self, Events, MessageBody, SequenceNumber};

use super::{ClusterMessage, LinkSession, ReceivedMessage, RoomName};
use crate::bus::link::{cluster_message, commands};
use crate::bus::{Channel, Command, InboxOverflow};

/// Messages heard in one turn.
const TURN: usize = 256;

impl LinkSession<'_, '_> {
    /// Messages have come out of the inbox; `dropped` did not fit into it.
    pub(super) fn arrive(&mut self, messages: &mut Vec<ReceivedMessage>, dropped: InboxOverflow) {
        self.context.metrics.unheard.increment(dropped.messages);
        self.interrupted.extend(dropped.rooms);
        self.arrived.extend(messages.drain(..));
    }

    pub(super) fn hear_some(&mut self) {
        let mut answers = Answers::default();
        for _ in 0..TURN {
            let Some(ReceivedMessage { channel, message }) = self.arrived.pop_front() else { break };
            match channel {
                Channel::Room(name) => self.hear_room(name, &message, &mut answers),
                Channel::Nodes => self.hear_node(&message),
            }
        }
        // What was dropped would have come here.
        if self.arrived.is_empty() && !self.interrupted.is_empty() {
            self.miss();
        }
        let node = self.context.node;
        let mut commands = answers.questions;
        for name in answers.whole {
            if let Some(listened) = self.rooms.get(&name) {
                commands.push(commands::local_snapshot(node, &self.context.hub, &listened.key));
            }
        }
        self.send(commands, 0);
    }

    /// Something said in a room.
    fn hear_room(&mut self, name: RoomName, message: &[u8], answers: &mut Answers) {
        let message = match relay::decode(message) {
            Ok(message) => message,
            Err(why) => return self.peers.pass_over(self.context, why),
        };
        let (context, sender) = (self.context, message.sender);
        if sender == context.node {
            return;
        }
        self.peers.notice(context, sender);
        if self.rooms.get(&name).is_none() {
            return;
        }
        match message.body {
            MessageBody::Events(events) => self.hear_events(&name, sender, None, events),
            MessageBody::NumberedEvents(number, events) => {
                self.hear_events(&name, sender, Some(number), events)
            }
            MessageBody::Delta(news) => self.hear_statement(name, sender, news.into(), answers),
            MessageBody::Snapshot(state) => self.hear_statement(name, sender, state.into(), answers),
            MessageBody::RequestSnapshot { of } => {
                if of.is_none_or(|node| node == context.node) && !answers.whole.contains(&name) {
                    answers.whole.push(name);
                }
            }
            MessageBody::SnapshotStored => {
                self.has_told(sender, &name);
                self.read_again(name);
            }
        }
    }

    /// What another node passes on, and how much before it is missing.
    fn hear_events(
        &mut self,
        name: &RoomName,
        node: NodeId,
        number: Option<SequenceNumber>,
        events: Events<'_>,
    ) {
        let (context, messages) = (self.context, events.clone().count());
        let Some(listened) = self.rooms.get(name) else { return };
        let since = || context.hub.room(&listened.key).map(|room| room.opened_at());
        let missed = self.peers.incoming.count(name, node, number, messages as u64, since);
        context.metrics.missed.increment(missed);
        if messages > 0 {
            let delivery = context.hub.deliver(&listened.key, events);
            context.metrics.received.increment(messages as u64);
            context.host.delivered(&listened.key.tenant, messages, delivery);
        }
    }

    /// What another node shows in a room.
    fn hear_statement(
        &mut self,
        name: RoomName,
        node: NodeId,
        statement: PresenceUpdate,
        answers: &mut Answers,
    ) {
        let hub = &self.context.hub;
        let Some(listened) = self.rooms.get(&name) else { return };
        listened.heard(node);
        let Some(room) = hub.room(&listened.key) else { return };
        let position = position(&statement);
        let verdict = hub.apply_presence(&room, node, statement);
        self.has_told(node, &name);
        if verdict == ApplyOutcome::Gap {
            if self.miss_until(&name, node, position) {
                answers.questions.push(ask(self.context.node, &name, node));
            }
        } else {
            self.know_until(&name, node, position);
        }
    }

    /// Something said to all nodes.
    fn hear_node(&mut self, message: &[u8]) {
        let Some((node, said, next_stream)) = cluster_message::decode(message) else {
            self.context.metrics.unread.increment(1);
            return debug!("Passed over a word of another node");
        };
        if node == self.context.node {
            return;
        }
        match said {
            ClusterMessage::Disconnect => {
                self.telling.remove(&node);
                return self.peers.part(self.context, node);
            }
            ClusterMessage::ResyncBegin => {
                self.resync_started(node);
                let users = self.peers.users_whole(self.context);
                self.say(&users);
            }
            ClusterMessage::ResyncEnd => self.reconcile(node),
            ClusterMessage::Users { whole, users } => self.peers.hear_users(self.context, node, whole, users),
            ClusterMessage::RequestSequences { since_ms } => {
                self.note_count_request(Duration::from_millis(since_ms))
            }
            ClusterMessage::Operator(control) => self.context.host.execute(control),
        }
        self.peers.notice(self.context, node);
        self.peers.notice_stream(node, next_stream);
    }
}

/// What is to be said because of what was heard in one turn.
#[derive(Default)]
struct Answers {
    questions: Vec<Command>,
    /// RoomTable whose whole state somebody wants; many may ask at once.
    whole: Vec<RoomName>,
}

/// As of when a node has said it.
fn position(statement: &PresenceUpdate) -> Position {
    match statement {
        PresenceUpdate::Snapshot(state) => state.position,
        PresenceUpdate::Delta(news) => Position { epoch: news.epoch, seq: news.to },
    }
}

/// Asks a node what it shows in a room.
pub(super) fn ask(me: NodeId, room: &RoomName, node: NodeId) -> Command {
    let channel = Channel::Room(RoomName::clone(room));
    Command::Publish { channel, message: relay::request_snapshot(me, Some(node)).into() }
}
