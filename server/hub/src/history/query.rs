//! Which of the kept messages a member is sent.

use super::KeptMessage;

/// What is read of a room.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HistoryQuery {
    /// Only messages that were sent then or later, in milliseconds since 1970.
    pub since: Option<u64>,
    /// The newest messages that the reader has. Others are read that follow the older half of those that are kept: the reader
    /// may have received messages in another order, and the newest that precede these. If none of them is kept, all messages.
    pub after: Vec<u128>,
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
        // The publishers of the tenant wait meanwhile: not a comparison with each of them for every message.
        let mut after = self.after.clone();
        after.sort_unstable();
        let mut read = HistoryRead { messages: Vec::new(), is_complete: self.after.is_empty() };
        let (mut is_limited, mut known) = (false, Vec::new());
        for message in newest_first {
            if after.binary_search(&message.id).is_ok() {
                known.push((read.messages.len(), !is_limited));
                if known.len() == after.len() {
                    break;
                }
            } else if self.since.is_some_and(|since| message.sent_at < since) {
                break;
            } else if read.messages.len() < self.limit {
                read.messages.push(message.clone());
            } else {
                is_limited = true;
                // Without `after`, everything has been published after the oldest one that is kept.
                if self.after.is_empty() {
                    read.is_complete = false;
                    break;
                }
            }
        }
        if let Some((following, is_complete)) = known.get(known.len() / 2) {
            read.messages.truncate(*following);
            read.is_complete = *is_complete;
        }
        read.messages.reverse();
        read
    }
}
