//! All tenants, by id, kept in step with the sources that specify them.
//!
//! Looking one up takes no lock. A change concerns the tenants whose specification is another than before: they get
//! another policy, and their sockets are notified. No other tenant is touched.

mod resolve;
mod table;

use std::borrow::Cow;
use std::sync::Arc;

use arc_swap::ArcSwap;
use hub::{Disconnect, MemoryBudget};
use parking_lot::Mutex;
use settings::Settings;
use tokio_util::sync::CancellationToken;
use tracing::info;

pub use self::resolve::UnknownHost;
use self::table::TenantTable;
use super::lookups::Lookups;
use super::policy_notifier::PolicyNotifier;
use super::source::{SourceId, TenantSource};
use super::spec_table::{Key, SpecTable};
use super::{Tenant, TenantSpec};
use crate::auth::jwks::JwksSources;
use crate::telemetry::metrics::Metrics;

/// All tenants.
pub struct Registry {
    tenants: TenantTable,
    /// The id of the tenant of requests that name none. It is looked up like any other: the store may have it.
    default: ArcSwap<String>,
    /// Held for a whole change, so that changes follow each other.
    specs: Mutex<SpecTable>,
    /// The sources beside the configuration, in order of precedence.
    sources: ArcSwap<Vec<Arc<dyn TenantSource>>>,
    lookups: Lookups,
    jwks: JwksSources,
    metrics: Arc<Metrics>,
    memory: Arc<MemoryBudget>,
    notifier: PolicyNotifier,
}

impl Registry {
    /// The tenants of `settings`.
    pub fn new(
        settings: &Settings,
        jwks: JwksSources,
        (metrics, memory): (&Arc<Metrics>, &Arc<MemoryBudget>),
    ) -> Self {
        jwks.set_max_waiting(settings.server.max_waiting_for_keys.get());
        let specs = SpecTable::new(settings);
        let created = specs.keys().map(|key| {
            let effective = specs.effective(key).expect("each key of the table has a specification");
            (key.clone(), Arc::new(Tenant::new(effective, &jwks, (metrics, memory))))
        });
        let tenants = TenantTable::new(created);
        Self {
            tenants,
            default: ArcSwap::from_pointee(settings.default_tenant().to_owned()),
            specs: Mutex::new(specs),
            sources: ArcSwap::default(),
            lookups: Lookups::default(),
            jwks,
            metrics: Arc::clone(metrics),
            memory: Arc::clone(memory),
            notifier: PolicyNotifier::default(),
        }
    }

    /// Adds a source of tenants. Where it specifies a tenant that the configuration or a source added earlier specifies
    /// too, the earlier one applies.
    pub fn add_source(&self, source: Arc<dyn TenantSource>) -> SourceId {
        let _one_at_a_time = self.specs.lock();
        let mut sources = Vec::clone(&self.sources.load());
        let id = SourceId::after(sources.len());
        sources.push(source);
        self.sources.store(Arc::new(sources));
        id
    }

    /// Applies the tenants of `settings`. Returns how many tenants have changed.
    pub fn apply(&self, settings: &Settings) -> usize {
        self.jwks.set_max_waiting(settings.server.max_waiting_for_keys.get());
        let mut specs = self.specs.lock();
        let concerned = specs.configure(settings);
        self.default.store(Arc::new(settings.default_tenant().to_owned()));
        self.update(&specs, concerned)
    }

    /// Applies what `source` specifies for a tenant, new or known.
    pub fn put(&self, source: SourceId, spec: TenantSpec) {
        let mut specs = self.specs.lock();
        let concerned = specs.put(source, spec);
        self.update(&specs, concerned);
    }

    /// Withdraws what `source` specifies for a tenant. If no other source specifies it, its clients are disconnected.
    pub fn remove(&self, source: SourceId, id: &str) {
        let mut specs = self.specs.lock();
        let concerned = specs.remove(source, id);
        self.update(&specs, concerned);
    }

    /// Makes the tenants `concerned` what their specifications say. Returns how many have changed.
    fn update(&self, specs: &SpecTable, concerned: impl IntoIterator<Item = Key>) -> usize {
        let (mut added, mut changed, mut removed) = (Vec::new(), Vec::new(), Vec::new());
        for key in concerned {
            match (self.tenants.get(&key), specs.effective(&key)) {
                (Some(tenant), Some(effective)) => {
                    if tenant.reconfigure(effective, &self.jwks) {
                        changed.push(tenant);
                    }
                }
                (Some(tenant), None) => removed.push((key, tenant)),
                (None, Some(effective)) => {
                    added.push((
                        key,
                        Arc::new(Tenant::new(effective, &self.jwks, (&self.metrics, &self.memory))),
                    ));
                }
                (None, None) => {}
            }
        }
        let counts = (added.len(), changed.len(), removed.len());
        let withdrawn = removed.iter().map(|(key, _)| (Key::clone(key), None));
        let present = added.into_iter().map(|(key, tenant)| (key, Some(tenant)));
        self.tenants.change(withdrawn.chain(present));
        // Only when requests no longer find it: a connection accepted before is disconnected.
        removed.iter().for_each(|(_, tenant)| tenant.remove());
        changed
            .iter()
            .chain(removed.iter().map(|(_, tenant)| tenant))
            .for_each(|one| self.notifier.notify(one));
        let (added, changed, removed) = counts;
        if added + changed + removed > 0 {
            info!(added, changed, removed, "Tenants changed");
        }
        added + changed + removed
    }

    /// The tenant of this name, in whatever case it is written, if it is registered.
    pub fn get(&self, id: &str) -> Option<Arc<Tenant>> {
        self.tenants.get(&lower_case(id))
    }

    /// Those of these names, in lower case, that the configuration has, in order.
    pub fn configured_of<'a>(&self, names: impl Iterator<Item = &'a String>) -> Vec<String> {
        let specs = self.specs.lock();
        let mut configured: Vec<_> = names.filter(|name| specs.is_configured(name)).cloned().collect();
        configured.sort_unstable();
        configured
    }

    /// Every registered tenant, in no order.
    pub fn all(&self) -> Vec<Arc<Tenant>> {
        self.tenants.all()
    }

    /// Disconnects all clients of a tenant. Returns how many sockets that concerns; `None` when there is no such tenant.
    pub fn disconnect_clients(&self, id: &str, disconnect: Disconnect) -> Option<usize> {
        let tenant = self.get(id)?;
        let _one_at_a_time = self.specs.lock();
        tenant.disconnect_clients(disconnect);
        self.notifier.notify(&tenant);
        Some(tenant.sockets.len())
    }

    /// Messages of a tenant's database may have been lost: its clients are notified.
    pub fn note_gap(&self, id: &str) {
        let Some(tenant) = self.get(id) else { return };
        let _one_at_a_time = self.specs.lock();
        tenant.note_gap();
        self.notifier.notify(&tenant);
    }

    /// Notifies the sockets of tenants that have changed, or whose published keys were withdrawn, until `stop`.
    pub async fn run_policy_notifier(&self, stop: CancellationToken) {
        let recheck = async {
            loop {
                self.jwks.keys_withdrawn().await;
                self.recheck_withdrawn_keys();
            }
        };
        tokio::select! {
            () = self.notifier.run(stop) => {}
            () = recheck => {}
        }
    }

    /// Makes the sockets of tenants that have lost keys verify their tokens again.
    fn recheck_withdrawn_keys(&self) {
        let _one_at_a_time = self.specs.lock();
        for tenant in
            self.tenants.all().iter().filter(|tenant| tenant.policy().verifier.take_keys_withdrawn())
        {
            tenant.renew_policy();
            self.notifier.notify(tenant);
        }
    }
}

fn lower_case(id: &str) -> Cow<'_, str> {
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
    fn a_change_concerns_the_tenants_whose_settings_have_changed() {
        let mut settings = many();
        let jwks = JwksSources::new(TaskTracker::new(), CancellationToken::new());
        let registry = Registry::new(
            &settings,
            jwks,
            (&Arc::new(Metrics::new(Vec::new())), &MemoryBudget::new(usize::MAX, 75)),
        );
        assert_eq!(registry.apply(&settings), 0);
        let generation = |id| registry.get(id).expect("there").policy().generation;

        settings.tenants.get_mut("tenant-7").expect("there").suspended = true;
        settings.tenants.remove("tenant-8");
        settings.tenants.insert("another".into(), settings::Tenant::default());
        assert_eq!(registry.apply(&settings), 3);
        assert_eq!((generation("tenant-7"), generation("tenant-9"), generation("another")), (1, 0, 0));
        assert!(registry.get("tenant-8").is_none());

        settings.server.max_connections = settings.server.max_connections.saturating_add(1);
        assert_eq!(
            registry.apply(&settings),
            1_001,
            "the limit of the node is part of every tenant's limits"
        );
    }
}
