//! Every metric the server publishes.
//!
//! Names are upstream's where the thing means the same here, so that existing dashboards work, and begin
//! with `realtime_` otherwise. A label has few values: a tenant, never a topic or a user. What is not set
//! where it changes (connections, rooms) is sampled, in `node/gauges.rs`.

mod all_tenants;
mod documents;
mod hops;
mod http;
mod lazy;
mod migrations;
mod of_tenant;
mod reasons;

use std::sync::Arc;
use std::time::Instant;

use hub::MemoryKind;
use metrics::{Key, Label, Level, Metadata, Recorder};
use parking_lot::Mutex;
use settings::{MetricsFormat, Telemetry};

pub use self::all_tenants::{Answered, CommonMetrics, Hit, MessageType};
pub use self::documents::DocumentMetrics;
pub use self::hops::BusHops;
pub use self::http::HttpRequests;
pub use self::lazy::LazyTenantMetrics;
pub use self::migrations::MigrationFailure;
pub use self::of_tenant::{DatabaseMetrics, ReplayMetrics, TenantMetrics};
pub use self::reasons::ReasonCounter;
use super::fan_out::{Exporter, FanOut};
use super::line_limits::LineLimits;
use super::machine::Machine;
use super::process::ProcessMetrics;
use super::reports::{LIMITS_REFUSED, Reports, WeakReports};
use super::runtime_names::BeamMetrics;
use super::span_metrics::SpanMetrics;
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
        /// Sockets with at least one joined channel, of all tenants on all nodes; those of the others about a second ago.
        pub users_cluster: Gauge = "realtime_connections_global_connected_cluster",
        /// Tenants with at least one socket that has joined a channel.
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
        /// Credentials of the newest settings that are refused, so that those before stay in use: of the store, of Redis, and of the database of each tenant that this node uses.
        pub credentials_refused: Gauge = "realtime_credentials_refused",
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
        /// Requests with metrics that were sent to telemetry.push.url, two each interval.
        pub metrics_pushes: Counter = "realtime_metrics_pushes_total",
        /// Requests with metrics that were not accepted with a status 2xx in time (telemetry.push.timeout), and are not sent again.
        pub metrics_push_failures: Counter = "realtime_metrics_push_failures_total",
        /// Requests with metrics to CloudWatch (telemetry.cloudwatch), each of which the AWS SDK may send three times.
        pub cloudwatch_requests: Counter = "realtime_cloudwatch_requests_total",
        /// Requests with metrics to CloudWatch that were not accepted in time (telemetry.cloudwatch.timeout). What they had is sent with the next ones.
        pub cloudwatch_failures: Counter = "realtime_cloudwatch_failures_total",
        /// Metrics that are left out of what is sent to CloudWatch, because it has as many as it may have (telemetry.cloudwatch.max_metrics), each combination of dimensions counted.
        pub cloudwatch_left_out: Gauge = "realtime_cloudwatch_left_out",
        /// 1 while the store of tenants can be used, else 0.
        pub store_connected: Gauge = "realtime_store_connected",
        /// Seconds since the server started.
        pub uptime_seconds: Gauge = "realtime_uptime_seconds",
    }
}

metrics! {
    /// Metrics of one kind of memory; each carries the label `kind`.
    pub struct MemoryMetrics {
        /// Memory that clients use, in bytes, by kind: connections, receiving, sessions, held, sending, presence, history, documents. Small messages are counted while they stay: received in part, or not read by their receiver.
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

/// The metric whose labels identify the build.
const BUILD_INFO: &str = "realtime_build_info";

/// Counters that have a series once an operational code was reported, with their labels and help texts.
pub(in crate::telemetry) const CODE_COUNTERS: [(&str, &[&str], &str); 4] = [
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
    /// What is measured of all tenants together.
    pub common: Arc<CommonMetrics>,
    /// Times of HTTP requests.
    pub http: HttpRequests,
    /// Metrics of each kind of memory.
    pub memory: [MemoryMetrics; MemoryKind::COUNT],
    /// Metrics of the link to the other nodes.
    pub bus: BusMetrics,
    /// Times of messages to the other nodes.
    pub hops: BusHops,
    /// Shared documents.
    pub documents: DocumentMetrics,
    /// Metrics of spans.
    pub spans: SpanMetrics,
    /// Metrics of the process, as the operating system reports them.
    pub process: ProcessMetrics,
    /// Metrics of the machine.
    pub machine: Machine,
    /// Under the names of upstream's runtime, if the settings ask for these.
    pub beam: Option<BeamMetrics>,
}

impl Metrics {
    /// Registers and describes every metric that has no tenant, each at zero.
    pub fn new(exporters: Vec<Exporter>) -> Self {
        Self::in_format(exporters, MetricsFormat::Prometheus)
    }

    /// The same, with the names that belong to this format.
    pub fn in_format(exporters: Vec<Exporter>, format: MetricsFormat) -> Self {
        let recorder = Arc::new(FanOut::new(exporters));
        for (name, _labels, help) in CODE_COUNTERS {
            recorder.describe_counter(name.into(), None, help.into());
        }
        for (name, help) in ReasonCounter::ALL.map(ReasonCounter::description) {
            recorder.describe_counter(name.into(), None, help.into());
        }
        note_build(&recorder);
        let beam = (format == MetricsFormat::Supabase).then(|| BeamMetrics::register(&*recorder, &[]));
        let memory = MemoryKind::ALL
            .map(|kind| MemoryMetrics::register(&*recorder, &[Label::new("kind", kind.word())]));
        Self {
            reports: Mutex::default(),
            line_limits: Arc::new(LineLimits::new(&Telemetry::default())),
            node: NodeMetrics::register(&*recorder, &[]),
            common: Arc::new(CommonMetrics::register(&*recorder, format)),
            http: HttpRequests::new(&recorder),
            memory,
            bus: BusMetrics::register(&*recorder, &[]),
            hops: BusHops::register(&*recorder),
            documents: DocumentMetrics::register(&*recorder, &[]),
            spans: SpanMetrics::register(&*recorder),
            process: ProcessMetrics::register(&*recorder, &[]),
            machine: Machine::register(&*recorder),
            beam,
            recorder,
        }
    }

    /// The metrics of `tenant`.
    pub fn tenant(&self, tenant: Arc<str>) -> LazyTenantMetrics {
        LazyTenantMetrics::new(tenant, Arc::clone(&self.recorder), Arc::clone(&self.common))
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

/// Registers the metric whose labels identify the build.
fn note_build(recorder: &FanOut) {
    let help = "Version and commit of the build, as labels; always 1.";
    recorder.describe_gauge(BUILD_INFO.into(), None, help.into());
    let labels = vec![Label::new("version", VERSION), Label::new("commit", COMMIT)];
    let metadata = Metadata::new(module_path!(), Level::INFO, None);
    recorder.register_gauge(&Key::from_parts(BUILD_INFO, labels), &metadata).set(1.0);
}
