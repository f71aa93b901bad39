//! One owner of rooms: what lives on while its policy is exchanged.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use hub::Disconnect;

use super::policy::TenantSpec;
use super::rolling_rate::RollingRate;
use super::{Allowance, Policy, Sockets};
use crate::auth::jwks::JwksSources;
use crate::permit::{Permit, Permits};
use crate::telemetry::metrics::{Metrics, TenantMetrics};
use crate::telemetry::reports::Reports;

/// One owner of rooms.
pub struct Tenant {
    /// Its name: in room keys, metrics and logs.
    pub id: Arc<str>,
    /// What its clients may use, and have used.
    pub allowance: Allowance,
    /// Its numbers.
    pub metrics: TenantMetrics,
    /// Tells what happens to it.
    pub reports: Reports,
    /// Its open connections.
    pub sockets: Sockets,
    /// Permits for them, those included whose handshake is not finished.
    pub connections: Permits,
    /// HTTP requests per second on this node, shown to those who send them.
    pub requests: RollingRate,
    users: Permits,
    users_elsewhere: AtomicUsize,
    policy: ArcSwap<Policy>,
}

impl Tenant {
    /// A tenant without clients.
    pub(super) fn new(id: &str, spec: TenantSpec, sources: &JwksSources, metrics: &Metrics) -> Self {
        let (metrics, reports) = (metrics.tenant(id), metrics.reports(Some(id)));
        Self {
            id: id.into(),
            allowance: Allowance::new(&spec.tenant.limits, spec.everyone),
            sockets: Sockets::default(),
            connections: Permits::default(),
            requests: RollingRate::new(),
            users: Permits::default(),
            users_elsewhere: AtomicUsize::new(0),
            policy: ArcSwap::from_pointee(Policy::first(spec, sources, &metrics, &reports)),
            metrics,
            reports,
        }
    }

    /// What counts for it now. Taken once per operation.
    pub fn policy(&self) -> Arc<Policy> {
        self.policy.load_full()
    }

    /// From now on `spec` count. `false` when they did already.
    pub(super) fn reconfigure(&self, spec: TenantSpec, sources: &JwksSources) -> bool {
        let policy = self.policy();
        if policy.is_by(&spec) {
            return false;
        }
        self.allowance.set(&spec.tenant.limits, spec.everyone);
        self.policy.store(Arc::new(policy.followed_by(spec, sources, &self.metrics, &self.reports)));
        true
    }

    /// It is no tenant any more: whoever is connected goes.
    pub(super) fn remove(&self) {
        self.policy.store(Arc::new(self.policy().removed()));
        self.metrics.connected.set(0.0);
    }

    /// The same counts as before, but its keys are not what they were.
    pub(super) fn renew(&self) {
        self.policy.store(Arc::new(self.policy().renewed()));
    }

    /// Whoever is connected goes; who comes after that is welcome.
    pub(super) fn disconnect_clients(&self, goodbye: Disconnect) {
        self.policy.store(Arc::new(self.policy().with_farewell(goodbye)));
    }

    /// Connections of this node that have joined a room. They count until they end, not until they leave it.
    pub fn users_here(&self) -> usize {
        self.users.in_use()
    }

    /// The other nodes have this many users together, as of about a second ago.
    pub fn set_users_elsewhere(&self, users: usize) {
        self.users_elsewhere.store(users, Ordering::Relaxed);
    }

    /// Users that this node may have, given those of the other nodes.
    fn max_users_here(&self) -> usize {
        self.allowance.users_beside(self.users_elsewhere.load(Ordering::Relaxed))
    }

    /// Whether one more user is allowed. If the limit was lowered, those above it stay.
    pub fn has_room(&self) -> bool {
        self.users_here() < self.max_users_here()
    }

    /// A permit for one more user, if the limit allows it.
    pub fn acquire_user(&self) -> Option<Permit> {
        self.users.acquire(self.max_users_here())
    }
}
