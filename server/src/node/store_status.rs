//! The state of the store as this node has found it last, for `/status`.

use std::time::SystemTime;

use parking_lot::Mutex;

use crate::store::MigrationStatus;

/// Names of tenants that the status lists; ten thousand may be in the configuration and in the store.
const NAMES_MAX: usize = 100;

/// The state of the store. Its task notes it.
#[derive(Debug, Default)]
pub struct StoreState(Mutex<StoreStatus>);

/// What was found last. A part is `None` until it is known.
#[derive(Debug, Clone, Default)]
pub struct StoreStatus {
    /// Whether it could be used, and since when.
    pub usable: Option<(bool, SystemTime)>,
    /// Why it could not be used the last time, also if it can be used again.
    pub last_error: Option<String>,
    /// Its migrations.
    pub migrations: Option<MigrationCounts>,
    /// How many tenants it has.
    pub tenants: Option<usize>,
    /// Those of them that the configuration has too, and that apply as they are there: the first ones, by name.
    pub in_both: Vec<String>,
    /// How many that are.
    pub in_both_count: usize,
    /// Why the tenant of `seed.tenant` is not created.
    pub seed_error: Option<String>,
}

/// How many migrations a store has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MigrationCounts {
    /// Those that are applied.
    pub applied: usize,
    /// Those that are not.
    pub pending: usize,
    /// Those that are applied and unknown to this version.
    pub unknown: usize,
}

impl StoreState {
    /// What was found last.
    pub fn status(&self) -> StoreStatus {
        self.0.lock().clone()
    }

    /// Notes whether it can be used, and why not.
    pub fn note_use(&self, error: Option<String>) {
        let mut status = self.0.lock();
        let is_usable = error.is_none();
        if status.usable.is_none_or(|(was_usable, _)| was_usable != is_usable) {
            status.usable = Some((is_usable, SystemTime::now()));
        }
        if error.is_some() {
            status.last_error = error;
        }
    }

    /// Notes its migrations.
    pub fn note_migrations(&self, found: &MigrationStatus) {
        self.0.lock().migrations = Some(MigrationCounts {
            applied: found.applied.len(),
            pending: found.pending.len(),
            unknown: found.unknown.len(),
        });
    }

    /// Notes how many tenants it has, and the names of those that the configuration has too, in order.
    pub fn note_tenants(&self, tenants: usize, in_both: &[String]) {
        let mut status = self.0.lock();
        status.tenants = Some(tenants);
        status.in_both_count = in_both.len();
        status.in_both = in_both[..in_both.len().min(NAMES_MAX)].to_vec();
    }

    /// Notes why the tenant of `seed.tenant` is not created, if it is not.
    pub fn note_seed(&self, error: Option<String>) {
        self.0.lock().seed_error = error;
    }
}
