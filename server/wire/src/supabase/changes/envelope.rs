//! The frames in which a change is delivered. Both forms are messages to a whole room, without refs, and both hold the same
//! `data`, which is made once for all of them.
//!
//! Neither has a form between nodes: `encode` returns `None` for it.

use std::fmt::Write as _;

use hub::{Dialect, Encode, Frame};

use super::ChangeType;
use crate::phoenix::{self, V1, V2};
use crate::supabase::full_topic;

const EVENT: &str = "postgres_changes";

/// A change for members that joined with a `config`: event `postgres_changes`, payload `{"ids":[…],"data":{…}}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangeEnvelope<'a> {
    /// The ids of the bindings that match, as many as match.
    pub ids: &'a [u32],
    /// The change, a JSON object.
    pub data: &'a str,
}

/// A change for members that joined without a `config`, whose topic names the table: the type is the event, the change the
/// payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LegacyChange<'a> {
    /// The type.
    pub change: ChangeType,
    /// The change, a JSON object.
    pub data: &'a str,
}

impl Encode for ChangeEnvelope<'_> {
    /// `topic` is the sub-topic.
    fn encode(&self, topic: &str, dialect: Dialect) -> Option<Frame> {
        let mut ids = String::with_capacity(11 * self.ids.len());
        for (index, id) in self.ids.iter().enumerate() {
            let separator = if index > 0 { "," } else { "" };
            write!(ids, "{separator}{id}").expect("a number is written to memory");
        }
        fan_out(topic, dialect, EVENT, &["{\"ids\":[", &ids, "],\"data\":", self.data, "}"])
    }
}

impl Encode for LegacyChange<'_> {
    /// `topic` is the sub-topic.
    fn encode(&self, topic: &str, dialect: Dialect) -> Option<Frame> {
        fan_out(topic, dialect, self.change.as_str(), &[self.data])
    }
}

fn fan_out(topic: &str, dialect: Dialect, event: &str, payload: &[&str]) -> Option<Frame> {
    if dialect != V1 && dialect != V2 {
        return None;
    }
    let capacity = payload.iter().map(|part| part.len()).sum();
    Some(phoenix::fan_out(dialect, &full_topic(topic), event, capacity, |frame| {
        payload.iter().for_each(|part| frame.push_str(part));
    }))
}
