//! Which tenant a name or a request means. A name that is not registered is looked up in the sources.

use std::sync::Arc;

use http::{HeaderMap, Uri};

use super::{Registry, lower_case};
use crate::tenants::lookups::Found;
use crate::tenants::naming::Named;
use crate::tenants::source::{Expectation, SourceId, SourceUnavailable, TenantSource};

/// How often a source is asked for one tenant while tenants are removed. After that the request is refused, so that frequent
/// removals of others do not keep it.
const LOOKUP_ATTEMPTS: usize = 3;

/// The tenant of requests whose host name begins with an unknown tenant (`server.strict_host`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownHost {
    /// None: they are refused.
    Refused,
    /// The default tenant.
    Default,
}

impl Registry {
    /// The tenant of this name. One that is not registered is looked up in the sources, once for all concurrent
    /// callers.
    ///
    /// # Errors
    /// When no source has it, and one cannot be asked or does not answer in time.
    pub async fn resolve(&self, id: &str) -> Found {
        if let Some(tenant) = self.get(id) {
            return Ok(Some(tenant));
        }
        let sources = self.sources.load_full();
        let id = lower_case(id);
        match expectation(&sources, &id) {
            Expectation::Absent => Ok(None),
            expectation => self.lookups.run(&id, expectation, self.look_up(&sources, &id)).await,
        }
    }

    async fn look_up(&self, sources: &[Arc<dyn TenantSource>], id: &str) -> Found {
        let mut otherwise = Ok(None);
        for (number, source) in sources.iter().enumerate() {
            match self.resolve_in(SourceId::after(number), &**source, id).await {
                Ok(None) => {}
                Ok(found) => return Ok(found),
                unavailable => otherwise = unavailable,
            }
        }
        otherwise
    }

    async fn resolve_in(&self, of: SourceId, source: &dyn TenantSource, id: &str) -> Found {
        for _ in 0..LOOKUP_ATTEMPTS {
            let removals = self.specs.lock().removals();
            let spec = source.resolve(id).await?.filter(|spec| spec.id.eq_ignore_ascii_case(id));
            let mut specs = self.specs.lock();
            if specs.removals() == removals {
                let Some(spec) = spec else { return Ok(None) };
                let concerned = specs.put_resolved(of, spec);
                self.update(&specs, concerned);
                return Ok(self.get(id));
            }
        }
        // It may be there: the next request asks again.
        Err(SourceUnavailable)
    }

    /// The tenant that a request names; `None` when there is no such tenant.
    ///
    /// A name given explicitly (`x-tenant`, `tenant`) must be known: to serve the request for another tenant instead
    /// would hide the mistake. A host name may have nothing to do with tenants, so `unknown_host`
    /// decides about an unknown one. Where that is the default tenant, one that no source is known to have is unknown, and so is one
    /// that cannot be looked up: clients of a default tenant of the configuration do not depend on other sources.
    ///
    /// # Errors
    /// Those of [`resolve`](Self::resolve).
    pub async fn for_request(&self, headers: &HeaderMap, uri: &Uri, unknown_host: UnknownHost) -> Found {
        match Named::in_head(headers, uri) {
            Named::Explicitly(id) => self.resolve(&id).await,
            Named::ByHost(label) if unknown_host == UnknownHost::Default && self.is_unclear(label) => {
                self.resolve_default().await
            }
            Named::ByHost(label) => match (self.resolve(label).await, unknown_host) {
                (Ok(None) | Err(SourceUnavailable), UnknownHost::Default) => self.resolve_default().await,
                (found, _) => found,
            },
            Named::NotAtAll => self.resolve_default().await,
        }
    }

    /// Whether a name may be that of a tenant, and nothing speaks for it.
    fn is_unclear(&self, id: &str) -> bool {
        let is_unclear = || expectation(&self.sources.load(), &lower_case(id)) == Expectation::Unclear;
        self.get(id).is_none() && is_unclear()
    }

    /// The tenant of requests that name none.
    async fn resolve_default(&self) -> Found {
        let id = self.default.load_full();
        self.resolve(&id).await
    }
}

/// What is known of a name without a lookup.
fn expectation(sources: &[Arc<dyn TenantSource>], id: &str) -> Expectation {
    sources.iter().map(|source| source.expects(id)).max().unwrap_or(Expectation::Absent)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use futures_util::FutureExt;
    use futures_util::future::{BoxFuture, join_all};
    use tokio_util::task::TaskTracker;

    use hub::MemoryBudget;
    use settings::Settings;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::auth::jwks::JwksSources;
    use crate::telemetry::metrics::Metrics;
    use crate::tenants::TenantSpec;
    use crate::tenants::lookups::Lookups;

    /// Answers after `wait`, with a tenant if the name begins with `known`.
    #[derive(Default)]
    struct SlowSource {
        wait: Duration,
        lookups: AtomicUsize,
    }

    impl TenantSource for SlowSource {
        fn resolve<'a>(
            &'a self,
            id: &'a str,
        ) -> BoxFuture<'a, Result<Option<TenantSpec>, SourceUnavailable>> {
            self.lookups.fetch_add(1, Ordering::Relaxed);
            let spec = TenantSpec { id: id.to_owned(), settings: settings::Tenant::default() };
            async move {
                tokio::time::sleep(self.wait).await;
                Ok(id.starts_with("known").then_some(spec))
            }
            .boxed()
        }

        fn expects(&self, id: &str) -> Expectation {
            match id.split('-').nth(1) {
                Some("absent") => Expectation::Absent,
                Some("present") => Expectation::Present,
                _ => Expectation::Unclear,
            }
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

    fn is_found(found: &Found) -> bool {
        matches!(found, Ok(Some(_)))
    }

    #[tokio::test]
    async fn a_lookup_that_takes_too_long_fails() {
        let (mut registry, source, _) = with_source(Duration::from_secs(3_600));
        registry.lookups = Lookups::new(Duration::from_millis(100), 2);
        assert!(registry.resolve("known").await.is_err());
        // More names than lookups may run at once: those that wait for a permit time out as well.
        let names: Vec<_> = (0..20).map(|n| format!("known-{n}")).collect();
        let all = || join_all(names.iter().map(|name| registry.resolve(name)));
        assert!(all().await.iter().all(Result::is_err));
        let before = source.lookups.load(Ordering::Relaxed);
        assert!(tokio::time::timeout(Duration::from_millis(20), all()).await.is_err());
        assert_eq!(source.lookups.load(Ordering::Relaxed), before + 2);
        assert!(is_found(&registry.resolve("default").await), "a registered tenant is not looked up");
    }

    #[tokio::test]
    async fn concurrent_requests_for_a_tenant_are_one_lookup() {
        let (registry, source, _) = with_source(Duration::from_millis(200));
        for (name, is_known) in [("Known", true), ("another", false)] {
            let found = join_all((0..100).map(|_| registry.resolve(name))).await;
            assert!(found.iter().all(|found| is_found(found) == is_known));
        }
        assert_eq!(source.lookups.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn names_beyond_those_that_may_wait_fail_at_once() {
        let (registry, source, _) = with_source(Duration::from_secs(3_600));
        let names: Vec<_> = (0..2_000).map(|n| format!("known-{n}")).collect();
        let mut lookups: Vec<_> = names.iter().map(|name| Box::pin(registry.resolve(name))).collect();
        let answered = lookups.iter_mut().filter_map(|lookup| lookup.now_or_never());
        assert_eq!(answered.filter(Result::is_err).count(), 2_000 - 1_024);
        assert_eq!(source.lookups.load(Ordering::Relaxed), 64);
        assert!(registry.resolve("known-present").now_or_never().is_none(), "one that is expected waits");
    }

    #[tokio::test]
    async fn what_a_source_knows_to_be_absent_is_not_looked_up() {
        let (registry, source, id) = with_source(Duration::ZERO);
        assert!(matches!(registry.resolve("known-absent").await, Ok(None)));
        assert_eq!(source.lookups.load(Ordering::Relaxed), 0);
        registry.put(id, TenantSpec { id: "known-absent".into(), settings: settings::Tenant::default() });
        assert!(is_found(&registry.resolve("known-absent").await), "what is put is known at once");
    }

    #[tokio::test]
    async fn a_host_name_that_no_source_is_known_to_have_is_not_looked_up() {
        let (registry, source, _) = with_source(Duration::ZERO);
        for (host, unknown_host, tenant, lookups) in [
            ("realtime.example.com", UnknownHost::Default, Some("default"), 0),
            ("realtime.example.com", UnknownHost::Refused, None, 1),
            ("known-present.example.com", UnknownHost::Default, Some("known-present"), 2),
        ] {
            let headers = HeaderMap::from_iter([(http::header::HOST, host.parse().expect("a host"))]);
            let found = registry.for_request(&headers, &Uri::from_static("/"), unknown_host).await;
            assert_eq!(found.expect("it is asked").as_ref().map(|tenant| &*tenant.id), tenant, "{host}");
            assert_eq!(source.lookups.load(Ordering::Relaxed), lookups, "{host}");
        }
    }

    #[tokio::test]
    async fn a_cancelled_request_does_not_end_the_lookup_of_others() {
        let (registry, _source, _) = with_source(Duration::from_millis(200));
        let cancelled = tokio::time::timeout(Duration::from_millis(50), registry.resolve("known"));
        let (cancelled, found) = tokio::join!(cancelled, registry.resolve("known"));
        assert!(cancelled.is_err());
        assert!(is_found(&found));
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
            found = registry.resolve("known") => assert!(found.is_err(), "it may be there"),
            () = removals => {}
        }
        assert_eq!(source.lookups.load(Ordering::Relaxed), LOOKUP_ATTEMPTS);
    }
}
