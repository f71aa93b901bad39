//! Presence: the calls of members, and the state and diffs that they receive.
//!
//! A tracked object stays text from `track` to every diff. It is changed only at its top level, where `phx_ref` is added:
//! clients identify a meta by that ref, so a member of the same name in the user's object is removed.

use hub::{Dialect, Encode, Frame};

use super::full_topic;
use crate::phoenix::{self, V1, V2};
use crate::raw_json;

/// A `presence` message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PresenceCall<'a> {
    /// Track this object. JSON text, `{}` if the message has none.
    Track(&'a str),
    /// A track whose payload is not an object.
    TrackNotAMap,
    /// Track nothing any more.
    Untrack,
    /// There is no event. Answered with ok, without effect.
    Nothing,
    /// An unknown event.
    Unknown,
}

impl<'a> PresenceCall<'a> {
    /// Reads the payload of a `presence` message.
    pub fn parse(payload: &'a str) -> Self {
        let Ok([event, tracked]) = raw_json::properties(payload, ["event", "payload"]) else {
            return Self::Unknown;
        };
        let Some(event) = event else { return Self::Nothing };
        let Some(event) = raw_json::string(event) else { return Self::Unknown };
        // Old clients send capitals: `TRACK` is common.
        if event.eq_ignore_ascii_case("untrack") {
            return Self::Untrack;
        }
        if !event.eq_ignore_ascii_case("track") {
            return Self::Unknown;
        }
        let tracked = tracked.unwrap_or("{}");
        if raw_json::is_object(tracked) { Self::Track(tracked) } else { Self::TrackNotAMap }
    }
}

/// The meta of a tracked object: its members as they were written, then `phx_ref`, and after an update
/// `phx_ref_prev`. `payload` is the text of a JSON object; anything else has no members.
pub fn presence_meta(payload: &str, phx_ref: &str, previous: Option<&str>) -> String {
    let mut meta = String::with_capacity(payload.len() + 64);
    meta.push('{');
    let members = raw_json::each_property(payload, |property| {
        if property.is_named("phx_ref") || property.is_named("phx_ref_prev") {
            return;
        }
        meta.extend([property.key, ":", property.value, ","]);
    });
    if members.is_err() {
        meta.truncate(1);
    }
    push_string_member(&mut meta, "phx_ref", phx_ref);
    if let Some(previous) = previous {
        meta.push(',');
        push_string_member(&mut meta, "phx_ref_prev", previous);
    }
    meta.push('}');
    meta
}

/// Presence by key, `{"key":{"metas":[…]},…}`: the payload of `presence_state`, and either half of a diff.
/// `entries` are keys with one meta each; those with the same key must stand together.
pub fn presence_payload<'a>(entries: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut payload = String::from("{");
    let mut open_key = None;
    for (key, meta) in entries {
        if open_key == Some(key) {
            payload.extend([",", meta]);
            continue;
        }
        if open_key.is_some() {
            payload.push_str("]},");
        }
        push_json_string(&mut payload, key);
        payload.extend([":{\"metas\":[", meta]);
        open_key = Some(key);
    }
    payload.push_str(if open_key.is_some() { "]}}" } else { "}" });
    payload
}

/// The payload of `presence_diff`. Both halves are from [`presence_payload`] and always there, `{}` when
/// empty. An update is one diff, with the new meta in `joins` and the old one in `leaves`.
pub fn presence_diff(joins: &str, leaves: &str) -> String {
    ["{\"joins\":", joins, ",\"leaves\":", leaves, "}"].concat()
}

/// A change of presence, as a room receives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PresenceDiff<'a> {
    /// From [`presence_diff`].
    pub payload: &'a str,
}

impl Encode for PresenceDiff<'_> {
    /// `topic` is the sub-topic.
    fn encode(&self, topic: &str, dialect: Dialect) -> Option<Frame> {
        if dialect != V1 && dialect != V2 {
            return None;
        }
        let capacity = self.payload.len();
        Some(phoenix::fan_out(dialect, &full_topic(topic), "presence_diff", capacity, |frame| {
            frame.push_str(self.payload);
        }))
    }
}

fn push_string_member(json: &mut String, name: &str, value: &str) {
    push_json_string(json, name);
    json.push(':');
    push_json_string(json, value);
}

fn push_json_string(json: &mut String, text: &str) {
    json.push_str(&serde_json::to_string(text).expect("a string is written to memory"));
}
