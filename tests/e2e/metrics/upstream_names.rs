//! The page of codes and metrics (`docs/codes.md`) has every one that the documentation of Supabase Realtime names, so that an
//! operator who comes from there finds what the same is called here.

use std::collections::HashSet;

use realtime_server::telemetry::codes::Code;
use realtime_server::telemetry::reference::reference;

/// The operational codes that are documented, in the order of the documentation.
const CODES: &str = "\
    TopicNameRequired InvalidJoinPayload RealtimeDisabledForConfiguration TenantNotFound
    ErrorConnectingToWebsocket ErrorAuthorizingWebsocket TableHasSpacesInName UnableToDeleteTenant
    UnableToSetPolicies UnableCheckoutConnection UnableToSubscribeToPostgres
    ReconnectSubscribeToPostgres ChannelRateLimitReached ConnectionRateLimitReached
    ClientJoinRateLimitReached DatabaseConnectionRateLimitReached MessagePerSecondRateLimitReached
    RealtimeDisabledForTenant UnableToConnectToTenantDatabase DatabaseLackOfConnections
    RealtimeNodeDisconnected MigrationsFailedToRun StartReplicationFailed ReplicationConnectionTimeout
    ReplicationMaxWalSendersReached MigrationCheckFailed PartitionCreationFailed
    ErrorStartingPostgresCDCStream UnknownDataProcessed ErrorStartingPostgresCDC
    ReplicationSlotBeingUsed PoolingReplicationPreparationError PoolingReplicationError
    SubscriptionDeletionFailed UnableToDeletePhantomSubscriptions UnableToCheckProcessesOnRemoteNode
    UnhandledProcessMessage UnableToTrackPresence UnknownPresenceEvent IncreaseConnectionPool
    RlsPolicyError ConnectionInitializing DatabaseConnectionIssue UnableToConnectToProject
    InvalidJWTExpiration JwtSignatureError MalformedJWT Unauthorized RealtimeRestarting
    UnableToProcessListenPayload UnprocessableEntity InitializingProjectConnection TimeoutOnRpcCall
    ErrorOnRpcCall ErrorExecutingTransaction SynInitializationError JanitorFailedToDeleteOldMessages
    UnableToEncodeJson UnknownErrorOnController UnknownErrorOnChannel PresenceRateLimitReached
    ClientPresenceRateLimitReached UnableToReplayMessages";

/// The metrics that are documented.
const METRICS: &str = "\
    beam_memory_allocated_bytes beam_memory_atom_total_bytes beam_memory_binary_total_bytes
    beam_memory_code_total_bytes beam_memory_ets_total_bytes beam_memory_persistent_term_total_bytes
    beam_memory_processes_total_bytes beam_stats_active_task_count beam_stats_atom_count
    beam_stats_context_switch_count beam_stats_ets_count beam_stats_gc_count
    beam_stats_gc_reclaimed_bytes beam_stats_port_count beam_stats_port_io_byte_count
    beam_stats_process_count beam_stats_reduction_count beam_stats_run_queue_count
    beam_stats_uptime_milliseconds_count dist_queue_size dist_recv_bytes dist_send_bytes
    dist_send_pending_bytes gen_rpc_queue_size_bytes gen_rpc_recv_bytes gen_rpc_send_bytes
    gen_rpc_send_pending_bytes osmon_cpu_avg1 osmon_cpu_avg15 osmon_cpu_avg5 osmon_cpu_util
    osmon_ram_usage phoenix_channel_joined_total phoenix_connections_total realtime_channel_db_events
    realtime_channel_error realtime_channel_events realtime_channel_global_db_events
    realtime_channel_global_events realtime_channel_global_presence_events realtime_channel_input_bytes
    realtime_channel_joins realtime_channel_output_bytes realtime_channel_presence_events
    realtime_connections_connected realtime_connections_connected_cluster realtime_global_rpc_count
    realtime_payload_size_bucket realtime_replication_poller_query_duration_bucket
    realtime_replication_poller_query_duration_count realtime_rpc_bucket
    realtime_tenants_broadcast_from_database_latency_committed_at_bucket
    realtime_tenants_broadcast_from_database_latency_inserted_at_bucket realtime_tenants_connected
    realtime_tenants_payload_size_bucket realtime_tenants_read_authorization_check_bucket
    realtime_tenants_read_authorization_check_count realtime_tenants_replay_bucket
    realtime_tenants_write_authorization_check_bucket";

/// The metrics that its code reports.
const REPORTED: &str = "\
    realtime_tenants_connected realtime_connections_global_connected
    realtime_connections_global_connected_cluster realtime_connections_connected
    realtime_connections_connected_cluster phoenix_connections_total phoenix_connections_active
    phoenix_connections_max realtime_channel_events realtime_channel_global_events
    realtime_channel_presence_events realtime_channel_global_presence_events realtime_channel_db_events
    realtime_channel_global_db_events realtime_channel_joins realtime_channel_global_joins
    realtime_channel_input_bytes realtime_channel_global_input_bytes realtime_channel_output_bytes
    realtime_channel_global_output_bytes realtime_channel_error realtime_channel_global_error
    realtime_tenants_payload_size realtime_payload_size realtime_broadcast_fanout_node_delivery_total
    realtime_broadcast_global_fanout_node_delivery_total realtime_replication_poller_query_duration
    realtime_tenants_broadcast_from_database_latency_committed_at
    realtime_tenants_broadcast_from_database_latency_inserted_at realtime_tenants_replay
    realtime_tenants_read_authorization_check realtime_tenants_write_authorization_check
    realtime_global_rpc phoenix_channel_handled_in_duration_milliseconds
    phoenix_socket_connected_duration_milliseconds phoenix_channel_joined_total
    realtime_subscriptions_manager_subscribers realtime_subscriptions_manager_dead_pid
    realtime_replication_poller_stop_total realtime_replication_poller_exception_total
    realtime_replication_poller_query_exception_total
    realtime_replication_poller_prepare_exception_total realtime_replication_poller_changes_dispatch
    realtime_replication_poller_changes_skip realtime_tenants_migrations_duration_milliseconds
    realtime_tenants_migrations_exceptions_total realtime_tenants_migrations_reconcile_total
    realtime_tenants_migrations_reconcile_exceptions_total osmon_cpu_util osmon_cpu_avg1 osmon_cpu_avg5
    osmon_cpu_avg15 osmon_ram_usage gen_rpc_queue_size_bytes gen_rpc_recv_bytes gen_rpc_recv_count
    gen_rpc_send_bytes gen_rpc_send_count gen_rpc_send_pending_bytes dist_queue_size dist_recv_bytes
    dist_recv_count dist_send_bytes dist_send_count dist_send_pending_bytes muster_node_status
    beam_memory_allocated_bytes beam_memory_atom_total_bytes beam_memory_code_total_bytes
    beam_memory_persistent_term_total_bytes beam_memory_binary_total_bytes beam_memory_ets_total_bytes
    beam_memory_processes_total_bytes beam_stats_process_count beam_stats_port_count
    beam_stats_ets_count beam_stats_atom_count beam_stats_uptime_milliseconds_count
    beam_stats_port_io_byte_count beam_stats_gc_count beam_stats_gc_reclaimed_bytes
    beam_stats_reduction_count beam_stats_context_switch_count beam_stats_active_task_count
    beam_stats_run_queue_count beam_system_version_info beam_system_smp_support_info
    beam_system_jit_support_info beam_system_thread_support_info
    beam_system_time_correction_support_info beam_system_word_size_bytes_info
    beam_system_dirty_cpu_schedulers_info beam_system_dirty_cpu_schedulers_online_info
    beam_system_dirty_io_schedulers_info beam_system_schedulers_info beam_system_schedulers_online_info
    beam_system_logical_processors_info beam_system_logical_processors_available_info
    beam_system_logical_processors_online_info beam_system_ets_limit_info beam_system_port_limit_info
    beam_system_process_limit_info beam_system_thread_pool_size_info beam_system_atom_limit_info";

/// The labels that its code adds to them, and no metric here has.
const LABELS: [&str; 5] = ["host", "id", "origin_node", "platform_region", "target_node"];

/// What ends the name of a series of a histogram.
const SERIES: [&str; 2] = ["_bucket", "_count"];

/// The names in the first column of the page's tables.
fn documented(page: &str) -> HashSet<&str> {
    page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect()
}

#[test]
fn every_code_and_metric_that_upstream_documents_or_reports_is_on_the_page() {
    let page = reference();
    let names = documented(&page);
    let is_missing = |name: &&str| {
        let histogram = SERIES.iter().find_map(|series| name.strip_suffix(series));
        !names.contains(name) && !histogram.is_some_and(|name| names.contains(name))
    };
    let missing: Vec<_> =
        [CODES, METRICS, REPORTED].into_iter().flat_map(str::split_whitespace).filter(is_missing).collect();
    assert_eq!(missing, Vec::<&str>::new());
}

#[test]
fn every_label_that_only_upstream_has_is_on_the_page_with_a_reason() {
    let page = reference();
    let (_, section) = page.split_once("\n## Labels of Supabase Realtime\n").expect("its section");
    let (section, _) = section.split_once("\n## ").expect("a section after it");
    for label in LABELS {
        let row = section.lines().find(|line| line.starts_with(&format!("| `{label}` |")));
        assert!(row.is_some_and(|row| row.contains("| none")), "{label}: {row:?}");
        assert!(
            !page.lines().any(|line| line.starts_with("| `") && line.contains(&format!(", `{label}` |")))
        );
    }
}

#[test]
fn what_is_named_instead_exists_here() {
    let page = reference();
    let (here, there) = page.split_once("\n## Names of Supabase Realtime\n").expect("its section");
    let reported = documented(here);
    assert!(reported.len() > Code::ALL.len());
    let mut rows = 0;
    for row in there.lines().filter_map(|line| line.strip_prefix("| `")) {
        let (name, instead) = row.split_once("` | ").expect("more columns");
        assert!(!reported.contains(name), "{name} is reported");
        for other in instead.split('`').skip(1).step_by(2) {
            assert!(reported.contains(other), "{name}: {other}");
        }
        rows += 1;
    }
    assert!(rows > 50, "{rows}");
}
