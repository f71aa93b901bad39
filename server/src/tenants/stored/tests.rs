//! Changes of a tenant that overtake each other, and names that differ in case alone.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use hub::MemoryBudget;
use settings::Settings;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::refresh::by_name;
use super::*;
use crate::auth::jwks::JwksSources;
use crate::store::{MemoryStore, WrittenForm};
use crate::telemetry::metrics::Metrics;

/// A store whose first lookup answers with what it has read only when it is released.
#[derive(Debug, Default)]
struct SlowFirstLookup {
    memory: MemoryStore,
    lookups: AtomicUsize,
    read: Notify,
    release: Notify,
}

impl TenantStore for SlowFirstLookup {
    fn kind(&self) -> StoreKind {
        self.memory.kind()
    }

    fn tenants(&self) -> BoxFuture<'_, Result<Vec<StoredTenant>, StoreError>> {
        self.memory.tenants()
    }

    fn tenant<'a>(&'a self, external_id: &'a str) -> BoxFuture<'a, Result<Option<StoredTenant>, StoreError>> {
        async move {
            let found = self.memory.tenant(external_id).await;
            if self.lookups.fetch_add(1, Ordering::Relaxed) == 0 {
                self.read.notify_one();
                self.release.notified().await;
            }
            found
        }
        .boxed()
    }

    fn revisions(&self) -> BoxFuture<'_, Result<Vec<(String, Revision)>, StoreError>> {
        self.memory.revisions()
    }

    fn put<'a>(
        &'a self,
        tenant: &'a StoredTenant,
        replaces: Option<&'a Revision>,
    ) -> BoxFuture<'a, Result<StoredTenant, StoreError>> {
        self.memory.put(tenant, replaces)
    }

    fn delete<'a>(&'a self, external_id: &'a str) -> BoxFuture<'a, Result<bool, StoreError>> {
        self.memory.delete(external_id)
    }
}

/// A registry, and the tenants of `store` as a source of it.
fn registered(store: Arc<dyn TenantStore>) -> (Registry, StoredTenants) {
    let jwks = JwksSources::new(TaskTracker::new(), CancellationToken::new());
    let metrics = Arc::new(Metrics::new(Vec::new()));
    let budget = MemoryBudget::new(usize::MAX, 75);
    let registry = Registry::new(&Settings::default(), jwks, (&metrics, &budget));
    let keys = EncryptionKeys::new(None, None, WrittenForm::Current).expect("no key is no error");
    let stored = StoredTenants::register(store, keys, Duration::MAX, &registry);
    (registry, stored)
}

/// A row that needs no secret.
fn row(external_id: &str) -> StoredTenant {
    let mut tenant = StoredTenant::new(external_id.into(), external_id);
    tenant.jwt_jwks = Some(serde_json::json!({"keys": []}));
    tenant
}

// Its metrics would be counted with those that are about no tenant. Only another program can write such a row.
#[tokio::test]
async fn a_row_with_the_name_of_no_tenant_is_not_served() {
    for name in ["nil", "Nil"] {
        let store = Arc::new(MemoryStore::default());
        let (registry, stored) = registered(Arc::clone(&store) as Arc<dyn TenantStore>);
        for name in [name, "acme"] {
            store.put(&row(name), None).await.expect("a new one");
        }
        stored.refresh(&registry).await.expect("it can be read");
        let found = async |id| registry.resolve(id).await.expect("the store answers").is_some();
        assert_eq!((found(name).await, found("nil").await, found("acme").await), (false, false, true));
    }
}

#[tokio::test]
async fn of_two_changes_the_newer_one_applies_in_the_end() {
    let store = Arc::new(SlowFirstLookup::default());
    let (registry, stored) = registered(Arc::clone(&store) as Arc<dyn TenantStore>);
    let first = store.put(&row("acme"), None).await.expect("a new one");

    let older = stored.apply(&registry, "acme");
    let newer = async {
        store.read.notified().await;
        let changed = StoredTenant { private_only: true, ..first.clone() };
        store.put(&changed, Some(&first.revision)).await.expect("a change");
        // Released while the newer change is about to be applied.
        tokio::join!(stored.apply(&registry, "acme"), async {
            tokio::task::yield_now().await;
            store.release.notify_one();
        })
        .0
    };
    let (older, newer) = tokio::join!(older, newer);
    assert_eq!((older, newer), (Ok(()), Ok(())));
    assert!(registry.get("acme").expect("it is there").policy().private_only());
}

#[test]
fn of_names_that_differ_in_case_alone_the_one_that_is_served_counts() {
    let row = |name: &str, revision: &str| (name.to_owned(), Revision::from(revision));
    let rows = vec![
        row("acme", "1"),
        row("Acme", "2"),
        row("ACME", "3"),
        row("B", "4"),
        row("BB", "5"),
        row("Bb", "6"),
    ];
    let mut served: Vec<_> = by_name(rows).into_values().collect();
    served.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(served, [row("B", "4"), row("BB", "5"), row("acme", "1")]);
}
