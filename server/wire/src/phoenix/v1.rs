//! Dialect V1: `{"topic":…,"event":…,"payload":…,"ref":…,"join_ref":…}`.
//!
//! Incoming, join_ref is optional and unknown keys are ignored. Outgoing, there are always exactly four keys: realtime-py
//! rejects a frame without `ref`, and no client expects a join_ref.

use super::{DecodeError, Push, Ref};
use crate::raw_json;
use crate::websocket::FrameBuilder;

/// Punctuation and key names of one message.
pub(super) const ENVELOPE_BYTES: usize = 48;

pub(super) fn decode(text: &str) -> Result<Push<'_>, DecodeError> {
    let [topic, event, payload, reference, join_ref] =
        raw_json::properties(text, ["topic", "event", "payload", "ref", "join_ref"])?;
    let missing = DecodeError::WrongShape;
    Ok(Push {
        join_ref: join_ref.map_or(Ok(Ref::NULL), Ref::from_json)?,
        reference: Ref::from_json(reference.ok_or(missing)?)?,
        topic: raw_json::string(topic.ok_or(missing)?).ok_or(DecodeError::Topic)?,
        event: raw_json::string(event.ok_or(missing)?).ok_or(DecodeError::Event)?,
        payload: payload.ok_or(missing)?,
    })
}

pub(super) fn decode_head(text: &str) -> Option<Push<'_>> {
    let (mut topic, mut event) = (None, None);
    let (mut join_ref, mut reference) = (Ok(Ref::NULL), Ok(Ref::NULL));
    let _cut_off = raw_json::each_property(text, |property| match property.key {
        "\"topic\"" => topic = raw_json::string(property.value),
        "\"event\"" => event = raw_json::string(property.value),
        "\"join_ref\"" => join_ref = Ref::from_json(property.value),
        "\"ref\"" => reference = Ref::from_json(property.value),
        _ => {}
    });
    let (join_ref, reference) = (join_ref.ok()?, reference.ok()?);
    Some(Push { join_ref, reference, topic: topic?, event: event?, payload: "" })
}

/// What comes before the payload.
pub(super) fn open(frame: &mut FrameBuilder, topic: &str, event: &str) {
    frame.push_str("{\"topic\":");
    frame.push_json_string(topic);
    frame.push_str(",\"event\":");
    frame.push_json_string(event);
    frame.push_str(",\"payload\":");
}

/// What comes after the payload.
pub(super) fn close(frame: &mut FrameBuilder, reference: &str) {
    frame.push_str(",\"ref\":");
    frame.push_str(reference);
    frame.push_str("}");
}
