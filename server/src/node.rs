//! What every part of this process shares.

mod condition;
mod keys;
mod neighbours;
mod reloading;

pub use condition::{Company, Condition};
pub use keys::{NoVerificationKey, unusable_keys};
pub use reloading::{Account, Changes, Outcome, Reload, Reloading};

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use arc_swap::{ArcSwap, Guard};
use http::{HeaderMap, Uri};
use hub::{Bounds, Hub, NodeId};
use settings::Settings;

use crate::auth::Operators;
use crate::auth::jwks::Sources;
use crate::bus::{self, Link};
use crate::telemetry::metrics::Metrics;
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
    pub link: Link,
    /// The numbers it publishes.
    pub metrics: Metrics,
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
    leaving: AtomicBool,
    stopping: AtomicBool,
    sockets: Arc<AtomicUsize>,
    connections: Arc<AtomicUsize>,
}

/// Sockets beyond the WebSocket limit, for health checks, HTTP and refusals.
pub const SPARE_SOCKETS: usize = 1_024;

/// A place taken among a bounded number; dropping it gives it back.
#[derive(Debug)]
pub struct Place(Arc<AtomicUsize>);

impl Place {
    /// One more place, while fewer than `bound` are taken.
    pub fn take(taken: &Arc<AtomicUsize>, bound: usize) -> Option<Self> {
        let below = |taken| (taken < bound).then_some(taken + 1);
        taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, below).ok()?;
        Some(Self(Arc::clone(taken)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Node {
    /// An empty node, which has its keys fetched by `sources` and hears the others over `link`.
    ///
    /// # Errors
    /// Without a key no token can be verified, so there is nothing to run.
    pub fn new(settings: Settings, sources: Sources, link: Link) -> anyhow::Result<Arc<Self>> {
        if let Some(nobody) = NoVerificationKey::find(&settings) {
            anyhow::bail!("{nobody}: set JWT_SECRET, or start with `serve --dev` to try things out");
        }
        let metrics = Metrics::new(settings.regions.name.as_deref());
        let tenants = Registry::new(&settings, sources, &metrics);
        let reports = metrics.reports(None);
        let operators = Operators::new(&settings.admin, &settings.auth).remarking(&reports);
        Ok(Arc::new(Self {
            id: NodeId::random(),
            hub: match link.condition() {
                bus::Condition::Alone => Hub::new(settings.presence.coalesce),
                _with_others => Hub::relayed(settings.presence.coalesce, bounds(&settings.bus)),
            },
            link,
            tenants,
            operators: ArcSwap::from_pointee(operators),
            reloading: Reloading::new(),
            settings: ArcSwap::from_pointee(settings),
            reports,
            metrics,
            started: Instant::now(),
            leaving: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            sockets: Arc::default(),
            connections: Arc::default(),
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
        self.tenants.apply(&settings, &self.metrics);
        self.reloading.applied();
    }

    /// Who is an operator now.
    pub fn operators(&self) -> Guard<Arc<Operators>> {
        self.operators.load()
    }

    /// The tenant that a request means; `None` when it names one that is not there.
    pub fn tenant_meant_by(&self, headers: &HeaderMap, uri: &Uri) -> Option<Arc<Tenant>> {
        self.tenants.meant_by(headers, uri, self.settings().server.strict_host)
    }

    /// A place for one more TCP connection, while there is one.
    pub fn take_socket(&self) -> Option<Place> {
        Place::take(&self.sockets, self.settings().server.max_connections.get().saturating_add(SPARE_SOCKETS))
    }

    /// A place for one more WebSocket, while there is one.
    pub fn take_connection(&self) -> Option<Place> {
        Place::take(&self.connections, self.settings().server.max_connections.get())
    }

    /// Open TCP connections.
    pub fn open_sockets(&self) -> usize {
        self.sockets.load(Ordering::Relaxed)
    }

    /// Open WebSockets.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Whether new clients should be sent here.
    pub fn condition(&self) -> Condition {
        match self.company() {
            _ if self.is_leaving() => Condition::Stopping,
            Company::CutOff | Company::WithoutPresence => Condition::Degraded,
            Company::Alone | Company::Connected => Condition::Ready,
        }
    }

    /// What this node has to do with others.
    pub fn company(&self) -> Company {
        match self.link.condition() {
            bus::Condition::Alone => Company::Alone,
            bus::Condition::Connected => Company::Connected,
            bus::Condition::WithoutPresence => Company::WithoutPresence,
            bus::Condition::Away { .. } => Company::CutOff,
        }
    }

    /// Whether the server has been asked to stop. It may still serve everybody.
    pub fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Relaxed)
    }

    /// From now on the server says that it is about to go.
    pub fn announce_stop(&self) {
        self.leaving.store(true, Ordering::Relaxed);
    }

    /// Whether the server is about to stop and takes nobody in.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// From now on nobody is taken in.
    pub fn stop_admitting(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }
}

/// How much may wait on its way to the other nodes.
fn bounds(bus: &settings::Bus) -> Bounds {
    let bytes = usize::try_from(bus.max_bytes.as_u64()).unwrap_or(usize::MAX);
    Bounds { frames: bus.max_frames.get(), bytes }
}
