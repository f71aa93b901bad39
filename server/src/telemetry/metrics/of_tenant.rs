//! The metrics of one tenant.

use super::all_tenants::CommonMetrics;
use crate::telemetry::fan_out::combined;

metrics! {
    /// Metrics of one tenant; each carries the label `tenant`.
    pub struct TenantMetrics {
        /// Sockets with at least one joined channel.
        pub connected: Gauge = "realtime_connections_connected",
        /// Sockets with at least one joined channel on all nodes, those of the others about a second ago. Zero while this node has none.
        pub connected_cluster: Gauge = "realtime_connections_connected_cluster",
        /// Joins that passed the join limit.
        pub joins: Counter = "realtime_channel_joins",
        /// Broadcasts accepted from clients and HTTP, plus every delivery to a member.
        pub events: Counter = "realtime_channel_events",
        /// Presence calls accepted, plus every presence message delivered to a member.
        pub presence_events: Counter = "realtime_channel_presence_events",
        /// Changes of tables sent to channels, once for each of their subscriptions that match.
        pub db_events: Counter = "realtime_channel_db_events",
        /// Bytes read from sockets.
        pub input_bytes: Counter = "realtime_channel_input_bytes",
        /// Bytes written to sockets.
        pub output_bytes: Counter = "realtime_channel_output_bytes",
        /// Messages dropped because an outbox was full.
        pub outbox_dropped: Counter = "realtime_outbox_dropped_total",
        /// Rows of realtime.messages in the database of the tenant that were not sent to members, because a value was missing, the payload was too large, or a rate was reached (UnableToBroadcastChanges).
        pub database_dropped: Counter = "realtime_database_broadcasts_dropped_total",
        /// Messages with changes of tables that were queued for clients.
        pub changes_sent: Counter = "realtime_changes_sent_total",
        /// Messages with changes of tables that were dropped because the client reads too slowly; it is notified.
        pub changes_missed: Counter = "realtime_changes_missed_total",
        /// Messages with changes of tables that were dropped because limits.max_events_per_second was reached; clients are notified.
        pub changes_over_rate: Counter = "realtime_changes_over_rate_total",
        /// Changes of tables that were dropped because the database could not say who may see them.
        pub changes_dropped: Counter = "realtime_changes_dropped_total",
        /// Notices to channels that changes of tables may have been missed.
        pub changes_gap_notices: Counter = "realtime_changes_gap_notices_total",
        /// Changed rows that were sent without their generated columns, and values that were sent as their text instead of their JSON, because the database could not be asked for them.
        pub changes_incomplete: Counter = "realtime_changes_incomplete_total",
        /// Messages of members that were not sent to the other nodes, because the tenant's share of the queue (bus.max_frames, bus.max_bytes) was full or Redis could not be reached. Its part of realtime_bus_unsent_total.
        pub bus_unsent: Counter = "realtime_tenants_bus_unsent_total",
        /// Broadcasts that rooms did not keep, or not as long as broadcast.history allows: they were larger than max_bytes, or there was no memory (server.memory_budget).
        pub history_dropped: Counter = "realtime_history_dropped_total",
        /// Messages of clients that could not be decoded and were dropped.
        pub malformed: Counter = "realtime_malformed_messages_total",
        /// Requests for the key set at auth.jwks_url.
        pub jwks_fetches: Counter = "realtime_jwks_fetches_total",
        /// Requests for the key set at auth.jwks_url that returned no keys; the keys fetched before stay in use.
        pub jwks_failures: Counter = "realtime_jwks_failures_total",
    }
}

metrics! {
    /// Metrics of the database of one tenant; each carries the label `tenant`.
    pub struct DatabaseMetrics {
        /// Connections of the pool (database.max_connections) that are open.
        pub connections: Gauge = "realtime_database_connections",
        /// Connections of the pool (database.max_connections) that something is asked on.
        pub connections_in_use: Gauge = "realtime_database_connections_in_use",
        /// Bytes of the log of the database whose changes of tables this node has not handled yet; 0 while it does not read them.
        pub changes_lag: Gauge = "realtime_changes_lag_bytes",
        /// Channels on this node that subscribe to changes of tables.
        pub changes_subscriptions: Gauge = "realtime_changes_subscriptions",
        /// Channels on this node that subscribe to changes of tables, as realtime_changes_subscriptions.
        pub changes_subscribers: Gauge = "realtime_subscriptions_manager_subscribers",
        /// 1 while a slot in the database keeps changes that no node reads (changes.durable), else 0.
        pub changes_durable: Gauge = "realtime_changes_durable",
        /// Bytes of the log of the database that this slot retains.
        pub changes_durable_retained: Gauge = "realtime_changes_durable_retained_bytes",
        /// Time from the commit of a transaction until its changes were queued for clients, in seconds, by the clocks of the database and of this node. One sample for each part that is handled together.
        pub changes_delay: Histogram = "realtime_changes_delay_seconds",
        /// Time from the receipt of a part of the log until its changes were queued for clients, in milliseconds.
        pub batch_times: Histogram = "realtime_replication_poller_query_duration",
        /// Changes of tables that were sent to at least one channel, or would have been without a limit of rate.
        pub changes_dispatched: Counter = "realtime_replication_poller_changes_dispatch",
        /// Sessions that read changes of tables from the log, and have failed.
        pub changes_failures: Counter = "realtime_replication_poller_exception_total",
        /// Times the log could not be read for changes of tables: a slot, a right or a publication is missing.
        pub changes_unprepared: Counter = "realtime_replication_poller_prepare_exception_total",
        /// How long it took to find out which rows clients may see, in seconds, for each part that is handled together and each table with row level security.
        pub changes_lookups: Histogram = "realtime_changes_lookup_duration_seconds",
        /// Comparisons of rows with filters that only the database can make.
        pub changes_comparisons: Counter = "realtime_changes_comparisons_total",
        /// Filters, and policies of a table for the claims of clients, that took too long: they hide rows for `changes.slow_query_pause`.
        pub changes_exclusions: Counter = "realtime_changes_exclusions_total",
        /// Questions for the rights of clients in private rooms. Clients with the same question share one.
        pub questions: Counter = "realtime_database_questions_total",
        /// Questions for the rights of clients in private rooms whose answer was that the client may do nothing.
        pub questions_denied: Counter = "realtime_database_questions_denied_total",
        /// Questions for the rights of clients in private rooms that were not answered: the database could not be used, no connection was free, or a policy failed.
        pub questions_failed: Counter = "realtime_database_questions_failed_total",
        /// Time from the commit of a row of realtime.messages until it was queued for members, in milliseconds, by the clocks of the database and of this node.
        pub broadcast_since_commit: Histogram = "realtime_tenants_broadcast_from_database_latency_committed_at",
        /// Time from inserted_at of a row of realtime.messages, which is the begin of its transaction unless it was set, until it was queued for members, in milliseconds.
        pub broadcast_since_insert: Histogram = "realtime_tenants_broadcast_from_database_latency_inserted_at",
        /// How long questions for the rights of clients in private rooms took, in milliseconds, the wait for a connection included. Read and write are asked at once, so both have the same times.
        pub read_authorization_check: Histogram = "realtime_tenants_read_authorization_check",
        /// Questions for the rights of clients in private rooms, with the times of realtime_tenants_read_authorization_check.
        pub write_authorization_check: Histogram = "realtime_tenants_write_authorization_check",
    }
}

metrics! {
    /// Metrics of the joins of one tenant that ask for earlier messages; each carries the label `tenant`.
    pub struct ReplayMetrics {
        /// How long joins waited for the earlier messages that they ask for, in milliseconds, the wait for a connection to the database included.
        pub times: Histogram = "realtime_tenants_replay",
        /// Earlier messages that were sent to joins that ask for them.
        pub messages: Counter = "realtime_replayed_messages_total",
        /// Joins that were refused because the earlier messages that they ask for could not be read (UnableToReplayMessages).
        pub failed: Counter = "realtime_replays_failed_total",
        /// Joins that may lack earlier messages that they asked for: what was kept does not reach back to those that they have, or there were too many.
        pub incomplete: Counter = "realtime_replays_incomplete_total",
    }
}

impl TenantMetrics {
    /// The same, counted in those of all tenants too.
    pub(super) fn counted_in(self, common: &CommonMetrics) -> Self {
        let totals = &common.totals;
        Self {
            joins: combined(&self.joins, &totals.joins),
            events: combined(&self.events, &totals.events),
            presence_events: combined(&self.presence_events, &totals.presence_events),
            db_events: combined(&self.db_events, &totals.db_events),
            input_bytes: combined(&self.input_bytes, &totals.input_bytes),
            output_bytes: combined(&self.output_bytes, &totals.output_bytes),
            ..self
        }
    }
}
