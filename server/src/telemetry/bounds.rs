//! The bounds of histograms.
//!
//! Those with upstream's names have upstream's bounds, because dashboards name single buckets; some have further ones between
//! them, which harm none of that.

/// Sizes of payloads, in bytes, as upstream has them.
const PAYLOAD_SIZES: [f64; 11] = [
    250.0,
    500.0,
    1_000.0,
    3_000.0,
    5_000.0,
    10_000.0,
    25_000.0,
    100_000.0,
    500_000.0,
    1_000_000.0,
    3_000_000.0,
];

/// Times of questions to databases, in milliseconds, as upstream has them.
const AUTHORIZATION_TIMES: [f64; 4] = [10.0, 250.0, 5_000.0, 15_000.0];

/// Times that changes of tables take, in milliseconds: from a few, to what the database may take, to a wait for it.
const CHANGES_TIMES: [f64; 8] = [5.0, 25.0, 100.0, 500.0, 1_000.0, 5_000.0, 15_000.0, 60_000.0];

/// Histograms and their bounds.
const BOUNDS: [(&str, &[f64]); 6] = [
    ("realtime_changes_delay", &CHANGES_TIMES),
    ("realtime_changes_lookups", &CHANGES_TIMES),
    ("realtime_tenants_payload_size", &PAYLOAD_SIZES),
    ("realtime_tenants_read_authorization_check", &AUTHORIZATION_TIMES),
    ("realtime_tenants_write_authorization_check", &AUTHORIZATION_TIMES),
    ("realtime_tenants_replay", &AUTHORIZATION_TIMES),
];

/// The bounds of a histogram; none if it is not known.
pub(super) fn of(name: &str) -> &'static [f64] {
    BOUNDS.iter().find(|(known, _)| *known == name).map_or(&[], |(_, bounds)| bounds)
}
