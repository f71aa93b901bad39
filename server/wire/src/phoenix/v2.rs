//! Dialect V2, text: `[join_ref, ref, topic, event, payload]`.
//!
//! Incoming, further elements are ignored.

use super::{DecodeError, Push, Ref};
use crate::raw_json;
use crate::websocket::FrameBuilder;

/// Punctuation of one message.
pub(super) const ENVELOPE_BYTES: usize = 16;

pub(super) fn decode(text: &str) -> Result<Push<'_>, DecodeError> {
    let [join_ref, reference, topic, event, payload] = raw_json::first_elements(text)?;
    Ok(Push {
        join_ref: Ref::from_json(join_ref)?,
        reference: Ref::from_json(reference)?,
        topic: raw_json::string(topic).ok_or(DecodeError::Topic)?,
        event: raw_json::string(event).ok_or(DecodeError::Event)?,
        payload,
    })
}

pub(super) fn decode_head(text: &str) -> Option<Push<'_>> {
    let (mut elements, mut found) = ([""; 4], 0);
    let _cut_off = raw_json::each_element(text, |element| {
        if let Some(slot) = elements.get_mut(found) {
            *slot = element;
        }
        found += 1;
    });
    let [join_ref, reference, topic, event] = elements;
    (found >= elements.len()).then_some(())?;
    Some(Push {
        join_ref: Ref::from_json(join_ref).ok()?,
        reference: Ref::from_json(reference).ok()?,
        topic: raw_json::string(topic)?,
        event: raw_json::string(event)?,
        payload: "",
    })
}

/// What comes before the payload.
pub(super) fn open(frame: &mut FrameBuilder, join_ref: &str, reference: &str, topic: &str, event: &str) {
    frame.push_str("[");
    frame.push_str(join_ref);
    frame.push_str(",");
    frame.push_str(reference);
    frame.push_str(",");
    frame.push_json_string(topic);
    frame.push_str(",");
    frame.push_json_string(event);
    frame.push_str(",");
}

/// What comes after the payload.
pub(super) fn close(frame: &mut FrameBuilder) {
    frame.push_str("]");
}
