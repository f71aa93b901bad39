//! Tenants that were changed elsewhere and are not applied on this node yet.
//!
//! The link to the other nodes and the store's notifications add to it and never wait; one task takes all at once.
//! The names are a set, so a tenant that changes often is applied once. Beyond [`NAMES_MAX`] they are forgotten, and
//! the task that takes them reads all revisions instead, which costs less than so many lookups.

use std::collections::HashSet;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// Names that are kept.
const NAMES_MAX: usize = 4_096;

/// Bytes of a name that is kept. Clients name a tenant by a label of a host name, so those in use are shorter.
const NAME_MAX: usize = 255;

/// What is to be applied.
#[derive(Debug, PartialEq, Eq)]
pub enum ChangedTenants {
    /// These tenants.
    Of(HashSet<String>),
    /// Any: all have to be compared with the store.
    Unknown,
}

/// The changes that are not taken yet.
#[derive(Debug, Default)]
pub(super) struct PendingChanges {
    changes: Mutex<ChangedTenants>,
    added: Notify,
}

impl Default for ChangedTenants {
    fn default() -> Self {
        Self::Of(HashSet::new())
    }
}

impl PendingChanges {
    /// A tenant was changed.
    pub(super) fn add(&self, name: &str) {
        let mut changes = self.changes.lock();
        match &mut *changes {
            ChangedTenants::Of(names) if names.len() < NAMES_MAX && name.len() <= NAME_MAX => {
                names.insert(name.to_owned());
            }
            ChangedTenants::Of(_) => *changes = ChangedTenants::Unknown,
            ChangedTenants::Unknown => {}
        }
        drop(changes);
        self.added.notify_one();
    }

    /// Changes may have been missed.
    pub(super) fn add_unknown(&self) {
        *self.changes.lock() = ChangedTenants::Unknown;
        self.added.notify_one();
    }

    /// Takes all, when there are any. One task does this.
    pub(super) async fn take(&self) -> ChangedTenants {
        loop {
            let changes = std::mem::take(&mut *self.changes.lock());
            if changes != ChangedTenants::default() {
                return changes;
            }
            self.added.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn a_tenant_is_taken_once_and_too_many_are_any() {
        let pending = PendingChanges::default();
        assert_eq!(pending.take().now_or_never(), None);
        pending.add("acme");
        pending.add("acme");
        let acme = ChangedTenants::Of(HashSet::from(["acme".to_owned()]));
        assert_eq!(pending.take().now_or_never(), Some(acme));
        (0..=NAMES_MAX).for_each(|number| pending.add(&number.to_string()));
        assert_eq!(pending.take().now_or_never(), Some(ChangedTenants::Unknown));
        assert_eq!(pending.take().now_or_never(), None);
    }
}
