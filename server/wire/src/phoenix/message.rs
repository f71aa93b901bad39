//! What a client can say.
//!
//! Borrowed from the frame it came in: a broadcast is read, checked and copied into the outgoing frames
//! without being owned in between. Strings are owned only when they had escapes to undo.

use std::borrow::Cow;

use super::{Malformed, Ref};
use crate::raw_json;

/// A text message. Every event of the protocol may come as one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Push<'a> {
    /// The ref of the join this belongs to, as the client believes. May be stale or null.
    pub join_ref: Ref<'a>,
    /// What an answer must carry.
    pub reference: Ref<'a>,
    /// The full topic, as in `realtime:room1`.
    pub topic: Cow<'a, str>,
    /// What is asked, as in `phx_join`.
    pub event: Cow<'a, str>,
    /// Valid JSON text of any type.
    pub payload: &'a str,
}

impl Push<'_> {
    /// Whether the payload is an object, as every known event wants it.
    pub fn payload_is_object(&self) -> bool {
        raw_json::is_object(self.payload)
    }
}

/// A broadcast in binary form (kind 3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserBroadcast<'a> {
    /// The ref of the join this belongs to, as the client believes. May be stale or null.
    pub join_ref: Ref<'a>,
    /// What the acknowledgement must carry, if there is to be one.
    pub reference: Ref<'a>,
    /// The full topic, as in `realtime:room1`.
    pub topic: &'a str,
    /// The user's event, which plays the part of `payload.event` in a text broadcast.
    pub event: &'a str,
    /// A JSON object, if the client gave one. It counts for the size and is not passed on.
    pub metadata: Option<&'a str>,
    /// What is to be delivered.
    pub payload: UserPayload<'a>,
}

/// A binary frame that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadableBroadcast<'a> {
    /// What is wrong with it.
    pub why: Malformed,
    /// Where an answer belongs, if the frame is whole and only its metadata or payload is wrong.
    pub address: Option<Address<'a>>,
}

impl From<Malformed> for UnreadableBroadcast<'_> {
    fn from(why: Malformed) -> Self {
        Self { why, address: None }
    }
}

/// The join and the message that an answer belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address<'a> {
    /// The ref of the join, as the client believes. May be stale or null.
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
    /// Bytes we do not look at. Only V2 can carry them.
    Binary(&'a [u8]),
}
