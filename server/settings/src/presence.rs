//! `[presence]`: who is in a room, and how soon the others hear of it.

use std::time::Duration;

use bytesize::ByteSize;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{marks, units};

/// Who is in a room, and how soon the others hear of it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Presence {
    /// Whether a join that says nothing about presence has it (the tenant's `presence_enabled`). A client
    /// that tracks gets it in any case.
    #[schemars(extend("x-reload" = "live"))]
    pub enabled: bool,

    /// How long the changes of one room are gathered when they come in bursts; the first of a burst goes out
    /// at once. 0s announces at once whatever there is.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "marks::DurationText", extend("x-reload" = "live"))]
    pub coalesce: Duration,

    /// Bytes that one connection may show, in all its rooms together. They are held for as long as it shows
    /// them and sent to whoever joins; a track beyond this is refused with «Track message size exceeded». At
    /// least 1 KiB.
    #[serde(with = "units::size")]
    #[schemars(with = "marks::SizeText", extend("x-reload" = "live", "x-min" = "1 KiB"))]
    pub max_bytes_per_client: ByteSize,
}

impl Default for Presence {
    fn default() -> Self {
        Self { enabled: false, coalesce: Duration::from_millis(50), max_bytes_per_client: ByteSize::mib(8) }
    }
}
