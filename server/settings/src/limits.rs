//! `[limits]`: what the clients of the default tenant may use. The names are Supabase Realtime's.
//!
//! Every `…_per_second` is a token bucket that holds ten seconds' worth: a client that was quiet may burst,
//! the average holds. A limit refuses the sender's message; it never closes a receiver. Each node counts what
//! comes to it: a tenant with clients on three nodes has three times the rate.
//!
//! A topic has a limit too, 255 bytes, but it is the wire format's (one length byte) and not a setting.

use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the clients of the default tenant may use.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Connections at once that have joined a room, on all nodes together; those on other nodes are known about
    /// a second late. Further handshakes are answered with 429, further first joins with
    /// `ConnectionRateLimitReached`. Unset: as many as each node's `server.max_connections` lets in.
    #[schemars(extend("x-reload" = "live"))]
    pub max_concurrent_users: Option<NonZeroUsize>,

    /// WebSockets on one node, whether or not they have joined a room, so that a tenant cannot take the places of
    /// others. Further handshakes are answered with 429. Unset: twice `max_concurrent_users` and a hundred, if that
    /// is set, else as many as `server.max_connections` lets in.
    #[schemars(extend("x-reload" = "live"))]
    pub max_connections: Option<NonZeroUsize>,

    /// Rooms one connection may be in. Further joins are refused with `ChannelRateLimitReached`.
    #[schemars(extend("x-reload" = "live"))]
    pub max_channels_per_client: NonZeroUsize,

    /// Joins per second of all clients of one node together, in a bucket of ten seconds.
    #[schemars(extend("x-reload" = "live"))]
    pub max_joins_per_second: NonZeroU32,

    /// Messages accepted per second from all senders of one node together, in a bucket of ten seconds.
    /// Deliveries do not count.
    #[schemars(extend("x-reload" = "live"))]
    pub max_events_per_second: NonZeroU32,

    /// Presence calls (track, untrack) per second of all clients of one node together, in a bucket of ten
    /// seconds.
    #[schemars(extend("x-reload" = "live"))]
    pub max_presence_events_per_second: NonZeroU32,

    /// Presence calls of one client in one room within `client_presence_window_ms`. What comes faster is
    /// gathered to the newest state.
    #[schemars(extend("x-reload" = "live"))]
    pub max_client_presence_events_per_window: NonZeroU32,

    /// Length of the window of `max_client_presence_events_per_window`, in milliseconds.
    #[schemars(range(min = 1, max = 31_536_000_000_u64), extend("x-reload" = "live"))]
    pub client_presence_window_ms: NonZeroU64,

    /// Size of one payload in kilobytes of 1000 bytes; 500 bytes more are allowed for its wrapping.
    #[schemars(extend("x-reload" = "live"))]
    pub max_payload_size_in_kb: NonZeroU32,
}

impl Limits {
    /// WebSockets on one node, if anything limits them.
    pub fn connections(&self) -> Option<NonZeroUsize> {
        let with_idlers = |users: NonZeroUsize| users.saturating_add(users.get()).saturating_add(100);
        self.max_connections.or(self.max_concurrent_users.map(with_idlers))
    }

    /// The largest payload in bytes, its wrapping included, as upstream counts: kB × 1000 + 500.
    pub fn max_payload_bytes(&self) -> usize {
        self.max_payload_size_in_kb.get() as usize * 1000 + 500
    }
}

impl Default for Limits {
    fn default() -> Self {
        let count = |n| NonZeroU32::new(n).expect("not zero");
        Self {
            max_concurrent_users: None,
            max_connections: None,
            max_channels_per_client: NonZeroUsize::new(100).expect("not zero"),
            max_joins_per_second: count(2500),
            max_events_per_second: count(10_000),
            max_presence_events_per_second: count(10_000),
            max_client_presence_events_per_window: count(300),
            client_presence_window_ms: NonZeroU64::new(30_000).expect("not zero"),
            max_payload_size_in_kb: count(3000),
        }
    }
}
