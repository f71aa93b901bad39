//! How a stored tenant is found and what it specifies: the source of tenants that a registry asks.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use settings::NO_TENANT;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use tracing::{debug, error, info};

use super::changes::PendingChanges;
use super::conversion;
use super::names::{Listing, Names};
use crate::store::{EncryptionKeys, Revision, StoreError, StoredTenant, TenantStore};
use crate::tenants::TenantSpec;
use crate::tenants::source::{Expectation, SourceUnavailable, TenantSource};

/// How long a client's request may wait for the store. Less than the registry waits for all sources, so that a store that
/// does not answer is noticed, and the next request does not wait for it.
const LOOKUP_MAX: Duration = Duration::from_secs(4);

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) store: Arc<dyn TenantStore>,
    pub(super) keys: EncryptionKeys,
    /// Held from the read of a tenant until the registry has it, so that of two changes the older one is never put last.
    pub(super) applying: tokio::sync::Mutex<()>,
    /// The row of each tenant that the registry has, by the name in lower case: its name, and its revision.
    pub(super) applied: Mutex<HashMap<String, (String, Revision)>>,
    /// Names of tenants that are stored with letters in upper case, by the name in lower case: of several, the first in the order
    /// of their bytes. Known from the last refresh: the stores find names by an index that has the case, and clients, who choose
    /// the names that are looked up, must not make them read all.
    pub(super) in_upper_case: Mutex<HashMap<String, String>>,
    /// Tenants whose secret cannot be decrypted now, or whose name is reserved, by the name in lower case: each is an error in the log once.
    pub(super) unreadable: Mutex<HashSet<String>>,
    /// The names that the store has, in lower case.
    pub(super) names: Names,
    /// What was changed elsewhere.
    pub(super) changes: PendingChanges,
    /// How long the store may take to answer.
    pub(super) timeout: Duration,
    /// Whether the store could not be reached the last time. Then requests do not wait for it.
    pub(super) is_away: watch::Sender<bool>,
    /// The store has credentials to try.
    pub(super) has_new_credentials: Notify,
    /// The tenant that is about to be created: while it is not there, it is not unknown.
    pub(super) expected: Mutex<Option<String>>,
}

impl Shared {
    pub(super) fn new(store: Arc<dyn TenantStore>, keys: EncryptionKeys, timeout: Duration) -> Self {
        Self {
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
            has_new_credentials: Notify::new(),
            expected: Mutex::default(),
        }
    }

    /// The store, unless it could not be reached the last time.
    pub(super) fn store(&self) -> Result<&dyn TenantStore, StoreError> {
        if self.is_away() {
            return Err(StoreError::Unavailable("it could not be reached a moment ago".into()));
        }
        Ok(&*self.store)
    }

    pub(super) fn is_away(&self) -> bool {
        *self.is_away.borrow()
    }

    /// The answer of the store, within the time that it has.
    pub(super) async fn within_timeout<T>(
        &self,
        answer: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let late = |_elapsed| Err(StoreError::Unavailable("it does not answer in time".into()));
        timeout(self.timeout, answer).await.unwrap_or_else(late)
    }

    /// As [`within_timeout`](Self::within_timeout), and notes whether the store was not reached.
    pub(super) async fn noted<T>(
        &self,
        answer: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let result = self.within_timeout(answer).await;
        if matches!(result, Err(StoreError::Unavailable(_))) {
            self.note_away();
        }
        result
    }

    fn note_away(&self) {
        self.is_away.send_if_modified(|is_away| !std::mem::replace(is_away, true));
    }
}

impl Shared {
    /// As [`get`](super::StoredTenants::get).
    pub(super) async fn find(&self, external_id: &str) -> Result<Option<StoredTenant>, StoreError> {
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

    /// Logs once that a row, which another program has written, has a name that no tenant may have.
    fn report_reserved(&self, id: &str) {
        if self.unreadable.lock().insert(id.into()) {
            error!(
                tenant = id,
                "A stored tenant is not served: `{id}` is what metrics that are about no tenant have instead of an id. Rename it"
            );
        }
    }

    /// What the store has of this name, of which `listing` is known.
    pub(super) async fn look_up(
        &self,
        id: &str,
        listing: Listing,
    ) -> Result<Option<TenantSpec>, SourceUnavailable> {
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
        if id == NO_TENANT {
            self.report_reserved(id);
            return Ok(None);
        }
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
            let found = timeout(LOOKUP_MAX, self.look_up(id, listing)).await.unwrap_or_else(|_elapsed| {
                self.note_away();
                Err(SourceUnavailable)
            });
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
            _ if !self.names.is_read() => Expectation::Unread,
            Listing::Unknown if self.knows_to_be_absent(id) => Expectation::Absent,
            Listing::Unlisted | Listing::Unknown => Expectation::Unclear,
        }
    }
}
