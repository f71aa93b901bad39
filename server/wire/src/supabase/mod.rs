//! The payloads of Supabase Realtime inside the envelope.
//!
//! Reading is lenient, as upstream is: a field that does not parse takes its default and is named, so that it can be
//! logged. Writing keeps the JSON of members and users byte for byte.

mod broadcast;
pub mod changes;
mod join;
mod presence;
mod replay;
mod system;
mod token;

pub use crate::broadcast::Broadcast;
pub use join::{JoinRequest, JoinToken, Private};
pub use presence::{PresenceCall, PresenceDiff, presence_diff, presence_meta, presence_payload};
pub use replay::{Replay, ReplayRequest, replayed};
pub use system::system;
pub use token::TokenRefresh;

/// The prefix of every topic of a room. The rest is the sub-topic, the name of the room.
pub const TOPIC_PREFIX: &str = "realtime:";

/// The full topic of the room `sub_topic`.
fn full_topic(sub_topic: &str) -> String {
    [TOPIC_PREFIX, sub_topic].concat()
}
