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

/// Times from databases to members, in milliseconds, as upstream has them.
const DATABASE_TIMES: [f64; 3] = [10.0, 250.0, 5_000.0];

/// Times that changes of tables take, in seconds: from a few milliseconds, to what the database may take, to a wait for it.
const CHANGES_TIMES: [f64; 8] = [0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0];

/// Times of a part of the log, in milliseconds: upstream's, after those that a part takes here.
const BATCH_TIMES: [f64; 15] = [
    1.0,
    5.0,
    25.0,
    100.0,
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

/// Times to other nodes, in milliseconds: upstream's, and those that a healthy network has.
const HOP_TIMES: [f64; 9] = [0.5, 1.0, 2.5, 5.0, 10.0, 50.0, 250.0, 5_000.0, 15_000.0];

/// Times of what clients do, in milliseconds, as upstream has them, and one for what is fast.
const CLIENT_TIMES: [f64; 7] = [1.0, 10.0, 100.0, 500.0, 1_000.0, 5_000.0, 10_000.0];

/// Times that users notice, in seconds.
const RESPONSE_TIMES: [f64; 9] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0];

/// Times of a fan-out, in seconds: to one member in a microsecond, to ten thousand in some ten milliseconds.
const FAN_OUT_TIMES: [f64; 8] = [0.000_01, 0.000_1, 0.000_5, 0.001, 0.005, 0.01, 0.1, 1.0];

/// Times of migrations, in milliseconds, as upstream has them.
const MIGRATION_TIMES: [f64; 13] = [
    100.0, 250.0, 500.0, 1_000.0, 2_000.0, 5_000.0, 10_000.0, 20_000.0, 30_000.0, 45_000.0, 60_000.0,
    90_000.0, 120_000.0,
];

/// Histograms and their bounds.
const BOUNDS: [(&str, &[f64]); 19] = [
    ("phoenix_channel_handled_in_duration_milliseconds", &CLIENT_TIMES),
    ("phoenix_socket_connected_duration_milliseconds", &CLIENT_TIMES),
    ("realtime_broadcast_fanout_duration_seconds", &FAN_OUT_TIMES),
    ("realtime_changes_delay_seconds", &CHANGES_TIMES),
    ("realtime_changes_lookup_duration_seconds", &CHANGES_TIMES),
    ("realtime_global_rpc", &HOP_TIMES),
    ("realtime_documents_commit_duration_seconds", &RESPONSE_TIMES),
    ("realtime_documents_load_duration_seconds", &RESPONSE_TIMES),
    ("realtime_http_request_duration_seconds", &RESPONSE_TIMES),
    ("realtime_join_duration_seconds", &RESPONSE_TIMES),
    ("realtime_payload_size", &PAYLOAD_SIZES),
    ("realtime_replication_poller_query_duration", &BATCH_TIMES),
    ("realtime_tenants_broadcast_from_database_latency_committed_at", &DATABASE_TIMES),
    ("realtime_tenants_broadcast_from_database_latency_inserted_at", &DATABASE_TIMES),
    ("realtime_tenants_migrations_duration_milliseconds", &MIGRATION_TIMES),
    ("realtime_tenants_payload_size", &PAYLOAD_SIZES),
    ("realtime_tenants_read_authorization_check", &AUTHORIZATION_TIMES),
    ("realtime_tenants_replay", &AUTHORIZATION_TIMES),
    ("realtime_tenants_write_authorization_check", &AUTHORIZATION_TIMES),
];

/// The bounds of every histogram.
#[cfg(all(test, feature = "cloudwatch"))]
pub(super) fn all() -> impl Iterator<Item = &'static [f64]> {
    BOUNDS.iter().map(|(_, bounds)| *bounds)
}

/// The bounds of a histogram; none if it is not known.
pub(super) fn of(name: &str) -> &'static [f64] {
    BOUNDS.iter().find(|(known, _)| *known == name).map_or(&[], |(_, bounds)| bounds)
}
