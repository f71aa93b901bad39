//! The units of metrics. Names of ours end in theirs; those of upstream often do not.

/// Upstream's that are in milliseconds.
const MILLISECONDS: [&str; 6] = [
    "realtime_global_rpc",
    "realtime_replication_poller_query_duration",
    "realtime_tenants_broadcast_from_database_latency_committed_at",
    "realtime_tenants_broadcast_from_database_latency_inserted_at",
    "realtime_tenants_read_authorization_check",
    "realtime_tenants_write_authorization_check",
];

/// The unit of a metric; empty for a number of things.
pub(in crate::telemetry) fn unit(name: &str) -> &'static str {
    let name = name.trim_end_matches("_total").trim_end_matches("_count");
    let ends_in = |suffix| name.ends_with(suffix);
    if ends_in("_milliseconds") || ends_in("_replay") || MILLISECONDS.contains(&name) {
        "milliseconds"
    } else if ends_in("_seconds") {
        "seconds"
    } else if ends_in("_bytes") || ends_in("_byte") || ends_in("_payload_size") {
        "bytes"
    } else if ["osmon_cpu_util", "osmon_ram_usage"].contains(&name) {
        "percent"
    } else {
        ""
    }
}
