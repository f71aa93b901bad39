//! What all parts of this process share: identity, lifecycle, settings, hub, tenants.

mod authentication;
mod cluster;
mod databases;
mod document_counts;
mod gauges;
mod http_refusal;
mod keys;
mod lifecycle;
mod memory_limit;
mod memory_remarks;
mod open_files;
mod queue_memory;
mod readiness;
mod reloading;
mod socket_buffers;
mod sockets;
mod store_status;

pub use authentication::{Authenticated, AuthenticationError, NotAuthenticated};
pub use document_counts::{DocumentCounts, LoadedDocument, SaveFailure};
pub use http_refusal::{HttpRefusal, SUSPENDED, UNAUTHORIZED, UNKNOWN_TENANT};
pub use keys::{NoVerificationKey, unusable_keys};
pub use lifecycle::{Lifecycle, LifecyclePhase, Urgency};
pub use memory_limit::MemoryLimit;
pub use memory_remarks::memory_remarks;
pub use open_files::OpenFiles;
pub use queue_memory::{bus_queue_bounds, queue_memory};
pub use readiness::Readiness;
pub use reloading::{ChangedKeys, Outcome, Reload, Reloading, SettingsStatus};
pub use socket_buffers::{BufferGrant, SocketBuffers};
pub use sockets::SPARE_SOCKETS;
pub use store_status::{MigrationCounts, StoreState, StoreStatus};

use std::net::SocketAddr;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Instant;

use arc_swap::{ArcSwap, Guard};
use http::{HeaderMap, Uri};
use hub::{Hub, HubBuilder, MemoryBudget, NodeId, TenantMemory};
use parking_lot::Mutex;
use settings::{CloudWatch, MetricsPush, Settings};
use tokio::sync::watch;

use crate::auth::jwks::JwksSources;
use crate::auth::{Operators, UnverifiedCallers};
use crate::bus::{ClusterLink, Connectivity, DocumentPeers};
use crate::permit::Permits;
use crate::store::{EncryptionKeys, StoreKind, TenantStore};
use crate::telemetry::codes::{Code, Scope};
use crate::telemetry::export_status::Exports;
use crate::telemetry::fan_out::Exporter;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::prometheus::Prometheus;
use crate::telemetry::reports::Reports;
use crate::telemetry::traces::{ReportTraces, Traces};
use crate::tenants::{Registry, SourceUnavailable, StoredTenants, Tenant, UnknownHost};
use crate::workers::Offload;

/// One running server: the parts that all layers above share. A slice with state of its own keeps it in `Services`.
pub struct Node {
    /// Identifies this run of this process among the nodes of a cluster.
    pub id: NodeId,
    /// When it started.
    pub started: Instant,
    /// In which phase of its life it is.
    pub lifecycle: Lifecycle,
    settings: ArcSwap<Settings>,
    /// The status of the settings, and how to reload them.
    pub reloading: Reloading,
    operators: ArcSwap<Operators>,
    /// The rooms.
    pub hub: Arc<Hub>,
    /// The owners of rooms.
    pub tenants: Registry,
    /// Those of them that the store has.
    pub stored_tenants: StoredTenants,
    /// The state of the store.
    pub store: StoreState,
    /// Shared documents.
    pub documents: Arc<DocumentCounts>,
    databases: databases::DatabasesSlot,
    document_peers: OnceLock<Weak<dyn DocumentPeers>>,
    /// Limits the callers without a valid token.
    pub unverified: UnverifiedCallers,
    /// The link to the other nodes.
    pub link: ClusterLink,
    /// The memory that tenants share.
    pub memory: Arc<MemoryBudget>,
    memory_limit: Mutex<MemoryLimit>,
    /// Bytes set aside for queues that tenants share. Their bounds are those of the start.
    queue_memory: usize,
    /// The account of what belongs to no tenant: connections without a WebSocket, and pages for operators.
    pub common_memory: Arc<TenantMemory>,
    open_files: OpenFiles,
    sockets: Permits,
    reserved_sockets: Permits,
    internal_sockets: Permits,
    connections: Permits,
    /// Users of all tenants on the other nodes, of about a second ago.
    users_elsewhere: AtomicUsize,
    /// What the kernel has for connections.
    pub socket_buffers: Arc<SocketBuffers>,
    /// Where it works on large messages.
    pub offload: Arc<Offload>,
    /// The metrics it publishes.
    pub metrics: Arc<Metrics>,
    /// The exporter behind `/metrics`.
    pub prometheus: Prometheus,
    metrics_push: watch::Sender<MetricsPush>,
    internal_address: OnceLock<SocketAddr>,
    /// Begins spans.
    pub traces: Traces,
    cloudwatch: watch::Sender<CloudWatch>,
    /// How sending metrics and spans goes.
    pub exports: Exports,
    /// Reports on what concerns no tenant in particular, in the log and in counters.
    pub reports: Reports,
}

impl Node {
    /// A node without clients. Its keys are fetched by `jwks`; its metrics go to Prometheus' page and to `exporters`. It
    /// accepts no more connections than there are `open_files` for.
    ///
    /// # Errors
    /// Without a key no token can be verified, so there is nothing to run.
    pub fn new(
        settings: Settings,
        jwks: JwksSources,
        link: ClusterLink,
        lifecycle: Lifecycle,
        exporters: Vec<Exporter>,
        open_files: OpenFiles,
        (store, keys): (Arc<dyn TenantStore>, EncryptionKeys),
    ) -> anyhow::Result<Arc<Self>> {
        if let Some(no_key) = NoVerificationKey::find(&settings) {
            anyhow::bail!(
                "{no_key}: set JWT_SECRET, or API_JWT_SECRET if all tenants are in the PostgreSQL of DATABASE_URL, or start with \
                 `serve --dev` to try things out"
            );
        }
        let prometheus = Prometheus::new(settings.regions.name.as_deref(), settings.telemetry.metrics_format);
        prometheus.show_tenants(settings.telemetry.tenant_metrics);
        let metrics = Arc::new(Metrics::in_format(
            [vec![prometheus.exporter()], exporters].concat(),
            settings.telemetry.metrics_format,
        ));
        let bus_bounds = match link.connectivity() {
            Connectivity::Standalone => None,
            _with_other_nodes => Some(bus_queue_bounds(&settings)),
        };
        let queue_memory = queue_memory::set_aside(&settings, bus_bounds);
        let memory_limit = MemoryLimit::of(&settings.server);
        let for_clients = memory_limit.for_clients(queue_memory);
        let memory = MemoryBudget::new(for_clients, settings.server.max_memory_percent_per_tenant);
        metrics.line_limits.apply(&settings.telemetry);
        let id = NodeId::random();
        let reports = metrics.reports(None);
        let exports = Exports::default();
        let reported = (&metrics.spans, &exports.traces, report_traces(&reports));
        let traces = Traces::start(&settings.telemetry.traces, &id.to_string(), reported)?;
        let tenants = Registry::new(&settings, jwks, (&metrics, &memory));
        let stored_tenants = StoredTenants::register(store, keys, settings.store.timeout, &tenants);
        stored_tenants.expect(settings.seed.tenant_with_key());
        let operators =
            Operators::new(&settings.admin, &settings.auth, &settings.seed).reporting_to(&reports);
        let hub = HubBuilder::new(settings.presence.coalesce);
        Ok(Arc::new(Self {
            id,
            started: Instant::now(),
            lifecycle,
            reloading: Reloading::new(),
            operators: ArcSwap::from_pointee(operators),
            hub: match bus_bounds {
                None => hub.build(),
                Some(bounds) => hub.relayed(bounds).build(),
            },
            unverified: UnverifiedCallers::per_second(unverified_rate(&settings)),
            metrics_push: watch::Sender::new(settings.telemetry.push.clone()),
            internal_address: OnceLock::new(),
            cloudwatch: watch::Sender::new(settings.telemetry.cloudwatch.clone()),
            exports,
            offload: Offload::beside(settings.server.worker_threads),
            settings: ArcSwap::from_pointee(settings),
            tenants,
            stored_tenants,
            store: StoreState::default(),
            documents: Arc::default(),
            databases: databases::DatabasesSlot::default(),
            document_peers: OnceLock::new(),
            link,
            common_memory: TenantMemory::new(&memory),
            memory,
            memory_limit: Mutex::new(memory_limit),
            queue_memory,
            open_files,
            sockets: Permits::default(),
            reserved_sockets: Permits::default(),
            internal_sockets: Permits::default(),
            connections: Permits::default(),
            users_elsewhere: AtomicUsize::new(0),
            socket_buffers: Arc::default(),
            metrics,
            prometheus,
            traces,
            reports,
        }))
    }

    /// The present settings. Taken once per operation, so that the operation sees one generation of them.
    pub fn settings(&self) -> Guard<Arc<Settings>> {
        self.settings.load()
    }

    /// Applies settings that have been checked, to connected clients too.
    pub fn apply(&self, settings: Settings) {
        let settings = Arc::new(settings);
        self.settings.store(Arc::clone(&settings));
        let operators =
            Operators::new(&settings.admin, &settings.auth, &settings.seed).reporting_to(&self.reports);
        self.operators.store(Arc::new(operators));
        let memory_limit = MemoryLimit::of(&settings.server);
        *self.memory_limit.lock() = memory_limit;
        self.memory
            .set(memory_limit.for_clients(self.queue_memory), settings.server.max_memory_percent_per_tenant);
        self.hub.set_coalesce(settings.presence.coalesce);
        self.unverified.set_rate(unverified_rate(&settings));
        self.metrics.line_limits.apply(&settings.telemetry);
        self.prometheus.show_tenants(settings.telemetry.tenant_metrics);
        send_if_changed(&self.metrics_push, &settings.telemetry.push);
        send_if_changed(&self.cloudwatch, &settings.telemetry.cloudwatch);
        self.traces.apply(&settings.telemetry.traces);
        self.stored_tenants.use_credentials(&settings.store);
        self.link.use_credentials(&settings.bus);
        self.tenants.apply(&settings);
        self.reloading.applied();
    }

    /// The settings of pushing metrics, and changes of them.
    pub fn metrics_push(&self) -> watch::Receiver<MetricsPush> {
        self.metrics_push.subscribe()
    }

    /// The settings of sending metrics to CloudWatch, and changes of them.
    pub fn cloudwatch(&self) -> watch::Receiver<CloudWatch> {
        self.cloudwatch.subscribe()
    }

    /// The memory that this process may use.
    pub fn memory_limit(&self) -> MemoryLimit {
        *self.memory_limit.lock()
    }

    /// What the queues that all tenants share take of it at most.
    pub fn queue_memory(&self) -> usize {
        self.queue_memory
    }

    /// Decides who is an operator.
    pub fn operators(&self) -> Guard<Arc<Operators>> {
        self.operators.load()
    }

    /// The tenant that a request names; `None` when there is no such tenant.
    ///
    /// # Errors
    /// When that cannot be found out now.
    pub async fn tenant_for_request(
        &self,
        headers: &HeaderMap,
        uri: &Uri,
    ) -> Result<Option<Arc<Tenant>>, SourceUnavailable> {
        let is_strict = self.settings().server.strict_host;
        let unknown_host = if is_strict { UnknownHost::Refused } else { UnknownHost::Default };
        self.tenants.for_request(headers, uri, unknown_host).await
    }

    /// Notes the address of the internal listener.
    pub fn note_internal_address(&self, address: SocketAddr) {
        self.internal_address.get_or_init(|| address);
    }

    /// The address of the internal listener, if there is one, with the port that the system chose if the settings left it open.
    pub fn internal_address(&self) -> Option<SocketAddr> {
        self.internal_address.get().copied()
    }

    /// Whether load balancers should send clients here.
    pub fn readiness(&self) -> Readiness {
        if self.lifecycle.has_reached(LifecyclePhase::NotReady) {
            return Readiness::Stopping;
        }
        if self.degraded_parts().is_empty() { Readiness::Ready } else { Readiness::Degraded }
    }

    /// What is missing while it is degraded: the bus, the presence on it, the store.
    pub fn degraded_parts(&self) -> Vec<&'static str> {
        let bus = match self.link.connectivity() {
            Connectivity::Standalone | Connectivity::Connected => None,
            Connectivity::WithoutPresence => Some("presence"),
            Connectivity::Disconnected { .. } => Some("bus"),
        };
        let store = (self.stored_tenants.is_away() || !self.is_store_known()).then_some("store");
        bus.into_iter().chain(store).collect()
    }

    /// Whether a store of several nodes was reached since the start.
    fn is_store_known(&self) -> bool {
        self.stored_tenants.kind() != StoreKind::Postgres || self.store.status().usable.is_some()
    }
}

/// What reports that spans could not be sent.
fn report_traces(reports: &Reports) -> ReportTraces {
    let reports = reports.clone();
    Arc::new(move |text| reports.record(Code::TracesFailed.at(Scope::Log), text))
}

/// Passes settings on to what waits for changes of them.
fn send_if_changed<T: Clone + PartialEq>(sender: &watch::Sender<T>, settings: &T) {
    sender.send_if_modified(|current| {
        let has_changed = current != settings;
        current.clone_from(settings);
        has_changed
    });
}

/// Calls without a valid token that one address may make in a second.
fn unverified_rate(settings: &Settings) -> u64 {
    settings.server.max_unverified_requests_per_second.get().into()
}
