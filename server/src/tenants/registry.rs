//! All tenants, by id, kept in step with the settings.
//!
//! Looking one up takes no lock. A change compares every tenant with what the settings now say of it, and
//! touches those for which that is something new: they get another policy, and their sockets are rung.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use http::{HeaderMap, Uri};
use hub::Disconnect;
use parking_lot::Mutex;
use settings::Settings;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::naming::Named;
use super::policy::TenantSpec;
use super::policy_notifier::PolicyNotifier;
use super::{Tenant, effective};
use crate::auth::jwks::JwksSources;
use crate::telemetry::codes::{Code, Scope};
use crate::telemetry::metrics::Metrics;

/// By id in lower case, because host names have no case.
type Tenants = HashMap<Box<str>, Arc<Tenant>>;

/// All tenants.
pub struct Registry {
    tenants: ArcSwap<Tenants>,
    default: Arc<Tenant>,
    /// Where keys are fetched.
    sources: JwksSources,
    notifier: PolicyNotifier,
    /// One change at a time.
    changing: Mutex<()>,
}

impl Registry {
    /// The tenants of `settings`.
    pub fn new(settings: &Settings, sources: JwksSources, metrics: &Metrics) -> Self {
        let tenant = |(id, spec): (String, TenantSpec)| {
            let tenant = Tenant::new(&id, spec, &sources, metrics);
            report(&tenant);
            (key(&id).into(), Arc::new(tenant))
        };
        let tenants: Tenants = effective::tenants(settings).map(tenant).collect();
        let default = tenants.get(&*key(&settings.server.default_tenant));
        let default = Arc::clone(default.expect("the default tenant is always there"));
        Self {
            tenants: ArcSwap::from_pointee(tenants),
            default,
            sources,
            notifier: PolicyNotifier::default(),
            changing: Mutex::default(),
        }
    }

    /// From now on `settings` count. Returns how many tenants that concerns; no other notices.
    pub fn apply(&self, settings: &Settings, metrics: &Metrics) -> usize {
        let _one_at_a_time = self.changing.lock();
        let mut before = Tenants::clone(&self.tenants.load());
        let (mut after, mut touched, mut added) = (Tenants::with_capacity(before.len()), Vec::new(), 0);
        for (id, spec) in effective::tenants(settings) {
            let key = key(&id);
            let tenant = match before.remove(&*key) {
                Some(tenant) => {
                    if tenant.reconfigure(spec, &self.sources) {
                        report(&tenant);
                        touched.push(Arc::clone(&tenant));
                    }
                    tenant
                }
                None => {
                    added += 1;
                    let tenant = Arc::new(Tenant::new(&id, spec, &self.sources, metrics));
                    report(&tenant);
                    tenant
                }
            };
            after.insert(key.into_owned().into(), tenant);
        }
        let removed = before;
        if added + removed.len() > 0 {
            self.tenants.store(Arc::new(after));
        }
        // Only now that nobody finds them any more: who was admitted before is sent away.
        removed.values().for_each(|tenant| tenant.remove());
        let changed = touched.len();
        touched.iter().chain(removed.values()).for_each(|tenant| self.notifier.ring(tenant));
        if added + changed + removed.len() > 0 {
            info!(added, changed, removed = removed.len(), "Tenants changed");
        }
        added + changed + removed.len()
    }

    /// The tenant of this name, in whatever case it is written.
    pub fn get(&self, id: &str) -> Option<Arc<Tenant>> {
        self.tenants.load().get(&*key(id)).map(Arc::clone)
    }

    /// The tenant of those who name none.
    pub fn default_tenant(&self) -> &Arc<Tenant> {
        &self.default
    }

    /// Every tenant there is now, in no order.
    pub fn all(&self) -> Vec<Arc<Tenant>> {
        self.tenants.load().values().map(Arc::clone).collect()
    }

    /// The tenant that a request means; `None` when it names one that is not there.
    ///
    /// A name said outright (`x-tenant`, `tenant`) must be known: to let its bearer into another tenant's
    /// rooms instead would hide the mistake. A host name may have nothing to do with tenants, so an unknown
    /// one means the default tenant, unless the settings are `strict` about it.
    pub fn for_request(&self, headers: &HeaderMap, uri: &Uri, strict: bool) -> Option<Arc<Tenant>> {
        let default = || Arc::clone(&self.default);
        match Named::in_head(headers, uri) {
            Named::Outright(id) => self.get(&id),
            Named::ByHost(label) => self.get(label).or_else(|| (!strict).then(default)),
            Named::Nobody => Some(default()),
        }
    }

    /// Sends everybody connected to a tenant away. Returns how many sockets that concerns; `None` when there
    /// is no such tenant.
    pub fn disconnect_clients(&self, id: &str, goodbye: Disconnect) -> Option<usize> {
        let tenant = self.get(id)?;
        let _one_at_a_time = self.changing.lock();
        tenant.disconnect_clients(goodbye);
        self.notifier.ring(&tenant);
        Some(tenant.sockets.len())
    }

    /// Rings the sockets of tenants that have changed, or whose keys were withdrawn where they are published,
    /// until `stop`.
    pub async fn run_policy_notifier(&self, stop: CancellationToken) {
        let follow = async {
            loop {
                self.sources.lost_keys().await;
                self.recheck_withdrawn_keys();
            }
        };
        tokio::select! {
            () = self.notifier.run(stop) => {}
            () = follow => {}
        }
    }

    /// Sees to it that the sockets of tenants that have lost keys ask about theirs again.
    fn recheck_withdrawn_keys(&self) {
        let _one_at_a_time = self.changing.lock();
        for tenant in self.tenants.load().values().filter(|tenant| tenant.policy().verifier.has_lost_keys()) {
            tenant.renew();
            self.notifier.ring(tenant);
        }
    }
}

/// Tells which of a tenant's keys had to be left out.
fn report(tenant: &Tenant) {
    let policy = tenant.policy();
    let problems = policy.verifier.problems();
    if !problems.is_empty() {
        let report = Code::JwksKeyUnusable.at(Scope::Log);
        tenant.reports.record(report, format_args!("`jwt_jwks`: {}", problems.join("; ")));
    }
}

fn key(id: &str) -> Cow<'_, str> {
    if id.bytes().any(|byte| byte.is_ascii_uppercase()) { id.to_ascii_lowercase().into() } else { id.into() }
}

#[cfg(test)]
mod tests {
    use tokio_util::task::TaskTracker;

    use super::*;

    fn many() -> Settings {
        let mut settings = Settings::default();
        for n in 0..1_000 {
            let mut tenant = settings::Tenant::default();
            tenant.auth.jwt_secret = Some(format!("the secret of tenant {n}, of thirty-two bytes").into());
            settings.tenants.insert(format!("tenant-{n}"), tenant);
        }
        settings
    }

    #[test]
    fn a_change_concerns_those_whose_settings_have_changed() {
        let metrics = Metrics::new(Vec::new());
        let mut settings = many();
        let sources = JwksSources::new(TaskTracker::new(), CancellationToken::new());
        let registry = Registry::new(&settings, sources, &metrics);
        assert_eq!(registry.apply(&settings, &metrics), 0);
        let generation = |id| registry.get(id).expect("there").policy().generation;

        settings.tenants.get_mut("tenant-7").expect("there").suspended = true;
        settings.tenants.remove("tenant-8");
        settings.tenants.insert("another".into(), settings::Tenant::default());
        assert_eq!(registry.apply(&settings, &metrics), 3);
        assert_eq!((generation("tenant-7"), generation("tenant-9"), generation("another")), (1, 0, 0));
        assert!(registry.get("tenant-8").is_none());

        settings.server.max_connections = settings.server.max_connections.saturating_add(1);
        assert_eq!(registry.apply(&settings, &metrics), 1_001, "all who may be as many as fit");
    }
}
