//! Join replies held back until the room receives the messages of other nodes.
//!
//! The first members of a room on this node must not get their join replies before the room is subscribed on
//! the bus, or they would miss messages after a successful join. Until then all members are pending: nothing
//! is delivered to them, and leaving discards the reply. Afterwards this state no longer exists.

use std::task::Waker;

use crate::frame::Frame;

/// Joins that are pending.
#[derive(Debug, Default)]
pub(crate) struct PendingJoins {
    /// Join replies, indexed by the member's slot. A member that first reads earlier messages has none.
    replies: Vec<Option<Frame>>,
    /// Tasks that wait for the confirmation.
    waiting: Vec<Waker>,
}

impl PendingJoins {
    /// Keeps the reply to the member in slot `number`.
    pub(crate) fn keep(&mut self, number: usize, reply: &Frame) {
        if self.replies.len() <= number {
            self.replies.resize(number + 1, None);
        }
        self.replies[number] = Some(reply.clone());
    }

    /// Discards the reply to the member in slot `number`.
    pub(crate) fn remove(&mut self, number: usize) {
        if let Some(reply) = self.replies.get_mut(number) {
            *reply = None;
        }
    }

    /// Wakes the task of `waker` when the joins are confirmed.
    pub(crate) fn wait(&mut self, waker: &Waker) {
        if !self.waiting.iter().any(|known| known.will_wake(waker)) {
            self.waiting.push(waker.clone());
        }
    }

    /// Takes the tasks that wait.
    pub(crate) fn take_waiting(&mut self) -> Vec<Waker> {
        std::mem::take(&mut self.waiting)
    }

    /// All replies, each with the number of its slot.
    pub(crate) fn replies(&self) -> impl Iterator<Item = (usize, &Frame)> {
        self.replies.iter().enumerate().filter_map(|(number, reply)| Some((number, reply.as_ref()?)))
    }
}
