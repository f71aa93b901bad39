//! Join replies held back until the room receives the messages of other nodes.
//!
//! The first members of a room on this node must not get their join replies before the room is subscribed on
//! the bus, or they would miss messages after a successful join. Until then all members are pending: nothing
//! is delivered to them, and leaving discards the reply. Afterwards this state no longer exists.

use crate::frame::Frame;

/// Join replies, indexed by the member's slot.
#[derive(Debug, Default)]
pub(crate) struct PendingJoins(Vec<Option<Frame>>);

impl PendingJoins {
    /// Keeps the reply to the member in slot `number`.
    pub(crate) fn keep(&mut self, number: usize, reply: &Frame) {
        if self.0.len() <= number {
            self.0.resize(number + 1, None);
        }
        self.0[number] = Some(reply.clone());
    }

    /// Discards the reply to the member in slot `number`.
    pub(crate) fn remove(&mut self, number: usize) {
        self.0[number] = None;
    }

    /// All replies, each with the number of its slot.
    pub(crate) fn replies(&self) -> impl Iterator<Item = (usize, &Frame)> {
        self.0.iter().enumerate().filter_map(|(number, reply)| Some((number, reply.as_ref()?)))
    }
}
