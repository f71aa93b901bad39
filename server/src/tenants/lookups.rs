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

/// The longest wait for the sources, including the wait for a permit. No production source exists yet that would need
/// another, so this is no setting.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Lookups at the same time, each for another name.
const CONCURRENT: usize = 64;

type Lookup = Arc<OnceCell<Option<Arc<Tenant>>>>;

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

    /// The result of `look_up`, or of a lookup of the same name that is in progress. `None` also after the timeout.
    pub(super) async fn run(
        &self,
        id: &str,
        look_up: impl Future<Output = Option<Arc<Tenant>>>,
    ) -> Option<Arc<Tenant>> {
        let lookup = Arc::clone(self.by_name.lock().entry(id.into()).or_default());
        let registration = Registration { lookups: self, id, lookup };
        let bounded = async {
            let _permit = self.permits.acquire().await.ok()?;
            look_up.await
        };
        let with_timeout = async {
            timeout(self.timeout, bounded).await.unwrap_or_else(|_elapsed| {
                debug!(tenant = id, "The lookup of a tenant has timed out");
                None
            })
        };
        registration.lookup.get_or_init(|| with_timeout).await.clone()
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
