//! Tenants of the store: a source for the registry, and what the management API writes.
//!
//! What a request is answered is durable and applies on this node at once. The other nodes are notified by the
//! caller or the store, and find out by themselves within `store.refresh`.

mod changes;
mod conversion;
mod lookup;
mod names;
mod refresh;
mod unknown_names;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

pub use self::changes::ChangedTenants;
pub(super) use self::conversion::spec;
use self::lookup::Shared;
pub use self::refresh::Refreshed;
use super::registry::Registry;
use super::source::{SourceId, TenantSource};
use crate::store::{EncryptionKeys, Revision, StoreError, StoreKind, StoredTenant, TenantStore};
use crate::telemetry::codes::Code;
use crate::telemetry::reports::Reports;

/// How often a write begins again because another writer was faster.
const ATTEMPTS: usize = 5;

/// The tenants of a store, as a source of a registry. Clones are the same.
#[derive(Debug, Clone)]
pub struct StoredTenants {
    source: SourceId,
    shared: Arc<Shared>,
}

/// What a write has done.
#[derive(Debug, Clone, PartialEq)]
pub enum Written {
    /// There was no such tenant.
    Created(StoredTenant),
    /// There was one.
    Updated(StoredTenant),
}

/// Why a write was not done.
#[derive(Debug, thiserror::Error)]
pub enum WriteError<E> {
    /// The caller refuses it.
    #[error("refused")]
    Refused(E),
    /// The store does.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl StoredTenants {
    /// Makes the tenants of `store` known to `registry`. Their secrets are encrypted with `keys`.
    /// The store has `timeout` for each answer.
    pub fn register(
        store: Arc<dyn TenantStore>,
        keys: EncryptionKeys,
        timeout: Duration,
        registry: &Registry,
    ) -> Self {
        let shared = Arc::new(Shared::new(store, keys, timeout));
        let source = registry.add_source(Arc::clone(&shared) as Arc<dyn TenantSource>);
        Self { source, shared }
    }

    /// What the store is.
    pub fn kind(&self) -> StoreKind {
        self.shared.store.kind()
    }

    /// Whether the store can be reached.
    ///
    /// # Errors
    /// Why it cannot be.
    pub async fn probe(&self) -> Result<(), StoreError> {
        self.shared.within_timeout(self.shared.store.probe()).await
    }

    /// Has the user and the password of these settings tried.
    pub fn use_credentials(&self, settings: &settings::Store) {
        if self.shared.store.offer_credentials(settings) {
            self.shared.has_new_credentials.notify_one();
        }
    }

    /// Tries credentials that are new, and reports what comes of it. Those before stay in use until the store accepts them.
    pub async fn try_credentials(&self, reports: &Reports) {
        let tried = timeout(self.shared.timeout, self.shared.store.try_credentials()).await;
        if let Ok(Some(trial)) = tried {
            trial.report("The store", Code::StoreCredentialsRefused, reports);
        }
    }

    /// Whether the store refuses the credentials of the newest settings.
    pub fn refuses_credentials(&self) -> bool {
        self.shared.store.refuses_credentials()
    }

    /// Waits until there are credentials to be tried.
    pub async fn until_new_credentials(&self) {
        self.shared.has_new_credentials.notified().await;
    }

    /// What encrypts their secrets.
    pub fn keys(&self) -> &EncryptionKeys {
        &self.shared.keys
    }

    /// All tenants.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn all(&self) -> Result<Vec<StoredTenant>, StoreError> {
        self.shared.noted(self.shared.store()?.tenants()).await
    }

    /// The tenant of this name, in whatever case it is written. If several differ in case alone, it is the one that is written
    /// exactly so, else the one in lower case, else the first in the order of their bytes.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn get(&self, external_id: &str) -> Result<Option<StoredTenant>, StoreError> {
        self.shared.find(external_id).await
    }

    /// Writes what `edit` makes of what is stored now. Called again when another writer was faster.
    ///
    /// # Errors
    /// Those of `edit` and of the store.
    pub async fn write<E>(
        &self,
        external_id: &str,
        edit: impl Fn(Option<&StoredTenant>) -> Result<StoredTenant, E>,
    ) -> Result<Written, WriteError<E>> {
        for _ in 0..ATTEMPTS {
            let before = self.get(external_id).await?;
            let after = edit(before.as_ref()).map_err(WriteError::Refused)?;
            let replaces: Option<&Revision> = before.as_ref().map(|before| &before.revision);
            match (self.shared.noted(self.shared.store()?.put(&after, replaces)).await, replaces) {
                (Ok(stored), None) => {
                    self.shared.names.add(&external_id.to_ascii_lowercase());
                    return Ok(Written::Created(stored));
                }
                (Ok(stored), Some(_)) => return Ok(Written::Updated(stored)),
                (Err(StoreError::Changed), _) => {}
                (Err(error), _) => return Err(error.into()),
            }
        }
        Err(StoreError::Changed.into())
    }

    /// Deletes the tenant. Returns whether there was one.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn delete(&self, external_id: &str) -> Result<bool, StoreError> {
        // Its name may be stored in upper case.
        let Some(stored) = self.get(external_id).await? else { return Ok(false) };
        self.shared.noted(self.shared.store()?.delete(&stored.external_id)).await
    }

    /// Whether the secret of the tenant could not be decrypted the last time. Then it is served as it was before, if it was.
    pub fn is_unreadable(&self, external_id: &str) -> bool {
        self.shared.unreadable.lock().contains(&external_id.to_ascii_lowercase())
    }

    /// Whether the store could not be reached the last time.
    pub fn is_away(&self) -> bool {
        self.shared.is_away()
    }

    /// Notes which tenant is about to be created, if one is. Requests for it are answered as if the store were away, not as those
    /// for an unknown tenant.
    pub fn expect(&self, id: Option<&str>) {
        *self.shared.expected.lock() = id.map(str::to_owned);
    }

    /// Waits until a request has not reached the store.
    pub async fn until_away(&self) {
        // The sender is part of this.
        let mut is_away = self.shared.is_away.subscribe();
        let _is_away = is_away.wait_for(|is_away| *is_away).await;
    }

    /// Notes whether the store can be reached. While it cannot, requests that need it fail at once.
    pub fn set_away(&self, is_away: bool) {
        self.shared.is_away.send_replace(is_away);
    }
}

#[cfg(test)]
mod tests;
