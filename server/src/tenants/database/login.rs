//! Which password the database of a tenant is connected to with.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::new_credentials::NewCredentials;
use crate::tenants::DatabaseSpec;

/// The password in use, and that of now.
pub(super) struct Login {
    /// What was specified with the password in use.
    pub(super) present: ArcSwap<DatabaseSpec>,
    /// What is tried before it is used.
    pub(super) new: NewCredentials<Arc<DatabaseSpec>>,
}

impl Login {
    /// That of `spec`.
    pub(super) fn of(spec: Arc<DatabaseSpec>) -> Self {
        Self { present: ArcSwap::new(Arc::clone(&spec)), new: NewCredentials::none_beside(spec) }
    }

    /// How the database is connected to: the specification, with the password in use.
    pub(super) fn in_use(&self) -> Arc<DatabaseSpec> {
        self.present.load_full()
    }
}
