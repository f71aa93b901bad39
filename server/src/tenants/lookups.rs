//! Bounds of the lookups in tenant sources: clients choose the names, before they are authenticated.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OnceCell, Semaphore};
use tokio::time::timeout;
use tracing::debug;

use super::Tenant;
use super::source::{Expectation, SourceUnavailable};

/// The longest wait for the sources, including the wait for a permit. The client waits meanwhile, so a store whose own
/// timeouts are longer (`[store]`) does not make it longer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Lookups at the same time, each for another name.
const CONCURRENT: usize = 64;

/// Names whose lookups are in progress or wait for a permit. Requests for more fail, unless a source expects the tenant: so
/// many are made up.
const WAITING_MAX: usize = 1_024;

/// What is found: a tenant, none, or that it cannot be found out.
pub(super) type Found = Result<Option<Arc<Tenant>>, SourceUnavailable>;

type Lookup = Arc<OnceCell<Found>>;

/// The lookups in progress.
pub(super) struct Lookups {
    by_name: Mutex<HashMap<Box<str>, Lookup>>,
    permits: Semaphore,
    timeout: Duration,
}

impl Default for Lookups {
    fn default() -> Self {
        Self::new(TIMEOUT, CONCURRENT)
    }
}

impl Lookups {
    pub(super) fn new(timeout: Duration, concurrent: usize) -> Self {
        Self { by_name: Mutex::default(), permits: Semaphore::new(concurrent), timeout }
    }

    /// The result of `look_up`, or of a lookup of the same name that is in progress.
    ///
    /// # Errors
    /// Those of `look_up`, and after the timeout, and while too many tenants that are not expected are waiting.
    pub(super) async fn run(
        &self,
        id: &str,
        expectation: Expectation,
        look_up: impl Future<Output = Found>,
    ) -> Found {
        let lookup = self.register(id, expectation)?;
        let registration = Registration { lookups: self, id, lookup };
        let bounded = async {
            let _permit = self.permits.acquire().await.map_err(|_closed| SourceUnavailable)?;
            look_up.await
        };
        let with_timeout = async {
            timeout(self.timeout, bounded).await.unwrap_or_else(|_elapsed| {
                debug!(tenant = id, "The lookup of a tenant has timed out");
                Err(SourceUnavailable)
            })
        };
        registration.lookup.get_or_init(|| with_timeout).await.clone()
    }

    /// The lookup of this name that is in progress, or a new one.
    fn register(&self, id: &str, expectation: Expectation) -> Result<Lookup, SourceUnavailable> {
        let mut by_name = self.by_name.lock();
        let may_be_made_up = expectation != Expectation::Present;
        if may_be_made_up && by_name.len() >= WAITING_MAX && !by_name.contains_key(id) {
            debug!(tenant = id, "A tenant is not looked up, because too many others are");
            return Err(SourceUnavailable);
        }
        Ok(Arc::clone(by_name.entry(id.into()).or_default()))
    }
}

/// Removes the lookup from the table when its first caller has the result or is cancelled. In the second case the
/// other callers continue it.
struct Registration<'a> {
    lookups: &'a Lookups,
    id: &'a str,
    lookup: Lookup,
}

impl Drop for Registration<'_> {
    fn drop(&mut self) {
        let mut by_name = self.lookups.by_name.lock();
        if by_name.get(self.id).is_some_and(|lookup| Arc::ptr_eq(lookup, &self.lookup)) {
            by_name.remove(self.id);
        }
    }
}
