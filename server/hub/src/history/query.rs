//! Which of the kept messages a member is sent.

use super::KeptMessage;

/// What is read of a room.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HistoryQuery {
    /// Only messages that were sent then or later, in milliseconds since 1970.
    pub since: Option<u64>,
    /// Only messages after the one with this id. If it is not kept, all messages.
    pub after: Option<u128>,
    /// At most so many, the newest.
    pub limit: usize,
}

/// What was read.
#[derive(Debug, Clone, Default)]
pub struct HistoryRead {
    /// The messages, the oldest first.
    pub messages: Vec<KeptMessage>,
    /// Whether these are all that were published after [`after`](HistoryQuery::after). Without that, whether these are all
    /// that are kept [`since`](HistoryQuery::since) then.
    pub is_complete: bool,
}

impl HistoryQuery {
    /// The messages that are asked for, out of those of a room, the newest first.
    pub fn select<'m>(&self, newest_first: impl Iterator<Item = &'m KeptMessage>) -> HistoryRead {
        // Without `after`, everything has been published after the oldest one that is kept.
        let mut read = HistoryRead { messages: Vec::new(), is_complete: self.after.is_none() };
        for message in newest_first {
            if self.after == Some(message.id) {
                read.is_complete = true;
                break;
            }
            if self.since.is_some_and(|since| message.sent_at < since) {
                break;
            }
            if read.messages.len() >= self.limit {
                read.is_complete = false;
                break;
            }
            read.messages.push(message.clone());
        }
        read.messages.reverse();
        read
    }
}
