//! A store that forgets everything when the process ends.

mod documents;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use parking_lot::Mutex;

use self::documents::MemoryDocuments;
use super::{
    Migrate, Migration, MigrationStatus, Revision, StoreError, StoreKind, StoredTenant, TenantStore,
};

/// Tenants and documents in memory.
#[derive(Debug, Default)]
pub struct MemoryStore {
    tenants: Mutex<BTreeMap<String, StoredTenant>>,
    revisions: AtomicU64,
    documents: MemoryDocuments,
    is_shared: bool,
}

impl MemoryStore {
    /// One that several nodes of this process use.
    pub fn shared() -> Self {
        Self { is_shared: true, ..Self::default() }
    }

    fn write(&self, tenant: &StoredTenant, replaces: Option<&Revision>) -> Result<StoredTenant, StoreError> {
        let mut tenants = self.tenants.lock();
        let before = tenants.get(&tenant.external_id);
        if before.map(|before| &before.revision) != replaces {
            return Err(StoreError::Changed);
        }
        let now = now();
        let mut after = tenant.clone();
        after.inserted_at = before.map_or_else(|| now.clone(), |before| before.inserted_at.clone());
        for extension in &mut after.extensions {
            let known = before.and_then(|it| it.extensions.iter().find(|it| it.kind == extension.kind));
            extension.inserted_at = known.map_or_else(|| now.clone(), |known| known.inserted_at.clone());
            let same = known.filter(|known| known.settings == extension.settings);
            extension.updated_at = same.map_or_else(|| now.clone(), |same| same.updated_at.clone());
        }
        after.extensions.sort_by(|one, other| one.kind.cmp(&other.kind));
        after.revision = Revision(self.revisions.fetch_add(1, Ordering::Relaxed).to_string());
        tenants.insert(after.external_id.clone(), after.clone());
        Ok(after)
    }
}

impl Migrate for MemoryStore {
    fn migration_status(&self) -> BoxFuture<'_, Result<MigrationStatus, StoreError>> {
        ready(Ok(MigrationStatus::default())).boxed()
    }

    fn migrate(&self) -> BoxFuture<'_, Result<Vec<Migration>, StoreError>> {
        ready(Ok(Vec::new())).boxed()
    }

    fn script(&self, _steps: &[Migration]) -> String {
        String::new()
    }
}

impl TenantStore for MemoryStore {
    fn kind(&self) -> StoreKind {
        StoreKind::Memory
    }

    fn tenants(&self) -> BoxFuture<'_, Result<Vec<StoredTenant>, StoreError>> {
        ready(Ok(self.tenants.lock().values().cloned().collect())).boxed()
    }

    fn tenant<'a>(&'a self, external_id: &'a str) -> BoxFuture<'a, Result<Option<StoredTenant>, StoreError>> {
        ready(Ok(self.tenants.lock().get(external_id).cloned())).boxed()
    }

    fn revisions(&self) -> BoxFuture<'_, Result<Vec<(String, Revision)>, StoreError>> {
        let tenants = self.tenants.lock();
        let revisions = tenants.values().map(|tenant| (tenant.external_id.clone(), tenant.revision.clone()));
        ready(Ok(revisions.collect())).boxed()
    }

    fn put<'a>(
        &'a self,
        tenant: &'a StoredTenant,
        replaces: Option<&'a Revision>,
    ) -> BoxFuture<'a, Result<StoredTenant, StoreError>> {
        ready(self.write(tenant, replaces)).boxed()
    }

    fn delete<'a>(&'a self, external_id: &'a str) -> BoxFuture<'a, Result<bool, StoreError>> {
        ready(Ok(self.tenants.lock().remove(external_id).is_some())).boxed()
    }
}

/// The time in UTC, as the databases write it.
fn now() -> String {
    humantime_serde::re::humantime::format_rfc3339_seconds(SystemTime::now()).to_string().replace('Z', "")
}
