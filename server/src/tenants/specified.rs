//! The database of a tenant as the configuration or the store specifies it, without a server that runs.

use std::sync::Arc;

use settings::Settings;

use super::spec::{EffectiveSpec, NodeDefaults};
use super::{DatabaseSpec, TenantOrigin, TenantSpec, stored};
use crate::store::{EncryptionError, EncryptionKeys, StoreError, TenantStore};

/// Why it is not known which database a tenant has.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseNotSpecified {
    /// There is no such tenant.
    #[error("there is no such tenant, neither in the configuration nor in the store")]
    UnknownTenant,
    /// It has none.
    #[error(
        "it has no database: set `tenants.<id>.database.url`, or the extension `postgres_cdc_rls` of a tenant in the store"
    )]
    NoDatabase,
    /// It is stored, and its secrets cannot be decrypted.
    #[error("what the store has of it cannot be decrypted")]
    Unreadable(#[from] EncryptionError),
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The database of the tenant `id`, in whatever case it is written: that of the configuration, else that of `store`.
///
/// # Errors
/// When there is no such tenant or it has no database, and those of the store.
pub async fn specified_database(
    settings: &Settings,
    store: Option<(&dyn TenantStore, &EncryptionKeys)>,
    id: &str,
) -> Result<Arc<DatabaseSpec>, DatabaseNotSpecified> {
    let configured = settings.every_tenant().into_iter().find(|(one, _)| one.eq_ignore_ascii_case(id));
    let (spec, origin) = match (configured, store) {
        (Some((id, settings)), _) => (TenantSpec { id, settings }, TenantOrigin::Configuration),
        (None, Some((store, keys))) => (stored_spec(store, keys, id).await?, TenantOrigin::Store),
        (None, None) => return Err(DatabaseNotSpecified::UnknownTenant),
    };
    let effective = EffectiveSpec::new(&Arc::new(spec), origin, &NodeDefaults::of(settings));
    effective.database.ok_or(DatabaseNotSpecified::NoDatabase)
}

async fn stored_spec(
    store: &dyn TenantStore,
    keys: &EncryptionKeys,
    id: &str,
) -> Result<TenantSpec, DatabaseNotSpecified> {
    let found = match store.tenant(id).await? {
        Some(tenant) => Some(tenant),
        None => store.tenants().await?.into_iter().find(|tenant| tenant.external_id.eq_ignore_ascii_case(id)),
    };
    Ok(stored::spec(&found.ok_or(DatabaseNotSpecified::UnknownTenant)?, keys)?)
}
