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

/// As [`push`]; `capacity` is about what `payload` will write.
pub(crate) fn push_with(
    dialect: Dialect,
    join_ref: &str,
    topic: &str,
    event: &str,
    capacity: usize,
    payload: impl FnOnce(&mut FrameBuilder),
) -> Frame {
    message(dialect, [join_ref, NULL], topic, event, capacity, payload)
}

/// The beginning of a [`push`] whose payload and end are in [`push_ending`]: what is the member's own.
pub fn push_beginning(dialect: Dialect, join_ref: &str, topic: &str, event: &str) -> Frame {
    let refs = [join_ref, NULL];
    let mut frame = FrameBuilder::text_beginning(envelope_bytes(dialect, refs, topic, event));
    open(&mut frame, dialect, refs, topic, event);
    frame.finish()
}

/// The payload and the end of a [`push`], the same for all members of a dialect.
pub fn push_ending(dialect: Dialect, payload: &str) -> Frame {
    let mut frame = FrameBuilder::ending(payload.len() + envelope_bytes(dialect, [NULL, NULL], "", ""));
    frame.push_str(payload);
    close(&mut frame, dialect, NULL);
    frame.finish()
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
    let refs = [join_ref, reference];
    let mut frame = FrameBuilder::text(capacity + envelope_bytes(dialect, refs, topic, event));
    open(&mut frame, dialect, refs, topic, event);
    payload(&mut frame);
    close(&mut frame, dialect, reference);
    frame.finish()
}

/// About how many bytes a message has beside its payload.
fn envelope_bytes(dialect: Dialect, [join_ref, reference]: [&str; 2], topic: &str, event: &str) -> usize {
    let punctuation = if dialect == V1 { v1::ENVELOPE_BYTES } else { v2::ENVELOPE_BYTES };
    punctuation + join_ref.len() + reference.len() + topic.len() + event.len()
}

/// Writes what comes before the payload.
fn open(
    frame: &mut FrameBuilder,
    dialect: Dialect,
    [join_ref, reference]: [&str; 2],
    topic: &str,
    event: &str,
) {
    if dialect == V1 {
        v1::open(frame, topic, event);
    } else {
        v2::open(frame, join_ref, reference, topic, event);
    }
}

/// Writes what comes after the payload.
fn close(frame: &mut FrameBuilder, dialect: Dialect, reference: &str) {
    if dialect == V1 {
        v1::close(frame, reference);
    } else {
        v2::close(frame);
    }
}
