//! Checkpoints: what is in the log of the file is written to its places. SQLite does that in the commit that makes the log long, so
//! that those who wait for the commit wait for it. So it is done beside the commits, as long as there are some.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::SqliteConnection;
use tokio::sync::Mutex;
use tracing::debug;

use super::SqliteStore;
use crate::store::StoreError;

/// From the beginning of one to that of the next.
const INTERVAL: Duration = Duration::from_secs(1);

/// The log begins anew after a checkpoint during which nothing is committed. That is waited for once it has so many pages.
const PAGES_MAX: i64 = 8_000;

/// When the last one has begun. Locked while it is done, so that there is one at a time.
#[derive(Debug, Clone, Default)]
pub(super) struct Checkpoints(Arc<Mutex<Option<Instant>>>);

impl SqliteStore {
    /// Begins a checkpoint, if none is under way and the last one began long enough ago.
    pub(super) fn checkpoint_if_due(&self) {
        let Ok(mut begun) = Arc::clone(&self.checkpoints.0).try_lock_owned() else { return };
        if begun.is_some_and(|begun| begun.elapsed() < INTERVAL) {
            return;
        }
        *begun = Some(Instant::now());
        let store = self.clone();
        tokio::spawn(async move {
            // A commit does what is left, when the log is twice as long.
            if let Err(error) = store.checkpoint().await {
                debug!(%error, "The log of the embedded file was not written to its places");
            }
            drop(begun);
        });
    }

    async fn checkpoint(&self) -> Result<(), StoreError> {
        let mut connection = self.pool.acquire().await?;
        if checkpoint(&mut connection).await? >= PAGES_MAX {
            let _turn = self.turn_to_write().await;
            checkpoint(&mut connection).await?;
        }
        Ok(())
    }
}

/// Returns the pages of the log.
async fn checkpoint(connection: &mut SqliteConnection) -> Result<i64, StoreError> {
    let query = sqlx::query_as("PRAGMA wal_checkpoint(PASSIVE)");
    let (_is_busy, pages, _written): (i64, i64, i64) = query.fetch_one(connection).await?;
    Ok(pages)
}
