//! All tenants, by id, kept in step with the sources that specify them.
//!
//! Looking one up takes no lock. A change concerns the tenants whose specification is another than before: they get
//! another policy, and their sockets are notified. No other tenant is touched.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use http::{HeaderMap, Uri};
use hub::{Disconnect, MemoryBudget};
use parking_lot::Mutex;
use settings::Settings;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::lookups::Lookups;
use super::naming::Named;
use super::policy_notifier::PolicyNotifier;
use super::source::{SourceId, TenantSource};
use super::spec_table::{Key, SpecTable, key};
use super::{Tenant, TenantSpec};
use crate::auth::jwks::JwksSources;
use crate::telemetry::metrics::Metrics;

/// How often a source is asked for one tenant while tenants are removed. After that the tenant counts as unknown, so that
/// frequent removals of others do not keep a request.
const LOOKUP_ATTEMPTS: usize = 3;

type Tenants = HashMap<Key, Arc<Tenant>>;

/// The tenant of requests whose host name begins with an unknown tenant (`server.strict_host`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownHost {
    /// None: they are refused.
    Refused,
    /// The default tenant.
    Default,
}

/// All tenants.
pub struct Registry {
    tenants: ArcSwap<Tenants>,
    default: Arc<Tenant>,
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
        let tenants: Tenants = created.collect();
        let default = tenants.get(&key(&settings.server.default_tenant));
        let default = Arc::clone(default.expect("the default tenant is always there"));
        Self {
            tenants: ArcSwap::from_pointee(tenants),
            default,
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
        let before = self.tenants.load_full();
        let (mut added, mut changed, mut removed) = (Vec::new(), Vec::new(), Vec::new());
        for key in concerned {
            match (before.get(&key), specs.effective(&key)) {
                (Some(tenant), Some(effective)) => {
                    if tenant.reconfigure(effective, &self.jwks) {
                        changed.push(Arc::clone(tenant));
                    }
                }
                (Some(tenant), None) => removed.push((key, Arc::clone(tenant))),
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
        if counts.0 + counts.2 > 0 {
            let mut after = Tenants::clone(&before);
            removed.iter().for_each(|(key, _)| drop(after.remove(key)));
            after.extend(added);
            self.tenants.store(Arc::new(after));
        }
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
        self.tenants.load().get(&*lower_case(id)).map(Arc::clone)
    }

    /// The tenant of this name. One that is not registered is looked up in the sources, once for all concurrent
    /// callers; it counts as unknown when that takes too long.
    pub async fn resolve(&self, id: &str) -> Option<Arc<Tenant>> {
        if let Some(tenant) = self.get(id) {
            return Some(tenant);
        }
        let sources = self.sources.load_full();
        if sources.is_empty() {
            return None;
        }
        let id = lower_case(id);
        self.lookups.run(&id, self.look_up(&sources, &id)).await
    }

    async fn look_up(&self, sources: &[Arc<dyn TenantSource>], id: &str) -> Option<Arc<Tenant>> {
        for (number, source) in sources.iter().enumerate() {
            if let Some(tenant) = self.resolve_in(SourceId::after(number), &**source, id).await {
                return Some(tenant);
            }
        }
        None
    }

    async fn resolve_in(&self, of: SourceId, source: &dyn TenantSource, id: &str) -> Option<Arc<Tenant>> {
        for _ in 0..LOOKUP_ATTEMPTS {
            let removals = self.specs.lock().removals();
            let spec = source.resolve(id).await.filter(|spec| spec.id.eq_ignore_ascii_case(id));
            let mut specs = self.specs.lock();
            if specs.removals() == removals {
                let concerned = specs.put_resolved(of, spec?);
                self.update(&specs, concerned);
                return self.get(id);
            }
        }
        None
    }

    /// The tenant of requests that name none.
    pub fn default_tenant(&self) -> &Arc<Tenant> {
        &self.default
    }

    /// Every registered tenant, in no order.
    pub fn all(&self) -> Vec<Arc<Tenant>> {
        self.tenants.load().values().map(Arc::clone).collect()
    }

    /// The tenant that a request names; `None` when there is no such tenant.
    ///
    /// A name given explicitly (`x-tenant`, `tenant`) must be known: to serve the request for another tenant instead
    /// would hide the mistake. A host name may have nothing to do with tenants, so `unknown_host`
    /// decides about an unknown one.
    pub async fn for_request(
        &self,
        headers: &HeaderMap,
        uri: &Uri,
        unknown_host: UnknownHost,
    ) -> Option<Arc<Tenant>> {
        let default = || Arc::clone(&self.default);
        match Named::in_head(headers, uri) {
            Named::Explicitly(id) => self.resolve(&id).await,
            Named::ByHost(label) => self.resolve(label).await.or_else(|| match unknown_host {
                UnknownHost::Refused => None,
                UnknownHost::Default => Some(default()),
            }),
            Named::NotAtAll => Some(default()),
        }
    }

    /// Disconnects all clients of a tenant. Returns how many sockets that concerns; `None` when there is no such tenant.
    pub fn disconnect_clients(&self, id: &str, disconnect: Disconnect) -> Option<usize> {
        let tenant = self.get(id)?;
        let _one_at_a_time = self.specs.lock();
        tenant.disconnect_clients(disconnect);
        self.notifier.notify(&tenant);
        Some(tenant.sockets.len())
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
            self.tenants.load().values().filter(|tenant| tenant.policy().verifier.take_keys_withdrawn())
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
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use futures_util::FutureExt;
    use futures_util::future::{BoxFuture, join_all};
    use tokio_util::task::TaskTracker;

    use super::*;

    /// Answers after `wait`, with a tenant if the name begins with `known`.
    #[derive(Default)]
    struct SlowSource {
        wait: Duration,
        lookups: AtomicUsize,
    }

    impl TenantSource for SlowSource {
        fn resolve<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Option<TenantSpec>> {
            self.lookups.fetch_add(1, Ordering::Relaxed);
            let spec = TenantSpec { id: id.to_owned(), settings: settings::Tenant::default() };
            async move {
                tokio::time::sleep(self.wait).await;
                id.starts_with("known").then_some(spec)
            }
            .boxed()
        }
    }

    /// A registry with a source that answers after `wait`.
    fn with_source(wait: Duration) -> (Registry, Arc<SlowSource>, SourceId) {
        let jwks = JwksSources::new(TaskTracker::new(), CancellationToken::new());
        let registry = Registry::new(
            &Settings::default(),
            jwks,
            (&Arc::new(Metrics::new(Vec::new())), &MemoryBudget::new(usize::MAX, 75)),
        );
        let source = Arc::new(SlowSource { wait, ..Default::default() });
        let id = registry.add_source(Arc::clone(&source) as Arc<dyn TenantSource>);
        (registry, source, id)
    }

    #[tokio::test]
    async fn a_lookup_that_takes_too_long_finds_no_tenant() {
        let (mut registry, source, _) = with_source(Duration::from_secs(3_600));
        registry.lookups = Lookups::new(Duration::from_millis(100), 2);
        assert!(registry.resolve("known").await.is_none());
        // More names than lookups may run at once: those that wait for a permit time out as well.
        let names: Vec<_> = (0..20).map(|n| format!("known-{n}")).collect();
        let all = || join_all(names.iter().map(|name| registry.resolve(name)));
        assert!(all().await.iter().all(Option::is_none));
        let before = source.lookups.load(Ordering::Relaxed);
        assert!(tokio::time::timeout(Duration::from_millis(20), all()).await.is_err());
        assert_eq!(source.lookups.load(Ordering::Relaxed), before + 2);
        assert!(registry.resolve("default").await.is_some(), "a registered tenant is not looked up");
    }

    #[tokio::test]
    async fn concurrent_requests_for_a_tenant_are_one_lookup() {
        let (registry, source, _) = with_source(Duration::from_millis(200));
        for (name, is_known) in [("Known", true), ("another", false)] {
            let found = join_all((0..100).map(|_| registry.resolve(name))).await;
            assert!(found.iter().all(|tenant| tenant.is_some() == is_known));
        }
        assert_eq!(source.lookups.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn a_name_that_was_unknown_a_moment_ago_is_not_looked_up_again() {
        let (registry, source, id) = with_source(Duration::ZERO);
        for _ in 0..100 {
            assert!(registry.resolve("another").await.is_none());
        }
        assert_eq!(source.lookups.load(Ordering::Relaxed), 1);
        registry.put(id, TenantSpec { id: "another".into(), settings: settings::Tenant::default() });
        assert!(registry.resolve("another").await.is_some(), "what is put is known at once");
    }

    #[tokio::test]
    async fn names_beyond_those_that_may_wait_are_unknown_at_once() {
        let (registry, source, _) = with_source(Duration::from_secs(3_600));
        let names: Vec<_> = (0..2_000).map(|n| format!("known-{n}")).collect();
        let mut lookups: Vec<_> = names.iter().map(|name| Box::pin(registry.resolve(name))).collect();
        let answered = lookups.iter_mut().filter_map(|lookup| lookup.now_or_never());
        assert_eq!(answered.filter(Option::is_none).count(), 2_000 - 1_024);
        assert_eq!(source.lookups.load(Ordering::Relaxed), 64);
    }

    #[tokio::test]
    async fn a_cancelled_request_does_not_end_the_lookup_of_others() {
        let (registry, _source, _) = with_source(Duration::from_millis(200));
        let cancelled = tokio::time::timeout(Duration::from_millis(50), registry.resolve("known"));
        let (cancelled, found) = tokio::join!(cancelled, registry.resolve("known"));
        assert!(cancelled.is_err());
        assert!(found.is_some());
    }

    #[tokio::test]
    async fn continuous_removals_do_not_repeat_a_lookup_for_ever() {
        let (registry, source, id) = with_source(Duration::from_millis(200));
        let removals = async {
            loop {
                registry.remove(id, "another");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::select! {
            found = registry.resolve("known") => assert!(found.is_none()),
            () = removals => {}
        }
        assert_eq!(source.lookups.load(Ordering::Relaxed), LOOKUP_ATTEMPTS);
    }

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
