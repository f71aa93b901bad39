//! The answers of those who wait for a room to open.
//!
//! The first member of a room on this node must not be told that it is in before the messages of the other
//! nodes reach it. While a room is opening all its members wait: nothing is delivered, nobody is blocked,
//! and whoever leaves is simply gone. Once it is open none of this exists any more.

use crate::frame::Frame;

/// Replies by the number of their member's slot.
#[derive(Debug, Default)]
pub(crate) struct PendingJoins(Vec<Option<Frame>>);

impl PendingJoins {
    /// The member in slot `number` waits to be told `reply`.
    pub(crate) fn keep(&mut self, number: usize, reply: &Frame) {
        if self.0.len() <= number {
            self.0.resize(number + 1, None);
        }
        self.0[number] = Some(reply.clone());
    }

    /// The member in slot `number` does not wait any more.
    pub(crate) fn forget(&mut self, number: usize) {
        self.0[number] = None;
    }

    /// Everybody's reply, with the number of the slot.
    pub(crate) fn replies(&self) -> impl Iterator<Item = (usize, &Frame)> {
        self.0.iter().enumerate().filter_map(|(number, reply)| Some((number, reply.as_ref()?)))
    }
}
