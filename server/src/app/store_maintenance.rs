//! Keeps the store usable: migrates a database when it can be reached, creates the tenant of `seed.tenant` in it, and notices
//! what other nodes and programs change.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::store::StoreTables;
use crate::admin::tenants::{SeedError, Seeded, seed};
use crate::backoff::jittered;
use crate::node::Node;
use crate::reload::names;
use crate::store::{Migrate, MigrationStatus, StoreError};
use crate::tenants::ChangedTenants;

/// The wait before a store that cannot be reached is tried again. It is the same for all nodes on average only.
const RETRY: Duration = Duration::from_secs(1);

/// How often it is found out whether the store can be reached, while nothing else is asked of it.
const PROBE: Duration = Duration::from_secs(3);

/// Runs until `stop`.
pub(super) async fn run(node: Arc<Node>, tables: StoreTables, stop: CancellationToken) {
    let to_seed = node.settings().seed.tenant.clone();
    let maintenance =
        Maintenance { node, tables: Some(tables), to_seed, in_both: BTreeSet::new(), failing: false };
    tokio::select! {
        () = maintenance.run() => {}
        () = stop.cancelled() => {}
    }
}

/// What is left to be done, and what was found last.
struct Maintenance {
    node: Arc<Node>,
    /// The tables, until they are migrated.
    tables: Option<StoreTables>,
    /// The tenant that is to be created, until it is there or cannot be created.
    to_seed: Option<String>,
    /// The tenants that the configuration has too.
    in_both: BTreeSet<String>,
    /// Whether the store could not be used the last time.
    failing: bool,
}

impl Maintenance {
    async fn run(mut self) {
        loop {
            let done = self.work().await;
            if !self.note_use(done) {
                sleep(jittered(RETRY)).await;
            } else if self.tables.take().is_none() && self.seed().await != Some(Seeded::Created) {
                self.follow_changes().await;
            }
        }
    }

    /// Does what is due, if the store can be reached.
    async fn work(&mut self) -> Result<(), StoreError> {
        reach(&self.node).await?;
        match &self.tables {
            Some(tables) => migrate(&self.node, tables).await,
            None => {
                // Else what has changed meanwhile could not be read.
                self.node.stored_tenants.set_away(false);
                self.refresh().await
            }
        }
    }

    /// Applies what other nodes and programs change, until it is time to compare everything: when that is due, when changes
    /// were missed, when the store is not reached, by a request or a probe, and when it has new credentials.
    async fn follow_changes(&self) {
        let stored = &self.node.stored_tenants;
        let refresh_at = Instant::now() + jittered(self.node.settings().store.refresh);
        loop {
            let changes = tokio::select! {
                () = sleep_until(refresh_at) => return,
                () = stored.until_away() => return,
                () = stored.until_new_credentials() => return,
                () = unreachable(&self.node) => return,
                changes = stored.changes() => changes,
            };
            match changes {
                ChangedTenants::Unknown => return,
                ChangedTenants::Of(names) => stored.apply_changes(&self.node.tenants, names).await,
            }
        }
    }

    /// Notes whether the store could be used, and returns that: a line in the log when it changes.
    fn note_use(&mut self, done: Result<(), StoreError>) -> bool {
        let was_failing = std::mem::replace(&mut self.failing, done.is_err());
        match &done {
            Ok(()) if was_failing => info!("The store can be used again"),
            Err(error) if !was_failing => {
                error!(
                    "{error}; tenants that are known stay served, and no other can be looked up or changed"
                );
            }
            _same => {}
        }
        self.node.stored_tenants.set_away(self.failing);
        self.node.metrics.node.store_connected.set(if self.failing { 0.0 } else { 1.0 });
        self.node.store.note_use(done.err().map(|error| error.to_string()));
        !self.failing
    }

    /// Applies what was changed elsewhere. Logs the tenants that the configuration has too, once until that changes.
    async fn refresh(&mut self) -> Result<(), StoreError> {
        let stored = self.node.stored_tenants.refresh(&self.node.tenants).await?;
        self.node.store.note_tenants(stored.tenants, &stored.in_configuration);
        let in_both: BTreeSet<_> = stored.in_configuration.into_iter().collect();
        let new: Vec<_> = in_both.difference(&self.in_both).cloned().collect();
        if !new.is_empty() {
            warn!(
                tenants = names(&new),
                "Tenants of the store are in the configuration too, which applies: what the store has of them does not"
            );
        }
        self.in_both = in_both;
        Ok(())
    }

    /// Creates the tenant that is to be created. One that the store does not accept now is tried again at the next refresh.
    async fn seed(&mut self) -> Option<Seeded> {
        let id = self.to_seed.as_deref()?;
        let seeded = seed(&self.node, id).await;
        let state = &self.node.store;
        let error = seeded.as_ref().err().map(ToString::to_string);
        if error.is_some() && error != state.status().seed_error {
            error!(
                tenant = id,
                "The tenant of `seed.tenant` (SEED_SELF_HOST) is not created: {}",
                error.as_deref().unwrap_or_default()
            );
        }
        state.note_seed(error);
        if !matches!(seeded, Err(SeedError::Store(_))) {
            self.to_seed = None;
            self.node.stored_tenants.expect(None);
        }
        seeded.ok()
    }
}

/// Migrates what tenants need, or fails; and what they do not need if that is permitted. Nothing, unless tables are to be
/// migrated when the server starts. Notes how far they are.
async fn migrate(node: &Node, tables: &StoreTables) -> Result<(), StoreError> {
    let status = tables.tenants.migration_status().await?;
    node.store.note_migrations(&status);
    if node.settings().store.migrate == settings::Migrate::Never {
        return Ok(());
    }
    if apply_pending(&*tables.tenants, &status).await? {
        node.store.note_migrations(&tables.tenants.migration_status().await?);
    }
    let Some(documents) = &tables.documents else { return Ok(()) };
    let migrated = async { apply_pending(&**documents, &documents.migration_status().await?).await };
    match migrated.await {
        Err(StoreError::Rejected(reason) | StoreError::ReadOnly(reason)) => {
            warn!("The tables of documents cannot be made, and tenants are served without them: {reason}");
            Ok(())
        }
        migrated => migrated.map(drop),
    }
}

/// Applies what is pending in tables of this status. Returns whether that was anything.
async fn apply_pending(tables: &dyn Migrate, status: &MigrationStatus) -> Result<bool, StoreError> {
    if let Some(newest) = status.unknown.last() {
        warn!(
            newest,
            "The tables of the store are of a newer version than this server knows, and are left as they are"
        );
        return Ok(false);
    }
    // What is complete needs no lock, and no permission to change it.
    if status.pending.is_empty() {
        return Ok(false);
    }
    let applied = tables.migrate().await?;
    if !applied.is_empty() {
        info!(steps = applied.len(), "The tables of the store were migrated");
    }
    Ok(!applied.is_empty())
}

/// Finds out whether the store can be reached, with new credentials if there are any that it accepts.
async fn reach(node: &Node) -> Result<(), StoreError> {
    node.stored_tenants.try_credentials(&node.reports).await;
    node.stored_tenants.probe().await
}

/// Waits until the store cannot be reached.
async fn unreachable(node: &Node) {
    loop {
        sleep(jittered(PROBE)).await;
        if reach(node).await.is_err() {
            return;
        }
    }
}
