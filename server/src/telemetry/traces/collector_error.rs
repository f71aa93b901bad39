//! Why a collector has not accepted a request, and whether it may do so later.

use std::time::Duration;

/// Bytes of a response that are read. It has at most a count and a sentence.
pub(super) const RESPONSE_BYTES_MAX: usize = 64 * 1_024;

/// Why a request was not accepted.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub(super) struct CollectorError {
    /// With all causes, and without the address.
    pub(super) text: String,
    /// How long the collector asks to wait at least, if it may accept the same request later.
    pub(super) retry_after: Option<Duration>,
}

impl CollectorError {
    /// It will not be accepted later either.
    pub(super) fn lasting(text: String) -> Self {
        Self { text, retry_after: None }
    }
}
