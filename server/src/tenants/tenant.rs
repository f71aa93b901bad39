//! One owner of rooms: what stays while its policy is replaced.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use hub::{Disconnect, History, HistoryBounds, MemoryBudget, TenantMemory};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::rolling_rate::RollingRate;
use super::spec::{EffectiveSpec, TenantOrigin};
use super::{Allowance, Policy, Sockets};
use crate::auth::jwks::JwksSources;
use crate::permit::{Permit, Permits};
use crate::telemetry::codes::{Code, Scope};
use crate::telemetry::metrics::{LazyTenantMetrics, Metrics};
use crate::telemetry::reports::Reports;

/// One owner of rooms.
pub struct Tenant {
    /// Its name: in room keys, metrics and logs.
    pub id: Arc<str>,
    /// What its clients may use, and have used.
    pub allowance: Allowance,
    /// Its metrics.
    pub metrics: LazyTenantMetrics,
    /// Reports on it, in the log and in counters.
    pub reports: Reports,
    /// Its open connections.
    pub sockets: Sockets,
    /// Permits for them, those included whose handshake is not finished.
    pub connections: Permits,
    /// What it uses of the memory of this node.
    pub memory: Arc<TenantMemory>,
    /// What its rooms keep of their broadcasts on this node.
    pub history: Arc<History>,
    /// HTTP requests per second on this node, shown to those who send them.
    pub requests: RollingRate,
    users: Permits,
    users_elsewhere: AtomicUsize,
    policy: ArcSwap<Policy>,
    /// Notified when the policy is that of another specification.
    reconfigured: Notify,
}

impl Tenant {
    /// A tenant without clients.
    pub(super) fn new(
        effective: EffectiveSpec,
        jwks: &JwksSources,
        (metrics, memory): (&Metrics, &Arc<MemoryBudget>),
    ) -> Self {
        let id: Arc<str> = effective.spec.id.as_str().into();
        let (metrics, reports) = (metrics.tenant(Arc::clone(&id)), metrics.reports(Some(&id)));
        if effective.origin == TenantOrigin::Configuration {
            // Its series are there from the start, zero.
            let _registered = &*metrics;
        }
        let memory = TenantMemory::new(memory);
        let history = History::new(&memory);
        history.set_bounds(bounds(&effective.history));
        let tenant = Self {
            id,
            allowance: Allowance::new(&effective.spec.settings.limits, effective.max_connections),
            sockets: Sockets::default(),
            connections: Permits::default(),
            memory,
            history,
            requests: RollingRate::new(),
            users: Permits::default(),
            users_elsewhere: AtomicUsize::new(0),
            policy: ArcSwap::from_pointee(Policy::first(effective, jwks, &metrics, &reports)),
            reconfigured: Notify::new(),
            metrics,
            reports,
        };
        tenant.report_unusable_keys();
        tenant
    }

    /// What applies to it now. Taken once per operation.
    pub fn policy(&self) -> Arc<Policy> {
        self.policy.load_full()
    }

    /// Waits until another specification applies to it, from this call on.
    pub fn until_reconfigured(&self) -> Notified<'_> {
        self.reconfigured.notified()
    }

    /// Whether the room with this topic keeps its broadcasts. Asked for each of them.
    pub fn keeps_history_of(&self, topic: &str) -> bool {
        self.policy.load().history().keeps(topic)
    }

    /// Applies a specification. Returns whether it is another than before.
    pub(super) fn reconfigure(&self, effective: EffectiveSpec, jwks: &JwksSources) -> bool {
        let policy = self.policy();
        if policy.is_of(&effective) {
            return false;
        }
        self.allowance.set(&effective.spec.settings.limits, effective.max_connections);
        self.history.set_bounds(bounds(&effective.history));
        self.policy.store(Arc::new(policy.reconfigured(effective, jwks, &self.metrics, &self.reports)));
        self.reconfigured.notify_waiters();
        self.report_unusable_keys();
        true
    }

    /// Disconnects all clients for good: no source specifies it any more.
    pub(super) fn remove(&self) {
        self.policy.store(Arc::new(self.policy().removed()));
        self.reconfigured.notify_waiters();
        self.history.set_bounds(None);
        if let Some(metrics) = self.metrics.registered() {
            metrics.connected.set(0.0);
            metrics.connected_cluster.set(0.0);
        }
    }

    /// Makes connections verify their tokens again, because some of its keys were withdrawn.
    pub(super) fn renew_policy(&self) {
        self.policy.store(Arc::new(self.policy().renewed()));
    }

    /// Makes connections notify their clients that messages of the database may have been lost.
    pub(super) fn note_gap(&self) {
        self.policy.store(Arc::new(self.policy().after_gap()));
    }

    /// Disconnects all present clients; new ones are accepted.
    pub(super) fn disconnect_clients(&self, disconnect: Disconnect) {
        self.policy.store(Arc::new(self.policy().with_disconnect(disconnect)));
    }

    /// Reports which of its keys cannot be used.
    fn report_unusable_keys(&self) {
        let policy = self.policy();
        let problems = policy.verifier.problems();
        if !problems.is_empty() {
            let report = Code::JwksKeyUnusable.at(Scope::Log);
            self.reports.record(report, format_args!("`jwt_jwks`: {}", problems.join("; ")));
        }
    }

    /// Connections of this node that have joined a room. They count until they end, not until they leave it.
    pub fn users_here(&self) -> usize {
        self.users.in_use()
    }

    /// Its users on all nodes; those of the others about a second ago.
    pub fn users(&self) -> usize {
        self.users_here() + self.users_elsewhere.load(Ordering::Relaxed)
    }

    /// Notes how many users the other nodes have together, as of about a second ago.
    pub fn set_users_elsewhere(&self, users: usize) {
        self.users_elsewhere.store(users, Ordering::Relaxed);
    }

    /// Users that this node may have, given those of the other nodes.
    fn max_users_here(&self) -> usize {
        self.allowance.max_users_here(self.users_elsewhere.load(Ordering::Relaxed))
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

/// How much each room keeps, if any does.
fn bounds(history: &settings::History) -> Option<HistoryBounds> {
    let saturated = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    history.is_enabled().then(|| HistoryBounds {
        messages: history.max_messages.get() as usize,
        bytes: saturated(history.max_bytes.as_u64()),
        age: history.max_age,
    })
}
