//! Earlier messages: what a join asks for, and the form in which they are sent.

use hub::{Dialect, Frame};
use uuid::Uuid;

use super::broadcast::{EVENT, wrap};
use crate::phoenix::{self, UserPayload, V2};
use crate::raw_json::{self, given};
use crate::websocket::FrameBuilder;

/// Milliseconds since 1970 from the year 0 to the end of 9999, the range of upstream's calendar.
const SINCE_RANGE: std::ops::RangeInclusive<i64> = -62_167_219_200_000..=253_402_300_799_999;

/// The most ids that a join may name.
const IDS_MAX: usize = 100;

/// What `config.broadcast.replay` is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replay {
    /// A request.
    Messages(ReplayRequest),
    /// A request that cannot be read. To be refused.
    Invalid,
    /// No JSON object. It has no effect where a replay is allowed.
    NoMap,
}

/// Which earlier messages a join asks for. One of `since` and `after` is there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReplayRequest {
    /// Only messages that were sent then or later, in milliseconds since 1970.
    pub since: Option<i64>,
    /// The ids of the newest messages that the client has: only those that it may lack.
    pub after: Vec<u128>,
    /// At most so many, the newest; at least 1.
    pub limit: Option<u32>,
}

impl Replay {
    pub(super) fn parse(replay: &str) -> Self {
        let Ok([since, after, limit]) = raw_json::properties(replay, ["since", "after", "limit"]) else {
            return Self::NoMap;
        };
        ReplayRequest::parse(since, given(after), given(limit)).map_or(Self::Invalid, Self::Messages)
    }
}

impl ReplayRequest {
    fn parse(since: Option<&str>, after: Option<&str>, limit: Option<&str>) -> Option<Self> {
        let after = after.map_or(Some(Vec::new()), ids)?;
        let since = if after.is_empty() { since } else { given(since) };
        let since = match since {
            Some(since) => Some(since.parse().ok().filter(|since| SINCE_RANGE.contains(since))?),
            None if after.is_empty() => return None,
            None => None,
        };
        let limit = match limit {
            Some(limit) => Some(limit.parse::<i64>().ok()?.clamp(1, u32::MAX.into()) as u32),
            None => None,
        };
        Some(Self { since, after, limit })
    }
}

/// An id, or an array of some. An empty one means the same as none, so that a client may fill it as messages arrive.
fn ids(value: &str) -> Option<Vec<u128>> {
    if value.starts_with('"') {
        return Some(vec![id(value)?]);
    }
    let mut ids = Some(Vec::new());
    let array = raw_json::each_element(value, |element| {
        let read = id(element).filter(|_| ids.as_ref().is_some_and(|ids| ids.len() < IDS_MAX));
        match (&mut ids, read) {
            (Some(ids), Some(id)) => ids.push(id),
            _ => ids = None,
        }
    });
    let mut ids = ids.filter(|_| array.is_ok())?;
    ids.sort_unstable();
    ids.dedup();
    Some(ids)
}

fn id(value: &str) -> Option<u128> {
    Some(Uuid::try_parse(&raw_json::string(value)?).ok()?.as_u128())
}

/// An earlier message for a single member. JSON is text in every dialect. `None` if the dialect cannot express it.
pub fn replayed(
    dialect: Dialect,
    join_ref: &str,
    topic: &str,
    id: u128,
    (event, payload): (&str, UserPayload<'_>),
) -> Option<Frame> {
    let meta = format!(r#"{{"replayed":true,"id":"{}"}}"#, Uuid::from_u128(id));
    match payload {
        UserPayload::Json(payload) => {
            let capacity = payload.len() + event.len() + meta.len() + 56;
            let write = |frame: &mut FrameBuilder| wrap(frame, event, payload, Some(&meta));
            Some(phoenix::push_with(dialect, join_ref, topic, EVENT, capacity, write))
        }
        UserPayload::Binary(_) if dialect == V2 => phoenix::user_broadcast(topic, event, &meta, payload),
        UserPayload::Binary(_) => None,
    }
}
