//! The names of Supabase Realtime: those that this server shares, and those that nothing here reports.
//!
//! An operator who searches for one of the latter finds it in `docs/codes.md`, with the name under which the same is seen here. Tests
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
    ("MetricsPusherTaskExited", "`MetricsPusherFailed`"),
    ("MetricsPusherException", "`MetricsPusherFailed`"),
    ("ClientPresenceRateLimitReached", "none: presence calls that come too fast are coalesced"),
];

const PROCESS: &str = "`process_resident_memory_bytes`, `process_cpu_seconds_total`";
const RUNTIME: &str = "none: they describe upstream's runtime";
const BUS: &str = "`realtime_global_rpc`, `realtime_bus_published_total`, `realtime_bus_received_total`, `realtime_bus_unsent_total`: Redis is between the nodes";
const NO_GARBAGE: &str = "none: nothing is garbage-collected";
const NO_RECONCILING: &str =
    "none: a schema with versions is left as it is; the page of status names what it lacks";

/// Labels of upstream's metrics that nothing here has: which metrics have them there, and what is seen here instead.
pub(super) const LABELS: &[(&str, &str, &str)] = &[
    (
        "host",
        "all",
        "none: what scrapes a node knows its address, and Prometheus has it in `instance`; a push has that too",
    ),
    (
        "id",
        "all",
        "none: every start would begin all series anew. The id of a node is `node` in `/status`, and `service.instance.id` of its spans",
    ),
    (
        "platform_region",
        "`realtime_tenants_migrations_duration_milliseconds`",
        "none: it is a region of Supabase's platform; `region` is that of the node",
    ),
    (
        "origin_node",
        "`gen_rpc_…`, `dist_…`",
        "none: Redis is between the nodes, and no two of them are connected",
    ),
    ("target_node", "`gen_rpc_…`, `dist_…`", "none, likewise"),
];

/// What upstream's documentation names and its code does not have.
pub(super) const DOCUMENTED_ONLY: &[&str] = &[
    "ErrorAuthorizingWebsocket",
    "TableHasSpacesInName",
    "MigrationCheckFailed",
    "ErrorStartingPostgresCDCStream",
    "UnknownDataProcessed",
    "UnableToDeletePhantomSubscriptions",
    "ConnectionInitializing",
    "DatabaseConnectionIssue",
    "InvalidJWTExpiration",
    "UnableToProcessListenPayload",
    "realtime_rpc",
];

/// Metrics of upstream that nothing here has.
pub(super) const METRICS: &[Equivalent] = &[
    ("realtime_rpc", "`realtime_global_rpc`"),
    ("realtime_subscriptions_manager_dead_pid", "none: a subscription ends with its channel"),
    ("realtime_tenants_migrations_reconcile_total", NO_RECONCILING),
    ("realtime_tenants_migrations_reconcile_exceptions_total", NO_RECONCILING),
    ("muster_node_status", "`realtime_bus_connected`, `realtime_bus_nodes`"),
    ("beam_memory_atom_total_bytes", PROCESS),
    ("beam_memory_code_total_bytes", PROCESS),
    ("beam_memory_persistent_term_total_bytes", PROCESS),
    ("beam_memory_ets_total_bytes", "`realtime_memory_used_bytes` by kind"),
    ("beam_memory_processes_total_bytes", "`realtime_memory_used_bytes` by kind"),
    ("beam_stats_process_count", "`phoenix_connections_active`"),
    ("beam_stats_ets_count", RUNTIME),
    ("beam_stats_atom_count", RUNTIME),
    ("beam_stats_gc_count", NO_GARBAGE),
    ("beam_stats_gc_reclaimed_bytes", NO_GARBAGE),
    ("beam_stats_reduction_count", "`process_cpu_seconds_total`"),
    ("beam_stats_context_switch_count", "`process_cpu_seconds_total`"),
    ("beam_stats_active_task_count", "`process_cpu_seconds_total`"),
    ("beam_stats_run_queue_count", "`process_cpu_seconds_total`"),
    ("beam_system_version_info", RUNTIME),
    ("beam_system_smp_support_info", RUNTIME),
    ("beam_system_jit_support_info", RUNTIME),
    ("beam_system_thread_support_info", RUNTIME),
    ("beam_system_time_correction_support_info", RUNTIME),
    ("beam_system_word_size_bytes_info", RUNTIME),
    ("beam_system_dirty_cpu_schedulers_info", RUNTIME),
    ("beam_system_dirty_cpu_schedulers_online_info", RUNTIME),
    ("beam_system_dirty_io_schedulers_info", RUNTIME),
    ("beam_system_schedulers_info", RUNTIME),
    ("beam_system_schedulers_online_info", RUNTIME),
    ("beam_system_logical_processors_available_info", RUNTIME),
    ("beam_system_logical_processors_online_info", RUNTIME),
    ("beam_system_ets_limit_info", RUNTIME),
    ("beam_system_port_limit_info", RUNTIME),
    ("beam_system_process_limit_info", RUNTIME),
    ("beam_system_thread_pool_size_info", RUNTIME),
    ("beam_system_atom_limit_info", RUNTIME),
    ("gen_rpc_queue_size_bytes", BUS),
    ("gen_rpc_recv_bytes", BUS),
    ("gen_rpc_recv_count", BUS),
    ("gen_rpc_send_bytes", BUS),
    ("gen_rpc_send_count", BUS),
    ("gen_rpc_send_pending_bytes", BUS),
    ("dist_queue_size", BUS),
    ("dist_recv_bytes", BUS),
    ("dist_recv_count", BUS),
    ("dist_send_bytes", BUS),
    ("dist_send_count", BUS),
    ("dist_send_pending_bytes", BUS),
];

/// Metrics that have a name of upstream and mean what it means there, or the nearest that there is here.
pub(super) const SHARED_METRICS: &[&str] = &[
    "osmon_cpu_avg1",
    "osmon_cpu_avg15",
    "osmon_cpu_avg5",
    "osmon_cpu_util",
    "osmon_ram_usage",
    "phoenix_channel_handled_in_duration_milliseconds",
    "phoenix_channel_joined_total",
    "phoenix_connections_active",
    "phoenix_connections_max",
    "phoenix_connections_total",
    "phoenix_socket_connected_duration_milliseconds",
    "realtime_broadcast_fanout_node_delivery_total",
    "realtime_broadcast_global_fanout_node_delivery_total",
    "realtime_channel_db_events",
    "realtime_channel_error",
    "realtime_channel_events",
    "realtime_channel_global_db_events",
    "realtime_channel_global_error",
    "realtime_channel_global_events",
    "realtime_channel_global_input_bytes",
    "realtime_channel_global_joins",
    "realtime_channel_global_output_bytes",
    "realtime_channel_global_presence_events",
    "realtime_channel_input_bytes",
    "realtime_channel_joins",
    "realtime_channel_output_bytes",
    "realtime_channel_presence_events",
    "realtime_connections_connected",
    "realtime_connections_connected_cluster",
    "realtime_connections_global_connected",
    "realtime_connections_global_connected_cluster",
    "realtime_global_rpc",
    "realtime_payload_size",
    "realtime_replication_poller_changes_dispatch",
    "realtime_replication_poller_changes_skip",
    "realtime_replication_poller_exception_total",
    "realtime_replication_poller_prepare_exception_total",
    "realtime_replication_poller_query_duration",
    "realtime_replication_poller_query_exception_total",
    "realtime_replication_poller_stop_total",
    "realtime_subscriptions_manager_subscribers",
    "realtime_tenants_broadcast_from_database_latency_committed_at",
    "realtime_tenants_broadcast_from_database_latency_inserted_at",
    "realtime_tenants_connected",
    "realtime_tenants_migrations_duration_milliseconds",
    "realtime_tenants_migrations_exceptions_total",
    "realtime_tenants_payload_size",
    "realtime_tenants_read_authorization_check",
    "realtime_tenants_replay",
    "realtime_tenants_write_authorization_check",
];
