//! What a client can hear: one function per documented message.
//!
//! `join_ref`, `reference`, `response` and `payload` are JSON text and are copied as they are; `topic` is
//! the full topic and gets its quotes here.

use hub::{Dialect, Frame};

use super::{V1, v1, v2};
use crate::websocket::FrameBuilder;

const NULL: &str = "null";

/// How something went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// As asked.
    Ok,
    /// Not as asked; beside it stands a reason.
    Error,
}

impl Status {
    /// Its spelling on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Error => "error",
        }
    }
}

/// The answer to a push: its refs, and a `response` the SDKs want to be an object.
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
/// `join_ref` is that of the join which ends, never null for a client that gave one and never the ref of
/// a later join: V1 clients have nothing else to tell that a fresh channel is not meant.
pub fn closed(dialect: Dialect, join_ref: &str, topic: &str) -> Frame {
    message(dialect, [join_ref, join_ref], topic, "phx_close", 2, |frame| frame.push_str("{}"))
}

/// The channel broke; clients join again. `join_ref` as in [`closed`].
pub fn crashed(dialect: Dialect, join_ref: &str, topic: &str) -> Frame {
    let payload = "{\"reason\":\"channel_crash\"}";
    message(dialect, [join_ref, join_ref], topic, "phx_error", payload.len(), |frame| {
        frame.push_str(payload);
    })
}

/// A message to a whole room: nobody's ref. `capacity` is about what `payload` will write.
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
