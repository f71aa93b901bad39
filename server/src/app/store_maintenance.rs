//! Keeps the store usable: migrates a database when it can be reached, and notices what other nodes and programs change.

use std::sync::Arc;
use std::time::Duration;

use settings::Migrate;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::node::Node;
use crate::store::{PostgresStore, StoreError};

/// The wait before a store that cannot be reached is tried again. It is the same for all nodes on average only.
const RETRY: Duration = Duration::from_secs(1);

/// Runs until `stop`.
pub(super) async fn run(node: Arc<Node>, database: Option<PostgresStore>, stop: CancellationToken) {
    let work = async {
        let mut state = StoreState::default();
        if let Some(database) = database
            && node.settings().store.migrate == Migrate::OnStart
        {
            while state.note(migrate(&database).await).is_err() {
                sleep(jittered(RETRY)).await;
            }
        }
        loop {
            let wait = match state.note(node.stored_tenants.refresh(&node.tenants).await) {
                Ok(()) => node.settings().store.refresh,
                Err(_noted) => RETRY,
            };
            node.metrics.node.store_connected.set(if state.is_usable() { 1.0 } else { 0.0 });
            sleep(jittered(wait)).await;
        }
    };
    tokio::select! {
        () = work => {}
        () = stop.cancelled() => {}
    }
}

async fn migrate(database: &PostgresStore) -> Result<(), StoreError> {
    let status = database.migration_status().await?;
    if let Some(newest) = status.unknown.last() {
        warn!(
            newest,
            "The schema _realtime is of a newer version than this server knows, and is left as it is"
        );
        return Ok(());
    }
    let applied = database.migrate().await?;
    if !applied.is_empty() {
        info!(steps = applied.len(), "The schema _realtime was migrated");
    }
    Ok(())
}

/// Whether the store can be used: a line in the log when that changes.
#[derive(Default)]
struct StoreState {
    failing: bool,
}

impl StoreState {
    fn note<T>(&mut self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        match &result {
            Ok(_) if std::mem::take(&mut self.failing) => info!("The store can be used again"),
            Ok(_) => {}
            Err(error) if !std::mem::replace(&mut self.failing, true) => {
                error!(
                    "{error}; tenants that are known stay served, and no other can be looked up or changed"
                );
            }
            Err(_still) => {}
        }
        result
    }

    fn is_usable(&self) -> bool {
        !self.failing
    }
}

/// Between three quarters and five quarters of `wait`, so that nodes do not ask at the same moment.
fn jittered(wait: Duration) -> Duration {
    let random = f64::from(getrandom::u32().unwrap_or(u32::MAX / 2)) / f64::from(u32::MAX);
    wait.mul_f64(0.75 + random / 2.0)
}
