//! What arrives over the cable, and what follows from it.

use hub::{Heard as Verdict, NodeId, Statement};
use tracing::debug;
use wire::relay::{self, Said as SaidInRoom};

use super::{Copy, Heard, RoomName, Said, Session};
use crate::bus::link::rooms::Listened;
use crate::bus::link::{control, departing};
use crate::bus::{Channel, Command};

/// Messages heard in one turn.
const TURN: usize = 256;

impl Session<'_> {
    /// Messages have come out of the inbox; `dropped` more did not fit into it.
    pub(super) fn arrive(&mut self, messages: &mut Vec<Heard>, dropped: u64) {
        if dropped > 0 {
            self.missed = true;
            self.context.metrics.unheard.increment(dropped);
        }
        self.arrived.extend(messages.drain(..));
    }

    pub(super) fn hear_some(&mut self) {
        let mut answers = Answers::default();
        for _ in 0..TURN {
            let Some(Heard { channel, message }) = self.arrived.pop_front() else { break };
            match channel {
                Channel::Room(name) => self.hear_room(name, &message, &mut answers),
                Channel::Nodes => self.hear_node(&message),
            }
        }
        let node = self.context.node;
        let mut commands = answers.questions;
        for name in answers.whole {
            if let Some(listened) = self.rooms.get(&name) {
                commands.push(departing::whole(node, &self.context.hub, &listened.key));
            }
        }
        self.send(commands, 0);
    }

    /// Something said in a room.
    fn hear_room(&mut self, name: RoomName, message: &[u8], answers: &mut Answers) {
        let message = match relay::decode(message) {
            Ok(message) => message,
            Err(why) => return debug!(room.name = %name, "Passed over a message of another node: {why}"),
        };
        let (context, sender) = (self.context, message.sender);
        if sender == context.node {
            return;
        }
        self.others.notice(context, sender);
        let Some(listened) = self.rooms.get(&name) else { return };
        match message.said {
            SaidInRoom::Events(events) => {
                let messages = events.clone().count();
                let delivery = context.hub.deliver(&listened.key, events);
                context.metrics.received.increment(messages as u64);
                context.host.delivered(&listened.key.tenant, messages, delivery);
            }
            SaidInRoom::News(news) => self.hear_statement(name, sender, news.into(), answers),
            SaidInRoom::State(state) => self.hear_statement(name, sender, state.into(), answers),
            SaidInRoom::Ask { of } => {
                if of.is_none_or(|node| node == context.node) && !answers.whole.contains(&name) {
                    answers.whole.push(name);
                }
            }
            SaidInRoom::Look => {
                if let Some(told) = self.telling.get_mut(&sender) {
                    told.insert(RoomName::clone(&name));
                }
                self.read_again(name);
            }
        }
    }

    /// What another node shows in a room.
    fn hear_statement(&mut self, name: RoomName, node: NodeId, statement: Statement, answers: &mut Answers) {
        let hub = &self.context.hub;
        let Some(listened) = self.rooms.get(&name) else { return };
        listened.heard(node);
        let Some(room) = hub.room(&listened.key) else { return };
        let is_whole = matches!(statement, Statement::State(_));
        if hub.hear(&room, node, statement) == Verdict::Gap {
            if self.asked.insert((RoomName::clone(&name), node)) {
                answers.questions.push(ask(self.context.node, &name, node));
            }
        } else if is_whole {
            self.asked.remove(&(RoomName::clone(&name), node));
        }
        if let Some(told) = self.telling.get_mut(&node) {
            told.insert(name);
        }
    }

    /// Questions may be lost like anything else.
    pub(super) fn ask_again(&mut self) {
        let (others, rooms, hub) = (&self.others, &mut self.rooms, &self.context.hub);
        self.asked.retain(|(name, node)| {
            let is_open = rooms.get(name).is_some_and(|listened| hub.room(&listened.key).is_some());
            is_open && others.known().contains(node)
        });
        let me = self.context.node;
        self.send(self.asked.iter().map(|(name, node)| ask(me, name, *node)).collect(), 0);
    }

    /// What the nodes that are alive show in a room, as it stood after it began to be listened to.
    pub(super) fn hear_copies(&mut self, name: &RoomName, copies: Vec<(NodeId, Copy)>) {
        let (context, me) = (self.context, self.context.node);
        let Some(listened) = self.rooms.get(name) else { return };
        copies.iter().for_each(|(node, _)| listened.heard(*node));
        let silent = listened.answered();
        let Some(room) = context.hub.room(&listened.key) else { return };
        for (node, copy) in copies.into_iter().filter(|(node, _)| *node != me) {
            self.others.notice(context, node);
            if let Some(told) = self.telling.get_mut(&node) {
                told.insert(RoomName::clone(name));
            }
            if let Some(state) = departing::read(&copy) {
                context.hub.hear(&room, node, state);
            }
        }
        // Whoever is about to tell everything has no copies yet, and will be judged by what it tells.
        for node in silent.into_iter().filter(|node| !self.telling.contains_key(node)) {
            context.hub.forget_in(&room, node);
        }
        context.hub.admit(&room);
    }

    /// Something said to all nodes.
    fn hear_node(&mut self, message: &[u8]) {
        let Some((node, said)) = control::decode(message) else {
            return debug!("Passed over a word of another node");
        };
        if node == self.context.node {
            return;
        }
        match said {
            Said::Goodbye => {
                self.telling.remove(&node);
                return self.others.forget(self.context, node);
            }
            Said::Hello => {
                self.telling.insert(node, Default::default());
                let users = self.others.users_whole(self.context);
                self.say(&users);
            }
            Said::Told => self.forget_untold(node),
            Said::Users { whole, users } => self.others.hear_users(self.context, node, whole, users),
            Said::Do(control) => self.context.host.obey(control),
        }
        self.others.notice(self.context, node);
    }

    /// A node has told everything: where it said nothing, it shows nothing. Where its words may have come before
    /// we listened, its copy has them.
    fn forget_untold(&mut self, node: NodeId) {
        let Some(told) = self.telling.remove(&node) else { return };
        let untold =
            |(name, listened): &(&RoomName, &Listened)| !told.contains(*name) && !listened.is_asked();
        for (_, listened) in self.rooms.iter().filter(untold) {
            if let Some(room) = self.context.hub.room(&listened.key) {
                self.context.hub.forget_in(&room, node);
            }
        }
    }
}

/// What is to be said because of what was heard in one turn.
#[derive(Default)]
struct Answers {
    questions: Vec<Command>,
    /// Rooms whose whole state somebody wants; many may ask at once.
    whole: Vec<RoomName>,
}

fn ask(me: hub::NodeId, room: &RoomName, node: NodeId) -> Command {
    let channel = Channel::Room(RoomName::clone(room));
    Command::Publish { channel, message: relay::ask(me, Some(node)).into() }
}
