//! `[broadcast]`: broadcasts sent over HTTP, and the history of all broadcasts.

use std::num::NonZeroUsize;

use bytesize::ByteSize;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{History, marks, units};

/// Broadcasts sent over HTTP, and the history of all broadcasts.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Broadcast {
    /// Bytes of one request body, which may carry many messages; a longer one is answered with 413. Each
    /// message is also limited by `limits.max_payload_size_in_kb`.
    #[serde(with = "units::size")]
    #[schemars(with = "marks::SizeText", extend("x-reload" = "live", "x-min" = "1 KiB", "x-max" = "1 GiB"))]
    pub max_body_size: ByteSize,

    /// Messages in one request; more are answered with 429, before any of them is processed. They also count
    /// towards `limits.max_events_per_second`, which allows ten seconds' worth at once.
    #[schemars(extend("x-reload" = "live"))]
    pub max_batch_size: NonZeroUsize,

    /// Whether browsers of any origin may call the endpoints (CORS). Turn it off when a gateway in front
    /// already sends these headers.
    #[schemars(extend("x-reload" = "live"))]
    pub cors: bool,

    /// Broadcasts that are kept for members that join later.
    pub history: History,
}

impl Default for Broadcast {
    fn default() -> Self {
        Self {
            max_body_size: ByteSize::b(8_000_000),
            max_batch_size: NonZeroUsize::new(1_000).expect("not zero"),
            cors: true,
            history: History::default(),
        }
    }
}
