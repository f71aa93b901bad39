//! Tenants of the store: a source for the registry, and what the management API writes.
//!
//! What a request is answered is durable and applies on this node at once. The other nodes are notified by the
//! caller or the store, and find out by themselves within `store.refresh`.

mod changes;
mod conversion;
mod names;
mod unknown_names;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::{debug, error, info};

use self::changes::PendingChanges;
pub use self::changes::TenantChanges;
use self::names::{Listing, Names};
use super::TenantSpec;
use super::registry::Registry;
use super::source::{Expectation, SourceId, SourceUnavailable, TenantSource};
use crate::store::{EncryptionKeys, Revision, StoreError, StoreKind, StoredTenant, TenantStore};

/// How often a write begins again because another writer was faster.
const ATTEMPTS: usize = 5;

/// The tenants of a store, as a source of a registry. Clones are the same.
#[derive(Debug, Clone)]
pub struct StoredTenants {
    source: SourceId,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    store: Arc<dyn TenantStore>,
    keys: EncryptionKeys,
    /// Held from the read of a tenant until the registry has it, so that of two changes the older one is never put last.
    applying: tokio::sync::Mutex<()>,
    /// The row of each tenant that the registry has, by the name in lower case: its name, and its revision.
    applied: Mutex<HashMap<String, (String, Revision)>>,
    /// Names of tenants that are stored with letters in upper case, by the name in lower case: of several, the first in the order
    /// of their bytes. Known from the last refresh: the stores find names by an index that has the case, and clients, who choose
    /// the names that are looked up, must not make them read all.
    in_upper_case: Mutex<HashMap<String, String>>,
    /// Tenants whose secret cannot be decrypted now, by the name in lower case: each is an error in the log once.
    unreadable: Mutex<HashSet<String>>,
    /// The names that the store has, in lower case.
    names: Names,
    /// What was changed elsewhere.
    changes: PendingChanges,
    /// How long the store may take to answer.
    timeout: Duration,
    /// Whether the store could not be reached the last time. Then requests do not wait for it.
    is_away: watch::Sender<bool>,
    /// The tenant that is about to be created: while it is not there, it is not unknown.
    expected: Mutex<Option<String>>,
}

impl Shared {
    /// The store, unless it could not be reached the last time.
    fn store(&self) -> Result<&dyn TenantStore, StoreError> {
        if self.is_away() {
            return Err(StoreError::Unavailable("it could not be reached a moment ago".into()));
        }
        Ok(&*self.store)
    }

    fn is_away(&self) -> bool {
        *self.is_away.borrow()
    }

    /// The answer of the store, within the time that it has.
    async fn within_timeout<T>(
        &self,
        answer: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let late = |_elapsed| Err(StoreError::Unavailable("it does not answer in time".into()));
        timeout(self.timeout, answer).await.unwrap_or_else(late)
    }

    /// As [`within_timeout`](Self::within_timeout), and notes whether the store was not reached.
    async fn noted<T>(&self, answer: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        let result = self.within_timeout(answer).await;
        if matches!(result, Err(StoreError::Unavailable(_))) {
            self.is_away.send_if_modified(|is_away| !std::mem::replace(is_away, true));
        }
        result
    }
}

/// What a write has done.
#[derive(Debug, Clone, PartialEq)]
pub enum Written {
    /// There was no such tenant.
    Created(StoredTenant),
    /// There was one.
    Updated(StoredTenant),
}

/// What a store has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refreshed {
    /// How many tenants.
    pub tenants: usize,
    /// The names of those that the configuration has too, in order and in lower case.
    pub in_configuration: Vec<String>,
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
        let shared = Arc::new(Shared {
            store,
            keys,
            applying: tokio::sync::Mutex::default(),
            applied: Mutex::default(),
            in_upper_case: Mutex::default(),
            unreadable: Mutex::default(),
            names: Names::default(),
            changes: PendingChanges::default(),
            timeout,
            is_away: watch::Sender::new(false),
            expected: Mutex::default(),
        });
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

    /// Makes `registry`, with which this is registered, serve the tenant as it is stored.
    ///
    /// # Errors
    /// When the store cannot be read, or a secret cannot be decrypted: then what is known stays.
    pub async fn apply(&self, registry: &Registry, external_id: &str) -> Result<(), SourceUnavailable> {
        let id = external_id.to_ascii_lowercase();
        let _one_at_a_time = self.shared.applying.lock().await;
        match self.shared.look_up(&id, self.shared.names.listing(&id)).await? {
            Some(spec) => registry.put(self.source, spec),
            None => registry.remove(self.source, &id),
        }
        Ok(())
    }

    /// A tenant was created, changed or deleted elsewhere. It is looked up from now on, and what is known of it is replaced
    /// by the task that takes the [changes](Self::changes).
    pub fn note_change(&self, external_id: &str) {
        let id = external_id.to_ascii_lowercase();
        self.shared.names.add(&id);
        self.shared.changes.add(&id);
    }

    /// TenantChanges may have been missed.
    fn note_missed_changes(&self) {
        self.shared.changes.add_unknown();
    }

    /// Takes what was changed elsewhere, when there is anything. One task does this.
    pub async fn changes(&self) -> TenantChanges {
        self.shared.changes.take().await
    }

    /// [Applies](Self::apply) those of `names` that `registry` has. The others are looked up when they are asked for. One that
    /// cannot be applied is applied by the next [`refresh`](Self::refresh).
    pub async fn apply_changes(&self, registry: &Registry, mut names: HashSet<String>) {
        {
            let applied = self.shared.applied.lock();
            names.retain(|name| applied.contains_key(name));
        }
        for name in names {
            let _logged = self.apply(registry, &name).await;
        }
    }

    /// Notes what the store notifies, until its connection is lost. `None` for a store that sends no notifications.
    pub fn listen(&self) -> Option<impl Future<Output = Result<(), StoreError>>> {
        let listening = self.shared.store.changes()?;
        Some(async move {
            let mut changes = self.shared.within_timeout(listening).await?;
            debug!("TenantChanges of tenants are notified by the store");
            // What has changed before is not notified.
            self.note_missed_changes();
            while let Some(name) = changes.next().await {
                self.note_change(&name);
            }
            Ok(())
        })
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

    /// [Applies](Self::apply) those that have changed since they were, on this node or elsewhere. Returns what there is.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn refresh(&self, registry: &Registry) -> Result<Refreshed, StoreError> {
        let began = self.shared.names.begin_reading();
        let stored = by_name(self.shared.within_timeout(self.shared.store.revisions()).await?);
        let refreshed =
            Refreshed { tenants: stored.len(), in_configuration: registry.configured_of(stored.keys()) };
        let in_upper_case = stored.iter().filter(|(id, (name, _))| *id != name);
        let in_upper_case = in_upper_case.map(|(id, (name, _))| (id.clone(), name.clone())).collect();
        *self.shared.in_upper_case.lock() = in_upper_case;
        self.shared.names.finish_reading(began, stored.keys());
        for id in self.outdated(&stored) {
            // What could not be applied is tried again the next time.
            let _logged = self.apply(registry, &id).await;
        }
        self.shared.unreadable.lock().retain(|id| stored.contains_key(id));
        Ok(refreshed)
    }
}

impl StoredTenants {
    /// Those that have another row than the one that is applied.
    fn outdated(&self, stored: &HashMap<String, (String, Revision)>) -> Vec<String> {
        let applied = self.shared.applied.lock();
        let outdated = applied.iter().filter(|(id, row)| stored.get(*id) != Some(row));
        outdated.map(|(id, _)| id.clone()).collect()
    }
}

/// The row of each name in lower case: of several, the one that [`StoredTenants::get`] finds by that.
fn by_name(rows: Vec<(String, Revision)>) -> HashMap<String, (String, Revision)> {
    let mut by_name = HashMap::<String, (String, Revision)>::new();
    for (name, revision) in rows {
        let id = name.to_ascii_lowercase();
        let rank = |name: &str| (name != id, name.to_owned());
        if by_name.get(&id).is_none_or(|(other, _)| rank(&name) < rank(other)) {
            by_name.insert(id, (name, revision));
        }
    }
    by_name
}

impl Shared {
    /// As [`StoredTenants::get`].
    async fn find(&self, external_id: &str) -> Result<Option<StoredTenant>, StoreError> {
        let id = external_id.to_ascii_lowercase();
        let in_upper_case = self.in_upper_case.lock().get(&id).cloned();
        let others = (id != external_id).then_some(id).into_iter().chain(in_upper_case);
        for name in std::iter::once(external_id.to_owned()).chain(others) {
            let found = self.noted(self.store()?.tenant(&name)).await?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// What a row specifies. Logs once that its secret cannot be decrypted, until it can be.
    fn spec(&self, id: &str, stored: &StoredTenant) -> Result<TenantSpec, SourceUnavailable> {
        match conversion::spec(stored, &self.keys) {
            Ok(spec) => {
                if self.unreadable.lock().remove(id) {
                    info!(tenant = id, "The secret of a stored tenant can be decrypted again");
                }
                Ok(spec)
            }
            Err(cause) => {
                if self.unreadable.lock().insert(id.into()) {
                    error!(tenant = id, "The secret of a stored tenant cannot be used: {cause}");
                }
                Err(SourceUnavailable)
            }
        }
    }

    /// What the store has of this name, of which `listing` is known.
    async fn look_up(&self, id: &str, listing: Listing) -> Result<Option<TenantSpec>, SourceUnavailable> {
        // Before the query: it may be created while that is under way.
        let was_expected = self.is_expected(id);
        let stored = self.find(id).await.map_err(|error| {
            debug!(tenant = id, "A tenant cannot be looked up: {error}");
            SourceUnavailable
        })?;
        let Some(stored) = stored else {
            self.applied.lock().remove(id);
            self.unreadable.lock().remove(id);
            self.names.note_absent(id, listing);
            return if was_expected { Err(SourceUnavailable) } else { Ok(None) };
        };
        let spec = self.spec(id, &stored)?;
        self.applied.lock().insert(id.into(), (stored.external_id, stored.revision));
        Ok(Some(spec))
    }

    /// Whether it is known that there is no tenant of a name that is not listed.
    fn knows_to_be_absent(&self, id: &str) -> bool {
        self.names.is_read() && !self.is_away() && !self.is_expected(id)
    }

    fn is_expected(&self, id: &str) -> bool {
        self.expected.lock().as_deref() == Some(id)
    }
}

impl TenantSource for Shared {
    fn resolve<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<TenantSpec>, SourceUnavailable>> {
        async move {
            if !self.names.is_read() && !self.is_away() {
                self.names.until_read().await;
            }
            let listing = self.names.begin_lookup(id);
            if listing == Listing::Unknown {
                return if self.knows_to_be_absent(id) { Ok(None) } else { Err(SourceUnavailable) };
            }
            let found = self.look_up(id, listing).await;
            if !self.names.is_unchanged(id, listing) {
                // What was read may be older than the change, which was noted before there was anything to apply it to.
                self.changes.add(id);
            }
            found
        }
        .boxed()
    }

    fn expects(&self, id: &str) -> Expectation {
        match self.names.listing(id) {
            Listing::Listed(_) => Expectation::Present,
            Listing::Unknown if self.knows_to_be_absent(id) => Expectation::Absent,
            Listing::Unlisted | Listing::Unknown => Expectation::Unclear,
        }
    }
}

#[cfg(test)]
mod tests;
