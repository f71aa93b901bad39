//! The messages that clients send.
//!
//! They borrow from the frame they came in: a broadcast is read, checked and copied into the outgoing frames without an
//! owned copy in between. Strings are owned only if they had escapes to undo.

use std::borrow::Cow;

use super::{DecodeError, Ref};
use crate::raw_json;

/// A text message. Every event of the protocol may be sent as one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Push<'a> {
    /// The ref of the join that the client means. May be stale or null.
    pub join_ref: Ref<'a>,
    /// The ref that a reply must carry.
    pub reference: Ref<'a>,
    /// The full topic, as in `realtime:room1`.
    pub topic: Cow<'a, str>,
    /// The event, as in `phx_join`.
    pub event: Cow<'a, str>,
    /// Valid JSON text of any type.
    pub payload: &'a str,
}

impl Push<'_> {
    /// Whether the payload is an object, as every known event requires.
    pub fn payload_is_object(&self) -> bool {
        raw_json::is_object(self.payload)
    }
}

/// A broadcast in binary form (kind 3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserBroadcast<'a> {
    /// The ref of the join that the client means. May be stale or null.
    pub join_ref: Ref<'a>,
    /// The ref that an acknowledgement must carry.
    pub reference: Ref<'a>,
    /// The full topic, as in `realtime:room1`.
    pub topic: &'a str,
    /// The user's event: `payload.event` in a text broadcast.
    pub event: &'a str,
    /// A JSON object, if the client sent one. It counts for the size and is not delivered.
    pub metadata: Option<&'a str>,
    /// The payload that is delivered.
    pub payload: UserPayload<'a>,
}

/// A binary frame that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadableBroadcast<'a> {
    /// What is wrong with it.
    pub error: DecodeError,
    /// Where a reply belongs, if the frame is complete and only its metadata or payload is wrong.
    pub reply_target: Option<ReplyTarget<'a>>,
}

impl From<DecodeError> for UnreadableBroadcast<'_> {
    fn from(error: DecodeError) -> Self {
        Self { error, reply_target: None }
    }
}

/// The join and the message that a reply belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplyTarget<'a> {
    /// The ref of the join that the client means. May be stale or null.
    pub join_ref: Ref<'a>,
    /// The ref of the message.
    pub reference: Ref<'a>,
    /// The full topic.
    pub topic: &'a str,
}

/// The inner payload of a broadcast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserPayload<'a> {
    /// Valid JSON text.
    Json(&'a str),
    /// Bytes that are not inspected. Only V2 can carry them.
    Binary(&'a [u8]),
}
