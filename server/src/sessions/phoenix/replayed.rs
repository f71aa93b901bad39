//! The earlier messages of a join as its client receives them (docs/protocol/history.md#replay).

use hub::{Frame, Replayed};

use crate::broadcast::replay::{EarlierMessage, EarlierMessages};

/// What a client receives whose messages do not all reach it. Of status ok, because the channel stays.
const INCOMPLETE: &str = "Earlier messages may be missing";

/// What a client is sent of a room before its messages.
pub(super) struct ReplayedMessages {
    frames: Vec<Frame>,
    messages: EarlierMessages,
    /// The messages that the client has named. They too may arrive later: another node was faster.
    named: Vec<u128>,
}

impl ReplayedMessages {
    /// In the form in which a client receives them. What its dialect cannot express is not among them.
    pub(super) fn encode(
        messages: EarlierMessages,
        named: Vec<u128>,
        encode: impl Fn(&EarlierMessage) -> Option<Frame>,
    ) -> Self {
        Self { frames: messages.messages.iter().filter_map(encode).collect(), messages, named }
    }

    /// As they are sent.
    pub(super) fn frames(&self) -> &[Frame] {
        &self.frames
    }

    /// Which messages the room is not to send as well.
    pub(super) fn replayed(&self) -> Replayed {
        let ids = self.messages.messages.iter().map(EarlierMessage::id);
        let ids = ids.chain(self.named.iter().copied()).collect();
        Replayed { ids, repeats: self.messages.repeats }
    }

    /// Bytes that the room keeps of it as long as the client is a member.
    pub(super) fn kept_bytes(&self) -> usize {
        (self.messages.messages.len() + self.named.len()) * size_of::<u128>()
    }

    /// What the client is notified of, if messages are missing.
    pub(super) fn notice(&self) -> Option<&'static str> {
        (!self.messages.is_complete).then_some(INCOMPLETE)
    }
}
