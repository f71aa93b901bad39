//! What every part of this process shares.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::Context;
use arc_swap::{ArcSwap, Guard};
use hub::Hub;
use settings::Settings;

use crate::auth::jwks::Sources;
use crate::telemetry::metrics::Metrics;
use crate::tenants::Tenant;

/// One running server.
pub struct Node {
    settings: ArcSwap<Settings>,
    /// The rooms.
    pub hub: Arc<Hub>,
    /// The numbers it publishes.
    pub metrics: Metrics,
    /// The tenant that owns `JWT_SECRET`, and every host name while it is the only one.
    pub default_tenant: Arc<Tenant>,
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
    fn take(taken: &Arc<AtomicUsize>, bound: usize) -> Option<Self> {
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
    /// An empty node, which has its keys fetched by `sources`.
    ///
    /// # Errors
    /// Without a key no token can be verified, so there is nothing to run.
    pub fn new(settings: Settings, sources: &Sources) -> anyhow::Result<Arc<Self>> {
        let metrics = Metrics::new();
        let tenant = Tenant::default_of(&settings, sources, &metrics).context(
            "no secret to verify tokens with: set JWT_SECRET, or start with `serve --dev` to try things out",
        )?;
        Ok(Arc::new(Self {
            hub: Hub::new(settings.presence.coalesce),
            default_tenant: Arc::new(tenant),
            settings: ArcSwap::from_pointee(settings),
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

    /// From now on these settings count. They have been checked.
    pub fn apply(&self, settings: Settings) {
        self.settings.store(Arc::new(settings));
    }

    /// The tenant of this name.
    pub fn tenant(&self, id: &str) -> Option<&Arc<Tenant>> {
        Some(&self.default_tenant).filter(|tenant| *tenant.id == *id)
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
