//! `[documents]`: shared Yjs documents.

use std::num::NonZeroU32;
use std::time::Duration;

use bytesize::ByteSize;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{marks, units};

/// Shared Yjs documents, for clients of y-websocket, Hocuspocus and y-sweet. They are kept in the store.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Documents {
    /// Whether clients whose token has the role `anon` may change documents. Otherwise they read them.
    #[schemars(extend("x-reload" = "live"))]
    pub anon_may_write: bool,

    /// Whether clients of y-websocket are sent their own updates back once they are stored: their protocol has no other
    /// acknowledgement. Most applications need none.
    #[schemars(extend("x-reload" = "live"))]
    pub y_websocket_echo: bool,

    /// Bytes of one document, as it is stored. What would make it larger is refused.
    #[serde(with = "units::size")]
    #[schemars(with = "marks::SizeText", extend("x-reload" = "live", "x-min" = "1 KiB"))]
    pub max_bytes: ByteSize,

    /// Bytes of one update. The largest may be the answer of a client that was offline for long. `server.max_frame_size` limits it
    /// too.
    #[serde(with = "units::size")]
    #[schemars(with = "marks::SizeText", extend("x-reload" = "live", "x-min" = "1 KiB"))]
    pub max_update_bytes: ByteSize,

    /// Largest body of a request of y-sweet's SDK, for a document or a token; larger ones are answered with 413.
    #[serde(with = "units::size")]
    #[schemars(with = "marks::SizeText", extend("x-reload" = "live", "x-min" = "1 KiB"))]
    pub max_body_size: ByteSize,

    /// Documents that one connection may have open.
    #[schemars(range(min = 1), extend("x-reload" = "live"))]
    pub max_per_connection: NonZeroU32,

    /// Messages that may wait for one document, whose editors send faster than it can be changed. A connection that sends more has to
    /// synchronise that document again.
    #[schemars(range(min = 1), extend("x-reload" = "live"))]
    pub queue_messages: NonZeroU32,

    /// Bytes of these messages.
    #[serde(with = "units::size")]
    #[schemars(with = "marks::SizeText", extend("x-reload" = "live", "x-min" = "64 KiB"))]
    pub queue_bytes: ByteSize,

    /// Bytes of updates of one document that the store has not taken yet, because it does not answer. What comes then is refused.
    #[serde(with = "units::size")]
    #[schemars(with = "marks::SizeText", extend("x-reload" = "live", "x-min" = "64 KiB"))]
    pub max_unsaved_bytes: ByteSize,

    /// How long the store may take to return a document.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "marks::DurationText", extend("x-reload" = "live", "x-min" = "100ms"))]
    pub load_timeout: Duration,

    /// How long a document that is not used stays in memory. Its connections stay open longer.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "marks::DurationText", extend("x-reload" = "live"))]
    pub unload_after: Duration,

    /// How often a node that is connected to the others by `[bus]` looks whether the store has changes of other nodes that did not arrive.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "marks::DurationText", extend("x-reload" = "live", "x-min" = "1s"))]
    pub refresh: Duration,

    /// The same while it is not, or has no bus: so long after a change is stored, nodes that share a PostgreSQL receive it.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "marks::DurationText", extend("x-reload" = "live", "x-min" = "50ms"))]
    pub refresh_without_bus: Duration,

    /// Updates in the log of a document after which they are replaced by its state; also when it leaves the memory.
    #[schemars(range(min = 1), extend("x-reload" = "live"))]
    pub compact_updates: NonZeroU32,

    /// Bytes in the log of a document after which they are replaced by its state.
    #[serde(with = "units::size")]
    #[schemars(with = "marks::SizeText", extend("x-reload" = "live", "x-min" = "1 KiB"))]
    pub compact_bytes: ByteSize,

    /// Clients of which one document keeps the awareness: cursors, names, what the application shows of its users.
    #[schemars(range(min = 1), extend("x-reload" = "live"))]
    pub awareness_clients: NonZeroU32,

    /// Clients of which one connection may send the awareness.
    #[schemars(range(min = 1), extend("x-reload" = "live"))]
    pub awareness_clients_per_connection: NonZeroU32,

    /// Bytes of the awareness of one client.
    #[serde(with = "units::size")]
    #[schemars(with = "marks::SizeText", extend("x-reload" = "live", "x-min" = "64 B"))]
    pub awareness_bytes: ByteSize,
}

impl Default for Documents {
    fn default() -> Self {
        let count = |n| NonZeroU32::new(n).expect("not zero");
        Self {
            anon_may_write: false,
            y_websocket_echo: false,
            max_bytes: ByteSize::mib(32),
            max_update_bytes: ByteSize::mib(8),
            max_body_size: ByteSize::kib(16),
            max_per_connection: count(100),
            queue_messages: count(10_000),
            queue_bytes: ByteSize::mib(16),
            max_unsaved_bytes: ByteSize::mib(16),
            load_timeout: Duration::from_secs(10),
            unload_after: Duration::from_secs(30),
            refresh: Duration::from_secs(30),
            refresh_without_bus: Duration::from_millis(500),
            compact_updates: count(500),
            compact_bytes: ByteSize::mib(1),
            awareness_clients: count(1_000),
            awareness_clients_per_connection: count(64),
            awareness_bytes: ByteSize::kib(16),
        }
    }
}
