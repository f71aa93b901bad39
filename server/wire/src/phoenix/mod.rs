//! The Phoenix channel envelope: topic, event, payload, and the refs that pair replies with requests.
//!
//! There are two dialects, chosen once at the handshake by `vsn`. V1 is a JSON object per text frame; V2 is a JSON array
//! of five, with a binary form for broadcasts. What clients send is read by [`decode_text`] and [`decode_binary`]; what
//! they receive is written by one function per documented message. Functions that take a [`Dialect`] use V2 unless it is
//! [`V1`].

mod binary;
mod decode_error;
mod message;
mod outgoing;
mod reference;
mod v1;
mod v2;
mod version;

use hub::Dialect;

pub use decode_error::DecodeError;
pub use message::{Push, ReplyTarget, UnreadableBroadcast, UserBroadcast, UserPayload};
pub use outgoing::{Status, closed, crashed, push, push_beginning, push_ending, reply};
pub use reference::Ref;
pub use version::dialect_of_version;

pub(crate) use binary::user_broadcast;
pub(crate) use outgoing::{fan_out, push_with};

/// Serializer version 1.0.0: a JSON object per text frame.
pub const V1: Dialect = Dialect::new(0);

/// Serializer version 2.0.0: a JSON array per text frame, and binary broadcasts.
pub const V2: Dialect = Dialect::new(1);

/// The longest topic, event, metadata or ref, in bytes: binary frames count them in a single byte.
pub const FIELD_BYTES_MAX: usize = 255;

/// Reads a text frame.
///
/// # Errors
/// When it is not a message of this dialect. The frame is then dropped and the socket stays open.
pub fn decode_text(dialect: Dialect, text: &str) -> Result<Push<'_>, DecodeError> {
    if dialect == V1 { v1::decode(text) } else { v2::decode(text) }
}

/// Reads the beginning of a text frame: what precedes the payload, which is empty in the result. `None` if the topic or the
/// event is not there. In V1 the refs usually come after the payload and are null then.
pub fn decode_text_head(dialect: Dialect, text: &str) -> Option<Push<'_>> {
    if dialect == V1 { v1::decode_head(text) } else { v2::decode_head(text) }
}

/// Reads a binary frame.
///
/// # Errors
/// When it is not a user broadcast of V2, the only binary message an SDK sends. The frame is then dropped
/// and the socket stays open.
pub fn decode_binary(dialect: Dialect, bytes: &[u8]) -> Result<UserBroadcast<'_>, UnreadableBroadcast<'_>> {
    if dialect == V1 { Err(DecodeError::BinaryInV1.into()) } else { binary::decode(bytes) }
}
