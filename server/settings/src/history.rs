//! `[broadcast.history]` and `[tenants.<id>.history]`: which broadcasts are kept for members that join later.

use std::num::NonZeroU32;
use std::time::Duration;

use bytesize::ByteSize;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{TopicPattern, marks, units};

/// Broadcasts that are kept for members that join later, and ask for them with `config.broadcast.replay`. They are in the
/// memory of the node, or in Redis if there is a bus.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct History {
    /// Topics of the rooms whose broadcasts are kept, public and private ones, such as `["chat:*", "news"]`; `*` stands for
    /// any text. Empty: none are kept, and broadcasts have no `meta.id`.
    #[schemars(extend("x-reload" = "live"))]
    pub rooms: Vec<TopicPattern>,

    /// Broadcasts kept of one room. The oldest are dropped for newer ones.
    #[schemars(range(min = 1, max = 100_000), extend("x-reload" = "live"))]
    pub max_messages: NonZeroU32,

    /// Bytes kept of one room, as nodes encode broadcasts for each other. One with more is not kept, nor is anything before
    /// it, because what is kept has no gaps; with a bus, the broadcasts that a client sends at once, up to 64 KiB, are one in
    /// this sense. On a node without a bus, what all rooms of a tenant keep is taken from `server.memory_budget` too, and is
    /// the first to be dropped when the tenant needs memory.
    #[serde(with = "units::size")]
    #[schemars(with = "marks::SizeText", extend("x-reload" = "live", "x-min" = "128 KiB", "x-max" = "1 GiB"))]
    pub max_bytes: ByteSize,

    /// How long a broadcast is kept, whether or not the room has members.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "marks::DurationText", extend("x-reload" = "live", "x-min" = "1s"))]
    pub max_age: Duration,

    /// Most messages that one join in these rooms is sent, those of the database included; 25 in others. A join that asks for
    /// more receives the newest ones.
    #[schemars(range(min = 1, max = 1_000), extend("x-reload" = "live"))]
    pub max_replay: NonZeroU32,
}

impl History {
    /// Whether broadcasts are kept in any room.
    pub fn is_enabled(&self) -> bool {
        !self.rooms.is_empty()
    }

    /// Whether broadcasts are kept in the room with this topic, without the prefix of a protocol.
    pub fn keeps(&self, topic: &str) -> bool {
        self.rooms.iter().any(|pattern| pattern.matches(topic))
    }
}

impl Default for History {
    fn default() -> Self {
        let count = |n| NonZeroU32::new(n).expect("not zero");
        Self {
            rooms: Vec::new(),
            max_messages: count(100),
            max_bytes: ByteSize::mib(1),
            max_age: Duration::from_secs(3600),
            max_replay: count(25),
        }
    }
}
