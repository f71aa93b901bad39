//! What lies inside the envelope: the payloads of Supabase Realtime.
//!
//! Reading is lenient, as upstream is: what does not parse takes its default, and is named so that it can
//! be logged. Writing keeps the members' and users' own JSON byte for byte.

mod broadcast;
mod join;
mod presence;
mod system;
mod token;

pub use broadcast::Broadcast;
pub use join::{JoinRequest, JoinToken, Private, Replay};
pub use presence::{PresenceCall, PresenceDiff, presence_diff, presence_meta, presence_payload};
pub use system::system;
pub use token::TokenRefresh;

/// What every topic of a room begins with on the wire. The rest is the sub-topic, the room's name.
pub const TOPIC_PREFIX: &str = "realtime:";

/// The topic on the wire of the room `sub_topic`.
fn full_topic(sub_topic: &str) -> String {
    [TOPIC_PREFIX, sub_topic].concat()
}
