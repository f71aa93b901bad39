//! Codes and metrics that the documentation of Supabase Realtime names, and that nothing here reports.
//!
//! An operator who searches for one finds it in `docs/codes.md`, with the name under which the same is seen here. Tests
//! compare the page with all names that are documented.

/// A name of upstream, and what is seen here instead.
type Equivalent = (&'static str, &'static str);

/// Operational codes.
pub(super) const CODES: &[Equivalent] = &[
    ("ErrorAuthorizingWebsocket", "`ErrorConnectingToWebsocket`"),
    ("InvalidJWTExpiration", "`InvalidJWTToken`"),
    ("TableHasSpacesInName", "none: such tables can be subscribed to"),
    ("UnableToDeleteTenant", "`TenantLookupFailed`"),
    ("UnableToSetPolicies", "`UnableToConnectToProject`, `QueryCanceled` or `RlsPolicyError`"),
    ("UnableCheckoutConnection", "`IncreaseConnectionPool`"),
    (
        "UnableToSubscribeToPostgres",
        "`RealtimeDisabledForConfiguration` for what cannot be subscribed to, `UnableToConnectToProject`",
    ),
    (
        "ReconnectSubscribeToPostgres",
        "none: a subscription waits for the database; `StartReplicationFailed` says why it waits",
    ),
    (
        "DatabaseConnectionRateLimitReached",
        "none: a node connects once for all clients, after growing delays",
    ),
    ("MigrationCheckFailed", "`MigrationsFailedToRun`"),
    ("ErrorStartingPostgresCDCStream", "`StartReplicationFailed`"),
    ("ErrorStartingPostgresCDC", "`StartReplicationFailed`"),
    (
        "UnknownDataProcessed",
        "none: a message that cannot be read ends the session, with `ReplicationConnectionDown`",
    ),
    ("ReplicationSlotBeingUsed", "none: another node reads, and this one receives changes from it"),
    ("PoolingReplicationPreparationError", "`StartReplicationFailed`"),
    ("PoolingReplicationError", "`ReplicationConnectionDown`"),
    ("SubscriptionDeletionFailed", "none: subscriptions are in memory"),
    ("UnableToDeletePhantomSubscriptions", "none: subscriptions are in memory"),
    ("UnableToCheckProcessesOnRemoteNode", "`RealtimeNodeDisconnected`"),
    ("UnhandledProcessMessage", "none"),
    (
        "UnableToTrackPresence",
        "`RoomPresenceSizeExceeded`, `ClientPresenceSizeExceeded` or `MemoryLimitReached`",
    ),
    ("ConnectionInitializing", "none: a join waits for the connection"),
    ("InitializingProjectConnection", "none: a join waits for the connection"),
    ("DatabaseConnectionIssue", "`UnableToConnectToTenantDatabase`"),
    ("UnableToProcessListenPayload", "none: PostgreSQL notifies of names only"),
    ("UnprocessableEntity", "none: status 422, with the reason in the body"),
    ("TimeoutOnRpcCall", "`BusAway`"),
    ("ErrorOnRpcCall", "`BusAway`"),
    ("ErrorExecutingTransaction", "`QueryCanceled` or `UnableToConnectToProject`"),
    ("SynInitializationError", "`UnableToConnectToTenantDatabase`"),
    ("JanitorFailedToDeleteOldMessages", "`PartitionCreationFailed`"),
    ("UnableToEncodeJson", "none"),
    ("UnknownErrorOnController", "none: status 500"),
    ("UnknownErrorOnChannel", "none"),
    ("ClientPresenceRateLimitReached", "none: presence calls that come too fast are coalesced"),
];

const PROCESS: &str = "`process_resident_memory_bytes`, `process_cpu_seconds_total`";
const BUS: &str =
    "`realtime_bus_published_total`, `realtime_bus_received_total`, `realtime_bus_unsent_total`";
const MACHINE: &str = "none: an exporter for the machine has them";

/// Metrics.
pub(super) const METRICS: &[Equivalent] = &[
    ("realtime_connections_connected_cluster", "the sum of `realtime_connections_connected` of all nodes"),
    ("realtime_channel_db_events", "`realtime_changes_sent_total`"),
    ("realtime_channel_global_events", "the sum of `realtime_channel_events`"),
    ("realtime_channel_global_presence_events", "the sum of `realtime_channel_presence_events`"),
    ("realtime_channel_global_db_events", "the sum of `realtime_changes_sent_total`"),
    ("realtime_payload_size_bucket", "the sum of `realtime_tenants_payload_size`"),
    ("realtime_replication_poller_query_duration_bucket", "`realtime_changes_lag_bytes`: nothing is polled"),
    ("realtime_replication_poller_query_duration_count", "`realtime_changes_lag_bytes`: nothing is polled"),
    ("realtime_tenants_broadcast_from_database_latency_committed_at_bucket", "none"),
    ("realtime_tenants_broadcast_from_database_latency_inserted_at_bucket", "none"),
    ("realtime_rpc_bucket", BUS),
    ("realtime_global_rpc_count", BUS),
    ("phoenix_channel_joined_total", "`realtime_channel_joins`, and `realtime_channel_error` by code"),
    (
        "beam_memory_allocated_bytes",
        "`process_resident_memory_bytes`, and `realtime_memory_used_bytes` by kind",
    ),
    ("beam_memory_atom_total_bytes", PROCESS),
    ("beam_memory_binary_total_bytes", "`realtime_memory_used_bytes` by kind"),
    ("beam_memory_code_total_bytes", PROCESS),
    ("beam_memory_ets_total_bytes", "`realtime_memory_used_bytes` by kind"),
    ("beam_memory_processes_total_bytes", "`realtime_memory_used_bytes` by kind"),
    ("beam_memory_persistent_term_total_bytes", PROCESS),
    ("beam_stats_process_count", "`phoenix_connections_active`"),
    ("beam_stats_port_count", "`process_open_fds`"),
    ("beam_stats_ets_count", PROCESS),
    ("beam_stats_atom_count", PROCESS),
    ("beam_stats_uptime_milliseconds_count", "`realtime_uptime_seconds`"),
    ("beam_stats_port_io_byte_count", "`realtime_channel_input_bytes`, `realtime_channel_output_bytes`"),
    ("beam_stats_gc_count", "none: nothing is garbage-collected"),
    ("beam_stats_gc_reclaimed_bytes", "none: nothing is garbage-collected"),
    ("beam_stats_reduction_count", "`process_cpu_seconds_total`"),
    ("beam_stats_context_switch_count", "`process_cpu_seconds_total`"),
    ("beam_stats_active_task_count", "`process_cpu_seconds_total`"),
    ("beam_stats_run_queue_count", "`process_cpu_seconds_total`"),
    ("osmon_cpu_util", MACHINE),
    ("osmon_cpu_avg1", MACHINE),
    ("osmon_cpu_avg5", MACHINE),
    ("osmon_cpu_avg15", MACHINE),
    ("osmon_ram_usage", MACHINE),
    ("gen_rpc_queue_size_bytes", BUS),
    ("gen_rpc_send_pending_bytes", BUS),
    ("gen_rpc_send_bytes", BUS),
    ("gen_rpc_recv_bytes", BUS),
    ("dist_queue_size", BUS),
    ("dist_send_pending_bytes", BUS),
    ("dist_send_bytes", BUS),
    ("dist_recv_bytes", BUS),
];
