//! Appends the updates of all documents to the store: one commit at a time, which takes whatever was queued during the one before.
//!
//! A document has at most one append in the queue or in the commit, so the queue is as long as there are documents with unsaved
//! updates, and those bound what they keep. When the store does not answer, the commit is tried again until it does: nothing is
//! given up, and nothing acknowledged.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::document::Document;
use crate::backoff::Backoff;
use crate::store::{DocumentStore, DocumentUpdate, StoreError};

/// Updates and bytes of one commit.
const UPDATES_MAX: usize = 2_000;
const BYTES_MAX: usize = 8 * 1024 * 1024;

/// Waits between attempts of a commit.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// The updates of one document that are to be appended together.
pub(super) struct Append {
    pub(super) document: Arc<Document>,
    pub(super) updates: Vec<DocumentUpdate>,
}

impl Append {
    fn bytes(&self) -> usize {
        self.updates.iter().map(|update| update.update.len()).sum()
    }
}

/// What is to be appended.
#[derive(Default)]
pub(super) struct AppendQueue {
    waiting: Mutex<VecDeque<Append>>,
    changed: Notify,
}

impl AppendQueue {
    /// Queues the updates of a document. Its [`Document::saved`] is called with the result.
    pub(super) fn put(&self, append: Append) {
        self.waiting.lock().push_back(append);
        self.changed.notify_one();
    }

    /// What fits into one commit.
    fn take(&self) -> Vec<Append> {
        let (mut updates, mut bytes) = (0, 0);
        let mut waiting = self.waiting.lock();
        let count = waiting.iter().take_while(|append| {
            let fits = updates == 0
                || (updates + append.updates.len() <= UPDATES_MAX && bytes + append.bytes() <= BYTES_MAX);
            updates += append.updates.len();
            bytes += append.bytes();
            fits
        });
        let count = count.count();
        waiting.drain(..count).collect()
    }

    /// Appends to `store` until `stopped`, and then what is left.
    pub(super) async fn run(self: Arc<Self>, store: Arc<dyn DocumentStore>, stopped: CancellationToken) {
        loop {
            let commit = self.take();
            if !commit.is_empty() {
                append(&*store, commit, &stopped).await;
                continue;
            }
            tokio::select! {
                () = self.changed.notified() => {}
                () = stopped.cancelled() => return,
            }
        }
    }
}

/// Appends in one commit. If the store refuses it, each document in one of its own: what is wrong with one delays no other.
async fn append(store: &dyn DocumentStore, commit: Vec<Append>, stopped: &CancellationToken) {
    match append_once_reached(store, &commit, stopped).await {
        Err(StoreError::Rejected(_) | StoreError::Changed) if commit.len() > 1 => {
            for single in commit {
                let saved = append_once_reached(store, std::slice::from_ref(&single), stopped).await;
                single.document.saved(saved);
            }
        }
        saved => commit.iter().for_each(|append| append.document.saved(saved.clone())),
    }
}

/// Tries again while the store cannot be reached.
async fn append_once_reached(
    store: &dyn DocumentStore,
    commit: &[Append],
    stopped: &CancellationToken,
) -> Result<(), StoreError> {
    let updates: Vec<DocumentUpdate> =
        commit.iter().flat_map(|append| append.updates.iter().cloned()).collect();
    let mut backoff = Backoff::new(RETRY.0, RETRY.1);
    let mut was_reported = false;
    loop {
        match store.append(&updates).await {
            Ok(_ids) => {
                if was_reported {
                    info!("Updates of documents are saved again");
                }
                return Ok(());
            }
            Err(error @ (StoreError::Unavailable(_) | StoreError::ReadOnly(_)))
                if !stopped.is_cancelled() =>
            {
                if !was_reported {
                    warn!(
                        "Updates of documents cannot be saved, and are not acknowledged until they are: {error}"
                    );
                    was_reported = true;
                }
                tokio::select! {
                    () = tokio::time::sleep(backoff.next_wait()) => {}
                    () = stopped.cancelled() => {}
                }
            }
            Err(error) => return Err(error),
        }
    }
}
