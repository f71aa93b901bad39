//! `[presence]`: who is in a room, and how changes are published.

use std::time::Duration;

use bytesize::ByteSize;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{marks, units};

/// Who is in a room, and how changes are published.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Presence {
    /// Whether a join that does not configure presence has it enabled (the tenant's `presence_enabled`). A client
    /// that tracks has it in any case.
    #[schemars(extend("x-reload" = "live"))]
    pub enabled: bool,

    /// How long changes of one room are coalesced when they come in bursts; the first of a burst is published
    /// at once. 0s publishes every change at once.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "marks::DurationText", extend("x-reload" = "live"))]
    pub coalesce: Duration,

    /// Bytes of a presence key that a client may choose when it joins. A join with a longer key is refused with
    /// `PresenceKeySizeExceeded`.
    #[serde(with = "units::size")]
    #[schemars(with = "marks::SizeText", extend("x-reload" = "live", "x-min" = "64 B"))]
    pub max_key_bytes: ByteSize,

    /// Bytes that one connection may track, in all its rooms together, the keys included. They are held in memory while
    /// they are tracked and sent to every client that joins; a track beyond this is refused with «Client presence size
    /// exceeded». At least 1 KiB.
    #[serde(with = "units::size")]
    #[schemars(with = "marks::SizeText", extend("x-reload" = "live", "x-min" = "1 KiB"))]
    pub max_bytes_per_client: ByteSize,
}

impl Default for Presence {
    fn default() -> Self {
        Self {
            enabled: false,
            coalesce: Duration::from_millis(50),
            max_key_bytes: ByteSize::kib(1),
            max_bytes_per_client: ByteSize::mib(8),
        }
    }
}
