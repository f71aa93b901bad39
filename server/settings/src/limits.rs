//! `[limits]`: the limits of the default tenant. The names are Supabase Realtime's.
//!
//! Every `…_per_second` is a token bucket that holds ten seconds' worth: a client that was idle may burst,
//! the average is limited. A limit refuses the sender's message; it never closes a receiver. Each node counts
//! what it receives: a tenant with clients on three nodes has three times the rate.
//!
//! A topic has a limit too, 255 bytes, but it is the wire format's (one length byte) and not a setting.

use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};

use bytesize::ByteSize;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{marks, units};

/// Limits of the default tenant.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Maximum of concurrent connections that have joined a room, on all nodes together; the count of other nodes is
    /// about a second old. Further handshakes are answered with 429, further first joins with
    /// `ConnectionRateLimitReached`. Unset: only limited by each node's `server.max_connections`.
    #[schemars(extend("x-reload" = "live"))]
    pub max_concurrent_users: Option<NonZeroUsize>,

    /// Maximum of concurrent WebSocket connections on one node, whether or not they have joined a room, so that one
    /// tenant cannot use the capacity of others. Further handshakes are answered with 429. Unset: twice
    /// `max_concurrent_users` plus 100 if that is set, else only limited by `server.max_connections`.
    #[schemars(extend("x-reload" = "live"))]
    pub max_connections: Option<NonZeroUsize>,

    /// Maximum of rooms that one connection may join. Further joins are refused with `ChannelRateLimitReached`.
    #[schemars(extend("x-reload" = "live"))]
    pub max_channels_per_client: NonZeroUsize,

    /// Joins per second of all clients of one node together, in a bucket of ten seconds. A refreshed token that is new to
    /// its connection counts as one.
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

    /// Presence calls of one client in one room within `client_presence_window_ms`. Faster ones are
    /// coalesced: the newest state is published.
    #[schemars(extend("x-reload" = "live"))]
    pub max_client_presence_events_per_window: NonZeroU32,

    /// Length of the window of `max_client_presence_events_per_window`, in milliseconds.
    #[schemars(range(min = 1, max = 31_536_000_000_u64), extend("x-reload" = "live"))]
    pub client_presence_window_ms: NonZeroU64,

    /// Size of one payload in kilobytes of 1000 bytes; 500 bytes more are allowed for its envelope.
    #[schemars(extend("x-reload" = "live"))]
    pub max_payload_size_in_kb: NonZeroU32,

    /// Bytes that one room shows as presence: keys and tracked objects, as each new member receives them. A track beyond
    /// this is refused with «Room presence size exceeded»; one that takes no more than what it replaces never is. What
    /// other nodes show counts as soon as this node knows of it, so nodes that accept at the same time exceed it
    /// together, but none by itself. At least 1 KiB.
    #[serde(with = "units::size")]
    #[schemars(with = "marks::SizeText", extend("x-reload" = "live", "x-min" = "1 KiB"))]
    pub max_presence_bytes_per_room: ByteSize,

    /// Bytes of one shared document, as it is stored. Unset, or larger: `documents.max_bytes`.
    #[serde(with = "units::optional_size")]
    #[schemars(with = "Option<marks::SizeText>", extend("x-reload" = "live", "x-min" = "1 KiB"))]
    pub max_document_bytes: Option<ByteSize>,

    /// Bytes of one update of a shared document. Unset, or larger: `documents.max_update_bytes`.
    #[serde(with = "units::optional_size")]
    #[schemars(with = "Option<marks::SizeText>", extend("x-reload" = "live", "x-min" = "1 KiB"))]
    pub max_document_update_bytes: Option<ByteSize>,

    /// Bytes that one client shows of itself in a shared document (awareness). Unset, or larger: `documents.awareness_bytes`.
    #[serde(with = "units::optional_size")]
    #[schemars(with = "Option<marks::SizeText>", extend("x-reload" = "live", "x-min" = "64 B"))]
    pub max_awareness_bytes: Option<ByteSize>,
}

impl Limits {
    /// Maximum of concurrent WebSocket connections on one node, if it is limited.
    pub fn connections(&self) -> Option<NonZeroUsize> {
        let with_idlers = |users: NonZeroUsize| users.saturating_add(users.get()).saturating_add(100);
        self.max_connections.or(self.max_concurrent_users.map(with_idlers))
    }

    /// The largest payload in bytes, its envelope included, as upstream counts: kB × 1000 + 500.
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
            max_presence_bytes_per_room: ByteSize::mib(16),
            max_document_bytes: None,
            max_document_update_bytes: None,
            max_awareness_bytes: None,
        }
    }
}
