//! Addresses in the log.

use settings::redacted_address;

/// An address without what may be secret in it.
pub fn shown(url: &str) -> String {
    redacted_address(url).unwrap_or_else(|| "an address that is not shown".into())
}
