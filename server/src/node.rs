//! What every part of this process shares.

mod cluster;
mod gauges;
mod keys;
mod lifecycle;
mod readiness;
mod reloading;

pub use keys::{NoVerificationKey, unusable_keys};
pub use lifecycle::{Lifecycle, LifecyclePhase, Urgency};
pub use readiness::{Connectivity, Readiness};
pub use reloading::{Changes, Outcome, Reload, Reloading, SettingsStatus};

use std::sync::Arc;
use std::time::Instant;

use arc_swap::{ArcSwap, Guard};
use http::{HeaderMap, Uri};
use hub::{Bounds, Hub, HubBuilder, NodeId};
use settings::Settings;

use crate::auth::Operators;
use crate::auth::jwks::JwksSources;
use crate::bus::{self, ClusterLink};
use crate::permit::{Permit, Permits};
use crate::telemetry::fan_out::Exporter;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::prometheus::Prometheus;
use crate::telemetry::reports::Reports;
use crate::tenants::{Registry, Tenant};

/// One running server.
pub struct Node {
    /// Which run of which process this is, among others.
    pub id: NodeId,
    settings: ArcSwap<Settings>,
    /// The rooms.
    pub hub: Arc<Hub>,
    /// The other nodes.
    pub link: ClusterLink,
    /// The metrics it publishes.
    pub metrics: Arc<Metrics>,
    /// The exporter behind `/metrics`.
    pub prometheus: Prometheus,
    /// Tells what happens to nobody in particular.
    pub reports: Reports,
    /// Who owns rooms here.
    pub tenants: Registry,
    /// Who is an operator.
    operators: ArcSwap<Operators>,
    /// What became of the settings, and how to have them read again.
    pub reloading: Reloading,
    /// When it started.
    pub started: Instant,
    /// Whether it serves or stops.
    pub lifecycle: Lifecycle,
    sockets: Permits,
    connections: Permits,
}

/// Sockets beyond the WebSocket limit, for health checks, HTTP and refusals.
pub const SPARE_SOCKETS: usize = 1_024;

impl Node {
    /// An empty node, which has its keys fetched by `sources` and hears the others over `link`. Its metrics go to
    /// Prometheus' page and to `exporters`.
    ///
    /// # Errors
    /// Without a key no token can be verified, so there is nothing to run.
    pub fn new(
        settings: Settings,
        sources: JwksSources,
        link: ClusterLink,
        lifecycle: Lifecycle,
        exporters: Vec<Exporter>,
    ) -> anyhow::Result<Arc<Self>> {
        if let Some(nobody) = NoVerificationKey::find(&settings) {
            anyhow::bail!("{nobody}: set JWT_SECRET, or start with `serve --dev` to try things out");
        }
        let prometheus = Prometheus::new(settings.regions.name.as_deref());
        let metrics = Arc::new(Metrics::new([vec![prometheus.exporter()], exporters].concat()));
        let tenants = Registry::new(&settings, sources, &metrics);
        let reports = metrics.reports(None);
        let operators = Operators::new(&settings.admin, &settings.auth).remarking(&reports);
        let hub = HubBuilder::new(settings.presence.coalesce);
        Ok(Arc::new(Self {
            id: NodeId::random(),
            hub: match link.connectivity() {
                bus::Connectivity::Standalone => hub.build(),
                _with_others => hub.relayed(bounds(&settings.bus)).build(),
            },
            link,
            tenants,
            operators: ArcSwap::from_pointee(operators),
            reloading: Reloading::new(),
            settings: ArcSwap::from_pointee(settings),
            reports,
            metrics,
            prometheus,
            started: Instant::now(),
            lifecycle,
            sockets: Permits::default(),
            connections: Permits::default(),
        }))
    }

    /// The settings as they are now. Taken once per operation, so that one operation sees one of them.
    pub fn settings(&self) -> Guard<Arc<Settings>> {
        self.settings.load()
    }

    /// From now on these settings count, for those who are connected too. They have been checked.
    pub fn apply(&self, settings: Settings) {
        let settings = Arc::new(settings);
        self.settings.store(Arc::clone(&settings));
        let operators = Operators::new(&settings.admin, &settings.auth).remarking(&self.reports);
        self.operators.store(Arc::new(operators));
        self.hub.set_coalesce(settings.presence.coalesce);
        self.tenants.apply(&settings);
        self.reloading.applied();
    }

    /// Who is an operator now.
    pub fn operators(&self) -> Guard<Arc<Operators>> {
        self.operators.load()
    }

    /// The tenant that a request means; `None` when it names one that is not there.
    pub async fn tenant_for_request(&self, headers: &HeaderMap, uri: &Uri) -> Option<Arc<Tenant>> {
        let strict = self.settings().server.strict_host;
        self.tenants.for_request(headers, uri, strict).await
    }

    /// A permit for one more TCP connection, if there is one.
    pub fn acquire_socket(&self) -> Option<Permit> {
        let max = self.settings().server.max_connections.get().saturating_add(SPARE_SOCKETS);
        self.sockets.acquire(max)
    }

    /// A permit for one more WebSocket, if there is one.
    pub fn acquire_connection(&self) -> Option<Permit> {
        self.connections.acquire(self.settings().server.max_connections.get())
    }

    /// Open TCP connections.
    pub fn open_sockets(&self) -> usize {
        self.sockets.in_use()
    }

    /// Open WebSockets.
    pub fn connections(&self) -> usize {
        self.connections.in_use()
    }

    /// Whether new clients should be sent here.
    pub fn readiness(&self) -> Readiness {
        match self.connectivity() {
            _ if self.lifecycle.has_reached(LifecyclePhase::NotReady) => Readiness::Stopping,
            Connectivity::CutOff | Connectivity::WithoutPresence => Readiness::Degraded,
            Connectivity::Alone | Connectivity::Connected => Readiness::Ready,
        }
    }

    /// What this node has to do with others.
    pub fn connectivity(&self) -> Connectivity {
        match self.link.connectivity() {
            bus::Connectivity::Standalone => Connectivity::Alone,
            bus::Connectivity::Connected => Connectivity::Connected,
            bus::Connectivity::WithoutPresence => Connectivity::WithoutPresence,
            bus::Connectivity::Disconnected { .. } => Connectivity::CutOff,
        }
    }
}

/// How much may wait on its way to the other nodes.
fn bounds(bus: &settings::Bus) -> Bounds {
    let bytes = usize::try_from(bus.max_bytes.as_u64()).unwrap_or(usize::MAX);
    Bounds { frames: bus.max_frames.get(), bytes }
}
