//! Looks what is stored of the documents that are open, and has those read again of which other nodes have stored more than is known.
//!
//! With a bus that is connected this finds what it has lost, and is done seldom, and when something may have been lost. Without one
//! it is how nodes with the same PostgreSQL receive each other's changes.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{Document, Documents};
use crate::store::{DocumentVersion, StoreError};

/// Documents in one question.
const DOCUMENTS_MAX: usize = 1_000;

/// Looks at the store until `stopped`.
pub(super) async fn run(documents: Weak<Documents>, stopped: CancellationToken) {
    let (mut looked_at, mut was_reported) = (Instant::now(), false);
    while let Some(all) = documents.upgrade() {
        let (step, interval) = all.intervals();
        let is_due = tokio::select! {
            () = all.outdated.notified() => true,
            () = sleep(step) => was_reported || looked_at.elapsed() >= interval,
            () = stopped.cancelled() => return,
        };
        if !is_due {
            continue;
        }
        looked_at = Instant::now();
        let looked = all.look().await;
        match &looked {
            Err(error) if !was_reported => {
                warn!("What other nodes have stored of documents cannot be read: {error}");
            }
            Ok(()) if was_reported => info!("What other nodes have stored of documents can be read again"),
            Ok(()) | Err(_) => {}
        }
        was_reported = looked.is_err();
    }
}

impl Documents {
    /// How often it is considered whether to look, because the bus may have gone away, and how long after one look the next one
    /// follows.
    fn intervals(&self) -> (Duration, Duration) {
        let settings = &self.node.settings().documents;
        let step = settings.refresh_without_bus;
        let is_connected = self.node.link.is_connected();
        (step, if is_connected { settings.refresh.max(step) } else { step })
    }

    async fn look(&self) -> Result<(), StoreError> {
        for documents in self.all().chunks(DOCUMENTS_MAX) {
            let names: Vec<_> = documents.iter().map(|document| Arc::clone(&document.name)).collect();
            let versions = self.store.versions(&names).await?;
            for (document, version) in documents.iter().zip(versions) {
                document.notify_of(version);
            }
        }
        Ok(())
    }
}

impl Document {
    fn notify_of(self: &Arc<Self>, version: DocumentVersion) {
        if self.log.lacks(&version) {
            self.notify(|notices| notices.version = Some(version));
        }
    }
}
