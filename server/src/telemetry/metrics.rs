//! Every metric the server publishes.
//!
//! Names are upstream's where the thing means the same here, so that existing dashboards work, and begin
//! with `realtime_` otherwise. A label has few values: a tenant, never a topic or a user. What is not set
//! where it changes (connections, rooms) is sampled, in `node/gauges.rs`.

mod lazy;

use std::sync::Arc;
use std::time::Instant;

use hub::MemoryKind;
use metrics::{Key, Label, Level, Metadata, Recorder};
use parking_lot::Mutex;
use settings::Telemetry;

pub use self::lazy::LazyTenantMetrics;
use super::fan_out::{Exporter, FanOut};
use super::line_limits::LineLimits;
use super::process::ProcessMetrics;
use super::reports::{LIMITS_REFUSED, Reports, WeakReports};
use crate::version::{COMMIT, VERSION};

metrics! {
    /// Metrics of the whole process.
    pub struct NodeMetrics {
        /// Open TCP connections of the listener.
        pub connections_total: Gauge = "phoenix_connections_total",
        /// WebSocket connections, which count towards the limit.
        pub connections_active: Gauge = "phoenix_connections_active",
        /// WebSocket connections allowed at once (server.max_connections, fewer if server.open_files is too low).
        pub connections_max: Gauge = "phoenix_connections_max",
        /// Sockets with at least one joined channel, of all tenants.
        pub users: Gauge = "realtime_connections_global_connected",
        /// Tenants with such a socket.
        pub tenants: Gauge = "realtime_tenants_with_clients",
        /// Tenants that something happened to in the last ten minutes, and whose series are left out because those of so many others are shown (telemetry.tenant_metrics).
        pub tenants_unshown: Gauge = "realtime_tenants_without_series",
        /// Tenants whose database this node is connected to.
        pub databases: Gauge = "realtime_tenants_connected",
        /// Rooms with at least one member.
        pub rooms: Gauge = "realtime_rooms",
        /// Memberships: a connection in three rooms counts three times.
        pub members: Gauge = "realtime_members",
        /// Broadcasts that rooms on this node keep for members that join later (broadcast.history). What they take is in realtime_memory_used_bytes, of the kind history.
        pub history_messages: Gauge = "realtime_history_messages",
        /// Handshakes refused because the server was full.
        pub connections_refused: Counter = "realtime_connections_refused_total",
        /// Handshakes refused because their address had the maximum number of connections (server.max_connections_per_address).
        pub connections_refused_by_address: Counter = "realtime_connections_refused_by_address_total",
        /// TCP connections refused because the server had as many as it may have (server.max_connections and 1,024 more, fewer if server.open_files is too low), or no memory for one more (server.memory_budget).
        pub sockets_refused: Counter = "realtime_sockets_refused_total",
        /// TCP connections refused because their address had the maximum of those that are not WebSockets (server.max_sockets_per_address).
        pub sockets_refused_by_address: Counter = "realtime_sockets_refused_by_address_total",
        /// TCP connections closed while they waited for a request, to make room for others.
        pub sockets_closed_early: Counter = "realtime_sockets_closed_early_total",
        /// Connections from load balancers that did not begin with a PROXY protocol header (server.proxy_protocol_from).
        pub proxy_protocol_refused: Counter = "realtime_proxy_protocol_refused_total",
        /// TLS handshakes that failed or took too long.
        pub tls_handshakes_failed: Counter = "realtime_tls_handshakes_failed_total",
        /// 1 while the files of server.tls cannot be used, so that the previous certificate stays in use; else 0.
        pub tls_reload_failed: Gauge = "realtime_tls_reload_failed",
        /// When the first certificate of server.tls expires, in seconds since 1970; 0 without TLS.
        pub tls_certificate_expiry: Gauge = "realtime_tls_certificate_expiry_timestamp_seconds",
        /// Generation of the settings: 1 at the start, one more with each reload.
        pub settings_generation: Gauge = "realtime_settings_generation",
        /// 1 while the newest settings are refused and the previous ones stay in effect, else 0.
        pub settings_reload_failed: Gauge = "realtime_settings_reload_failed",
        /// Settings keys whose new value takes effect only after a restart.
        pub settings_pending: Gauge = "realtime_settings_pending",
        /// Log lines dropped because the output was written too slowly and the queue was full (telemetry.log_queue_lines).
        pub log_lines_dropped: Counter = "realtime_log_lines_dropped_total",
        /// Memory that this process may use, in bytes: server.memory_budget, or half of what the container or the machine has.
        pub memory_budget: Gauge = "realtime_memory_budget_bytes",
        /// Memory that clients may use, in bytes: what realtime_memory_budget_bytes leaves beside the process itself and the allocator.
        pub memory_limit: Gauge = "realtime_memory_limit_bytes",
        /// Bytes that the kernel may hold for connections, beyond the 256 KiB that each has in any case (server.socket_buffer_budget).
        pub socket_buffers: Gauge = "realtime_socket_buffers_bytes",
        /// Log lines that clients caused and that were summed up or left out, because there were too many (telemetry.log_lines_unverified, telemetry.log_lines_per_tenant, telemetry.log_bytes_per_second).
        pub log_lines_suppressed: Counter = "realtime_log_lines_suppressed_total",
        /// 1 while the store of tenants can be used, else 0.
        pub store_connected: Gauge = "realtime_store_connected",
        /// Seconds since the server started.
        pub uptime_seconds: Gauge = "realtime_uptime_seconds",
    }
}

metrics! {
    /// Metrics of one kind of memory; each carries the label `kind`.
    pub struct MemoryMetrics {
        /// Memory that clients use, in bytes, by kind: connections, receiving, sessions, held, sending, presence, history. Small messages are counted while they stay: received in part, or not read by their receiver.
        pub used: Gauge = "realtime_memory_used_bytes",
        /// Messages, bodies and frames refused or dropped because the memory of their tenant was used up (server.memory_budget), by kind. For each tenant in realtime_limits_refused_total, and frames of the kind sending in realtime_outbox_dropped_total.
        pub refused: Counter = "realtime_memory_refused_total",
    }
}

metrics! {
    /// Metrics of the link to the other nodes.
    pub struct BusMetrics {
        /// 1 while this node exchanges messages with the other nodes, else 0. Always 0 without a bus.
        pub connected: Gauge = "realtime_bus_connected",
        /// 1 while this node shares presence with the other nodes, else 0. A connected node has 0 while Redis refuses the commands that store or read presence. Always 0 without a bus.
        pub presence_shared: Gauge = "realtime_bus_presence_shared",
        /// Rooms on this node whose presence is not shared with the other nodes, while that of other rooms is: Redis refuses something about them, their tenant has stored bus.max_presence_bytes_per_tenant, or it has no memory left for what other nodes show (server.memory_budget). Each is tried again after one renewal, two, four and so on, at most two leases apart.
        pub presence_failing_rooms: Gauge = "realtime_bus_presence_failing_rooms",
        /// Times the presence of a single room could not be shared for such a reason, or had to be stored again because Redis had evicted it. The log has some of the rooms.
        pub room_errors: Counter = "realtime_bus_room_errors_total",
        /// Stored presence of rooms that was deleted or evicted in Redis, and was stored again.
        pub evicted: Counter = "realtime_bus_evicted_total",
        /// Times a key under bus.prefix in Redis was of another type than it should be. It is deleted and stored again.
        pub wrong_types: Counter = "realtime_bus_wrong_types_total",
        /// Times the connection to the bus was established again after it was lost.
        pub reconnects: Counter = "realtime_bus_reconnects_total",
        /// Messages of members published to the other nodes.
        pub published: Counter = "realtime_bus_published_total",
        /// Messages of members received from other nodes.
        pub received: Counter = "realtime_bus_received_total",
        /// Messages of members that were not sent to Redis, because the share of their tenant in the queue was full or Redis could not be reached. For each tenant in realtime_tenants_bus_unsent_total.
        pub unsent: Counter = "realtime_bus_unsent_total",
        /// Messages of members that had been sent to Redis, without a reply yet, when the connection was lost. Other nodes count those that they did not receive in realtime_bus_missed_total.
        pub unconfirmed: Counter = "realtime_bus_unconfirmed_total",
        /// Messages of members that Redis refused to keep for members that join later (broadcast.history). They were published.
        pub unkept: Counter = "realtime_bus_unkept_total",
        /// Messages that another node sent to Redis for a room this node is subscribed to, and that this node did not receive, for any reason (lost connection, full buffer). Detected by gaps in sequence numbers, at the next message of that node in the room or, at the latest, when both nodes are connected again. Messages before the first one received from a node in a room are not counted, unless that node began to publish there while this one was disconnected.
        pub missed: Counter = "realtime_bus_missed_total",
        /// Messages of other nodes, of any kind, that were dropped on receipt because the share of their tenant in the queue was full. Messages of members among them are counted in realtime_bus_missed_total as well.
        pub unheard: Counter = "realtime_bus_unheard_total",
        /// Messages of other nodes that this node cannot decode, because they run another version, and numbers that no node can have published.
        pub unread: Counter = "realtime_bus_unread_total",
        /// Rooms this node is subscribed to.
        pub subscriptions: Gauge = "realtime_bus_subscriptions",
        /// Live nodes, this one included.
        pub nodes: Gauge = "realtime_bus_nodes",
    }
}

metrics! {
    /// Metrics of one tenant; each carries the label `tenant`.
    pub struct TenantMetrics {
        /// Sockets with at least one joined channel.
        pub connected: Gauge = "realtime_connections_connected",
        /// Joins that passed the join limit.
        pub joins: Counter = "realtime_channel_joins",
        /// Broadcasts accepted from clients and HTTP, plus every delivery to a member.
        pub events: Counter = "realtime_channel_events",
        /// Presence calls accepted, plus every presence message delivered to a member.
        pub presence_events: Counter = "realtime_channel_presence_events",
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
        /// Size of broadcast payloads, in bytes.
        pub payload_size: Histogram = "realtime_tenants_payload_size",
    }
}

metrics! {
    /// Metrics of the database of one tenant; each carries the label `tenant`.
    pub struct DatabaseMetrics {
        /// Connections of the pool (database.max_connections) that are open.
        pub connections: Gauge = "realtime_database_connections",
        /// Those of them that something is asked on.
        pub connections_in_use: Gauge = "realtime_database_connections_in_use",
        /// Bytes of the log of the database whose changes of tables this node has not handled yet; 0 while it does not read them.
        pub changes_lag: Gauge = "realtime_changes_lag_bytes",
        /// Channels on this node that subscribe to changes of tables.
        pub changes_subscriptions: Gauge = "realtime_changes_subscriptions",
        /// 1 while a slot in the database keeps changes that no node reads (changes.durable), else 0.
        pub changes_durable: Gauge = "realtime_changes_durable",
        /// Bytes of the log of the database that this slot retains.
        pub changes_durable_retained: Gauge = "realtime_changes_durable_retained_bytes",
        /// Time from the commit of a transaction until its changes were queued for clients, in milliseconds, by the clocks of the database and of this node. One sample for each part that is handled together.
        pub changes_delay: Histogram = "realtime_changes_delay",
        /// How long it took to find out which rows clients may see, in milliseconds, for each part that is handled together and each table with row level security.
        pub changes_lookups: Histogram = "realtime_changes_lookups",
        /// Comparisons of rows with filters that only the database can make.
        pub changes_comparisons: Counter = "realtime_changes_comparisons_total",
        /// Filters, and policies of a table for the claims of clients, that took too long: they hide rows for a minute.
        pub changes_exclusions: Counter = "realtime_changes_exclusions_total",
        /// Questions for the rights of clients in private rooms. Clients with the same question share one.
        pub questions: Counter = "realtime_database_questions_total",
        /// Those of them whose answer was that the client may do nothing.
        pub questions_denied: Counter = "realtime_database_questions_denied_total",
        /// Those of them that were not answered: the database could not be used, no connection was free, or a policy failed.
        pub questions_failed: Counter = "realtime_database_questions_failed_total",
        /// How long questions took, in milliseconds, the wait for a connection included. Read and write are asked at once, so both have the same times.
        pub read_authorization_check: Histogram = "realtime_tenants_read_authorization_check",
        /// As realtime_tenants_read_authorization_check.
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

/// The metric whose labels identify the build.
const BUILD_INFO: &str = "realtime_build_info";

/// Counters that have a series once an operational code was reported, with their labels and help texts.
pub(super) const CODE_COUNTERS: [(&str, &[&str], &str); 4] = [
    (
        "realtime_codes_total",
        &["tenant", "code"],
        "Operational codes reported, including those whose log line was suppressed.",
    ),
    (
        LIMITS_REFUSED,
        &["tenant", "setting"],
        "Handshakes, joins, messages and requests refused because a limit was reached, by the setting that has the limit. What a slow reader loses is counted in realtime_outbox_dropped_total.",
    ),
    ("realtime_channel_error", &["tenant", "code"], "Errors of channels and joins, by operational code."),
    (
        "realtime_channel_global_error",
        &["code"],
        "Errors of channels and joins of all tenants, by operational code.",
    ),
];

/// The metrics of one server, registered with each of its exporters.
pub struct Metrics {
    recorder: Arc<FanOut>,
    /// All reports made by [`Metrics::reports`]: those of the node, of the link, and of each tenant.
    reports: Mutex<Vec<WeakReports>>,
    /// The limits of log lines that clients cause.
    pub line_limits: Arc<LineLimits>,
    /// Metrics of the whole process.
    pub node: NodeMetrics,
    /// Metrics of each kind of memory.
    pub memory: [MemoryMetrics; MemoryKind::COUNT],
    /// Metrics of the link to the other nodes.
    pub bus: BusMetrics,
    /// Metrics of the process, as the operating system reports them.
    pub process: ProcessMetrics,
}

impl Metrics {
    /// Registers and describes every metric that has no tenant, each at zero.
    pub fn new(exporters: Vec<Exporter>) -> Self {
        let recorder = FanOut::new(exporters);
        let node = NodeMetrics::register(&recorder, &[]);
        for (name, _labels, help) in CODE_COUNTERS {
            recorder.describe_counter(name.into(), None, help.into());
        }
        recorder.describe_gauge(
            BUILD_INFO.into(),
            None,
            "Version and commit of the build, as labels; always 1.".into(),
        );
        let build = vec![Label::new("version", VERSION), Label::new("commit", COMMIT)];
        let build = Key::from_parts(BUILD_INFO, build);
        recorder.register_gauge(&build, &Metadata::new(module_path!(), Level::INFO, None)).set(1.0);
        let (bus, process) = (BusMetrics::register(&recorder, &[]), ProcessMetrics::register(&recorder, &[]));
        let memory = MemoryKind::ALL
            .map(|kind| MemoryMetrics::register(&recorder, &[Label::new("kind", kind.word())]));
        let (line_limits, reports) = (Arc::new(LineLimits::new(&Telemetry::default())), Mutex::default());
        Self { node, memory, bus, process, line_limits, reports, recorder: Arc::new(recorder) }
    }

    /// The metrics of `tenant`.
    pub fn tenant(&self, tenant: Arc<str>) -> LazyTenantMetrics {
        LazyTenantMetrics::new(tenant, Arc::clone(&self.recorder))
    }

    /// Reports about `tenant`, or about no tenant in particular.
    pub fn reports(&self, tenant: Option<&str>) -> Reports {
        let reports =
            Reports::new(tenant, Arc::clone(&self.recorder) as Arc<_>, Arc::clone(&self.line_limits));
        self.reports.lock().push(reports.downgrade());
        reports
    }

    /// Lines that clients caused and that were not written.
    pub fn lines_suppressed(&self) -> u64 {
        self.line_limits.suppressed()
    }

    /// Writes how many lines were not written, for the kinds whose time is over.
    pub fn write_line_summaries(&self) {
        let now = Instant::now();
        self.line_limits.write_summaries(now);
        // Taken out, because a summary is written meanwhile.
        let mut reports = std::mem::take(&mut *self.reports.lock());
        reports.retain(|reports| reports.write_summaries(now));
        self.reports.lock().append(&mut reports);
    }
}
