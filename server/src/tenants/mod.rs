//! Who owns rooms: keys, limits and the sockets that are connected.
//!
//! Until tenants can be configured there is one, `default`, and every host name means it.

mod allowance;
mod sockets;

pub use allowance::Allowance;
pub use sockets::{Sockets, Ticket};

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hub::RollingRate;
use settings::Settings;
use tracing::warn;

use crate::auth::Verifier;
use crate::auth::jwks::Sources;
use crate::telemetry::metrics::{Metrics, TenantMetrics};

/// The name of the tenant that is always there.
pub const DEFAULT: &str = "default";

/// One owner of rooms.
pub struct Tenant {
    /// Its name: in room keys, metrics and logs.
    pub id: Arc<str>,
    /// Believes or refuses the tokens of its users.
    pub verifier: Verifier,
    /// What its clients may use, and have used.
    pub allowance: Allowance,
    /// Its numbers.
    pub metrics: TenantMetrics,
    /// Its open connections.
    pub sockets: Sockets,
    /// HTTP requests per second, shown to those who send them.
    pub requests: RollingRate,
    /// Whether presence is on for joins that do not say.
    pub presence_enabled: bool,
    users: AtomicUsize,
}

impl Tenant {
    /// The default tenant, as the settings describe it. `None` without a key: nothing could be verified.
    pub fn default_of(settings: &Settings, sources: &Sources, metrics: &Metrics) -> Option<Self> {
        let metrics = metrics.tenant(DEFAULT);
        let fetched = sources.source(&settings.auth, None, &metrics);
        let verifier = Verifier::new(&settings.auth, fetched);
        for problem in verifier.problems() {
            warn!(tenant = DEFAULT, "A key of `auth.jwt_jwks` cannot be used: {problem}");
        }
        verifier.has_keys().then(|| Self {
            id: DEFAULT.into(),
            verifier,
            allowance: Allowance::new(&settings.limits, settings.server.max_connections),
            metrics,
            sockets: Sockets::default(),
            requests: RollingRate::new(),
            presence_enabled: settings.presence.enabled,
            users: AtomicUsize::new(0),
        })
    }

    /// Connections that have joined a room. They count until they end, not until they leave it.
    pub fn users(&self) -> usize {
        self.users.load(Ordering::Relaxed)
    }

    /// Counts one more user while the limit allows; the count falls when the result is dropped.
    pub fn admit_user(self: &Arc<Self>) -> Option<User> {
        let below = |users| (users < self.allowance.max_concurrent_users).then_some(users + 1);
        self.users.fetch_update(Ordering::Relaxed, Ordering::Relaxed, below).ok()?;
        Some(User(Arc::clone(self)))
    }
}

/// One connection's place among its tenant's users.
pub struct User(Arc<Tenant>);

impl Drop for User {
    fn drop(&mut self) {
        self.0.users.fetch_sub(1, Ordering::Relaxed);
    }
}
