//! The encoding of broadcasts in each dialect.
//!
//! The form depends on how a broadcast was sent, not on its receiver: text stays text, the binary kind 3 becomes the binary
//! kind 4 for V2 and text for V1. V1 cannot carry bytes, and kind 4 no topic, event or metadata above 255 bytes; those
//! members receive nothing. Other nodes receive the form in which it was sent.

use hub::{Dialect, Encode, Frame};

use super::full_topic;
use crate::broadcast::Broadcast;
use crate::phoenix::{self, UserPayload, V1, V2};
use crate::relay;
use crate::websocket::FrameBuilder;

pub(super) const EVENT: &str = "broadcast";

impl Encode for Broadcast<'_> {
    /// `topic` is the sub-topic.
    fn encode(&self, topic: &str, dialect: Dialect) -> Option<Frame> {
        if dialect == Dialect::RELAY {
            return relay::event(self);
        }
        let topic = full_topic(topic);
        match *self {
            _ if dialect != V1 && dialect != V2 => None,
            Self::Text { payload } => {
                Some(phoenix::fan_out(dialect, &topic, EVENT, payload.len(), |frame| frame.push_str(payload)))
            }
            Self::User { event, payload, meta } if dialect == V2 => {
                phoenix::user_broadcast(&topic, event, meta.unwrap_or(""), payload)
            }
            Self::User { payload: UserPayload::Binary(_), .. } => None,
            Self::User { event, payload: UserPayload::Json(payload), meta }
            | Self::Http { event, payload, meta } => {
                let capacity = payload.len() + event.len() + meta.map_or(0, str::len) + 56;
                Some(phoenix::fan_out(dialect, &topic, EVENT, capacity, |frame| {
                    wrap(frame, event, payload, meta);
                }))
            }
        }
    }

    fn id(&self) -> Option<u128> {
        Some(self.chosen_id()?.as_u128())
    }
}

/// Writes the wrapper that text broadcasts have around the inner payload.
pub(super) fn wrap(frame: &mut FrameBuilder, event: &str, payload: &str, meta: Option<&str>) {
    frame.push_str("{\"event\":");
    frame.push_json_string(event);
    frame.push_str(",\"payload\":");
    frame.push_str(payload);
    frame.push_str(",\"type\":\"broadcast\"");
    if let Some(meta) = meta {
        frame.push_str(",\"meta\":");
        frame.push_str(meta);
    }
    frame.push_str("}");
}
