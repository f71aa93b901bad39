//! The messages that clients receive: one function per documented message.
//!
//! `join_ref`, `reference`, `response` and `payload` are JSON text and are copied as they are; `topic` is
//! the full topic and gets its quotes here.

use hub::{Dialect, Frame};

use super::{V1, v1, v2};
use crate::websocket::FrameBuilder;

const NULL: &str = "null";

/// The status of a reply or a `system` message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// The request was carried out.
    Ok,
    /// The request was refused; the response has the reason.
    Error,
}

impl Status {
    /// The status as it is sent.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Error => "error",
        }
    }
}

/// The reply to a push, with its refs. The SDKs require `response` to be an object.
pub fn reply(
    dialect: Dialect,
    join_ref: &str,
    reference: &str,
    topic: &str,
    status: Status,
    response: &str,
) -> Frame {
    let status = status.as_str();
    let capacity = response.len() + 32;
    message(dialect, [join_ref, reference], topic, "phx_reply", capacity, |frame| {
        for part in ["{\"status\":\"", status, "\",\"response\":", response, "}"] {
            frame.push_str(part);
        }
    })
}

/// A message to this member alone. V1 clients do not see the join_ref.
pub fn push(dialect: Dialect, join_ref: &str, topic: &str, event: &str, payload: &str) -> Frame {
    message(dialect, [join_ref, NULL], topic, event, payload.len(), |frame| frame.push_str(payload))
}

/// The channel is closed, for good as far as realtime-js is concerned.
///
/// `join_ref` is that of the join that ends, never null for a client that sent one and never the ref of a later join: V1
/// clients know by nothing else that a later join is not meant.
pub fn closed(dialect: Dialect, join_ref: &str, topic: &str) -> Frame {
    message(dialect, [join_ref, join_ref], topic, "phx_close", 2, |frame| frame.push_str("{}"))
}

/// The channel has failed; clients join again. `join_ref` as in [`closed`].
pub fn crashed(dialect: Dialect, join_ref: &str, topic: &str) -> Frame {
    let payload = "{\"reason\":\"channel_crash\"}";
    message(dialect, [join_ref, join_ref], topic, "phx_error", payload.len(), |frame| {
        frame.push_str(payload);
    })
}

/// A message to a whole room, without refs. `capacity` is about what `payload` will write.
pub(crate) fn fan_out(
    dialect: Dialect,
    topic: &str,
    event: &str,
    capacity: usize,
    payload: impl FnOnce(&mut FrameBuilder),
) -> Frame {
    message(dialect, [NULL, NULL], topic, event, capacity, payload)
}

fn message(
    dialect: Dialect,
    [join_ref, reference]: [&str; 2],
    topic: &str,
    event: &str,
    capacity: usize,
    payload: impl FnOnce(&mut FrameBuilder),
) -> Frame {
    let capacity = capacity + join_ref.len() + reference.len() + topic.len() + event.len();
    if dialect == V1 {
        let mut frame = FrameBuilder::text(capacity + v1::ENVELOPE_BYTES);
        v1::write(&mut frame, reference, topic, event, payload);
        frame.finish()
    } else {
        let mut frame = FrameBuilder::text(capacity + v2::ENVELOPE_BYTES);
        v2::write(&mut frame, join_ref, reference, topic, event, payload);
        frame.finish()
    }
}
