//! `[outbox]`: the queue of outgoing frames of each connection.

use std::num::NonZeroU32;
use std::time::Duration;

use bytesize::ByteSize;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{marks, units};

/// The queue of outgoing frames of each connection, for clients that read slowly. Whichever limit is reached first
/// applies; what does not fit is dropped for this client alone, and counted. One frame always fits an empty outbox.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Outbox {
    /// Frames that may be queued for one connection.
    #[schemars(extend("x-reload" = "connection"))]
    pub max_frames: NonZeroU32,

    /// Bytes that may be queued for one connection. Frames are shared between connections, so a thousand slow
    /// readers of one room do not take this a thousand times.
    #[serde(with = "units::size")]
    #[schemars(with = "marks::SizeText", extend("x-reload" = "connection", "x-min" = "1 KiB"))]
    pub max_bytes: ByteSize,

    /// A connection that accepts no byte for this long while frames are queued is closed with 1013; one that accepts no byte
    /// of an HTTP response for this long is closed, as is one that has not accepted a whole response within this time or
    /// `server.keep_alive_timeout`, whichever is longer.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "marks::DurationText", extend("x-reload" = "connection", "x-min" = "1ms"))]
    pub stall_timeout: Duration,
}

impl Default for Outbox {
    fn default() -> Self {
        Self {
            max_frames: NonZeroU32::new(4096).expect("not zero"),
            max_bytes: ByteSize::mib(8),
            stall_timeout: Duration::from_secs(30),
        }
    }
}
