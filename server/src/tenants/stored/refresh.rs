//! How what is stored becomes what a registry serves: a change on this node, a change elsewhere, and a comparison of all.

use std::collections::{HashMap, HashSet};

use futures_util::StreamExt;
use tracing::debug;

use super::StoredTenants;
use super::changes::ChangedTenants;
use crate::store::{Revision, StoreError};
use crate::tenants::registry::Registry;
use crate::tenants::source::SourceUnavailable;

/// What a store has, as of a [refresh](StoredTenants::refresh).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refreshed {
    /// How many tenants.
    pub tenants: usize,
    /// The names of those that the configuration has too, in order and in lower case.
    pub in_configuration: Vec<String>,
}

impl StoredTenants {
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

    /// Changes may have been missed.
    fn note_missed_changes(&self) {
        self.shared.changes.add_unknown();
    }

    /// Takes what was changed elsewhere, when there is anything. One task does this.
    pub async fn changes(&self) -> ChangedTenants {
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
            let mut changes = self.shared.noted(listening).await?;
            debug!("The store notifies this node of changes of tenants");
            // What has changed before is not notified.
            self.note_missed_changes();
            while let Some(name) = changes.next().await {
                self.note_change(&name);
            }
            Ok(())
        })
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
        if self.is_away() {
            return Err(StoreError::Unavailable(
                "it could not be reached while changed tenants were read".into(),
            ));
        }
        Ok(refreshed)
    }

    /// Those that have another row than the one that is applied.
    fn outdated(&self, stored: &HashMap<String, (String, Revision)>) -> Vec<String> {
        let applied = self.shared.applied.lock();
        let outdated = applied.iter().filter(|(id, row)| stored.get(*id) != Some(row));
        outdated.map(|(id, _)| id.clone()).collect()
    }
}

/// The row of each name in lower case: of several, the one that [`StoredTenants::get`] finds by that.
pub(super) fn by_name(rows: Vec<(String, Revision)>) -> HashMap<String, (String, Revision)> {
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
