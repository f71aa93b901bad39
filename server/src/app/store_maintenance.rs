//! Keeps the store usable: migrates a database when it can be reached, and notices what other nodes and programs change.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::node::Node;
use crate::store::{Migrate, StoreError};

/// The wait before a store that cannot be reached is tried again. It is the same for all nodes on average only.
const RETRY: Duration = Duration::from_secs(1);

/// Runs until `stop`.
pub(super) async fn run(node: Arc<Node>, tables: Arc<dyn Migrate>, stop: CancellationToken) {
    let work = async {
        let mut state = StoreState::default();
        let is_migrated = node.settings().store.migrate == settings::Migrate::OnStart;
        let mut to_migrate = is_migrated.then_some(tables);
        loop {
            let done = match &to_migrate {
                Some(tables) => migrate(&**tables).await,
                None => node.stored_tenants.refresh(&node.tenants).await,
            };
            let is_usable = state.note(&done);
            node.stored_tenants.set_away(!is_usable);
            node.metrics.node.store_connected.set(if is_usable { 1.0 } else { 0.0 });
            if is_usable && to_migrate.take().is_none() {
                let wait = jittered(node.settings().store.refresh);
                tokio::select! {
                    () = sleep(wait) => {}
                    // A request has not reached it: look whether that passes.
                    () = node.stored_tenants.until_away() => {}
                }
            } else if !is_usable {
                sleep(jittered(RETRY)).await;
            }
        }
    };
    tokio::select! {
        () = work => {}
        () = stop.cancelled() => {}
    }
}

async fn migrate(tables: &dyn Migrate) -> Result<(), StoreError> {
    let status = tables.migration_status().await?;
    if let Some(newest) = status.unknown.last() {
        warn!(
            newest,
            "The tables of the store are of a newer version than this server knows, and are left as they are"
        );
        return Ok(());
    }
    let applied = tables.migrate().await?;
    if !applied.is_empty() {
        info!(steps = applied.len(), "The tables of the store were migrated");
    }
    Ok(())
}

/// Whether the store can be used: a line in the log when that changes.
#[derive(Default)]
struct StoreState {
    failing: bool,
}

impl StoreState {
    /// Notes whether it could be used, and returns that.
    fn note(&mut self, done: &Result<(), StoreError>) -> bool {
        match done {
            Ok(()) if std::mem::take(&mut self.failing) => info!("The store can be used again"),
            Ok(()) => {}
            Err(error) if !std::mem::replace(&mut self.failing, true) => {
                error!(
                    "{error}; tenants that are known stay served, and no other can be looked up or changed"
                );
            }
            Err(_still) => {}
        }
        !self.failing
    }
}

/// Between three quarters and five quarters of `wait`, so that nodes do not ask at the same moment.
fn jittered(wait: Duration) -> Duration {
    let random = f64::from(getrandom::u32().unwrap_or(u32::MAX / 2)) / f64::from(u32::MAX);
    wait.mul_f64(0.75 + random / 2.0)
}
