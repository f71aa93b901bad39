//! Appends the updates of all documents to the store: one commit at a time, which takes whatever was queued during the one before.
//! If that is more than fits, tenants take turns.
//!
//! A document has at most one append in the queue or in the commit, so the queue is as long as there are documents with unsaved
//! updates, and those bound what they keep. When the store does not answer, the commit is tried again until it does: nothing is
//! given up, and nothing acknowledged.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hub::{Bounds, FairQueue, Party, Quantum};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;

use super::document::Document;
use super::mailbox::Saved;
use crate::backoff::Backoff;
use crate::node::Node;
use crate::store::{DocumentStore, DocumentUpdate, StoreError};
use crate::telemetry::codes::{Code, Scope};

/// A commit with so many updates or bytes takes no other document.
const UPDATES_MAX: usize = 2_000;
const BYTES_MAX: usize = 8 * 1024 * 1024;

/// A commit begins no earlier after the one before. An update after a pause is committed at once; under load a fast disk would else
/// have a commit for every few updates, which costs the processor more than the updates.
const INTERVAL_MIN: Duration = Duration::from_millis(3);

/// In bytes.
const QUANTUM: Quantum = Quantum { per_turn: 256 * 1024, per_item: 1_024 };

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

    fn party(&self) -> Party {
        self.document.tenant.memory.party()
    }
}

/// What is to be appended.
pub(super) struct AppendQueue {
    waiting: Mutex<FairQueue<Party, Append>>,
    changed: Notify,
}

impl Default for AppendQueue {
    fn default() -> Self {
        // Bounded otherwise: each document has one append at most.
        let waiting = FairQueue::new(Bounds { frames: 0, bytes: 0 }, QUANTUM);
        Self { waiting: Mutex::new(waiting), changed: Notify::new() }
    }
}

impl AppendQueue {
    /// Queues the updates of a document. Its [`Document::saved`] is called with the result.
    pub(super) fn put(&self, append: Append) {
        self.waiting.lock().insert(&append.party(), append);
        self.changed.notify_one();
    }

    /// What goes into one commit.
    fn take(&self) -> Vec<Append> {
        let (mut commit, mut updates, mut bytes) = (Vec::new(), 0, 0);
        let mut waiting = self.waiting.lock();
        while updates < UPDATES_MAX
            && bytes < BYTES_MAX
            && let Some(append) = waiting.pop()
        {
            waiting.charge(&append.party(), append.bytes());
            updates += append.updates.len();
            bytes += append.bytes();
            commit.push(append);
        }
        commit
    }

    /// Appends to `store` until `stopped`, and then what is left.
    pub(super) async fn run(
        self: Arc<Self>,
        node: Arc<Node>,
        store: Arc<dyn DocumentStore>,
        stopped: CancellationToken,
    ) {
        let committer = Committer { node, store, stopped };
        loop {
            let commit = self.take();
            if !commit.is_empty() {
                let next = tokio::time::Instant::now() + INTERVAL_MIN;
                committer.append(commit).await;
                sleep_until(next).await;
                continue;
            }
            tokio::select! {
                () = self.changed.notified() => {}
                () = committer.stopped.cancelled() => return,
            }
        }
    }
}

/// What commits.
struct Committer {
    node: Arc<Node>,
    store: Arc<dyn DocumentStore>,
    stopped: CancellationToken,
}

impl Committer {
    /// Appends in one commit. If the store refuses it, each document in one of its own: what is wrong with one delays no other.
    async fn append(&self, commit: Vec<Append>) {
        match self.append_once_reached(&commit).await {
            Err(StoreError::Rejected(_) | StoreError::Changed) if commit.len() > 1 => {
                for single in commit {
                    let saved = self.append_once_reached(std::slice::from_ref(&single)).await;
                    single.document.saved(saved);
                }
            }
            Ok(rows) => {
                let mut rows = rows.into_iter();
                for append in commit {
                    let of_document = rows.by_ref().take(append.updates.len()).collect();
                    append.document.saved(Ok(of_document));
                }
            }
            refused => commit.iter().for_each(|append| append.document.saved(refused.clone())),
        }
    }

    /// Tries again while the store cannot be reached.
    async fn append_once_reached(&self, commit: &[Append]) -> Saved {
        let updates: Vec<DocumentUpdate> =
            commit.iter().flat_map(|append| append.updates.iter().cloned()).collect();
        let mut backoff = Backoff::new(RETRY.0, RETRY.1);
        loop {
            let error = match self.try_append(&updates).await {
                Ok(rows) => return Ok(rows),
                Err(error) => error,
            };
            let may_pass = matches!(error, StoreError::Unavailable(_) | StoreError::ReadOnly(_));
            if !may_pass || self.stopped.is_cancelled() {
                return Err(error);
            }
            self.node.reports.record(Code::UnableToSaveDocument.at(Scope::Log), &error);
            tokio::select! {
                () = tokio::time::sleep(backoff.next_wait()) => {}
                () = self.stopped.cancelled() => {}
            }
        }
    }

    async fn try_append(&self, updates: &[DocumentUpdate]) -> Saved {
        let (metrics, counts) = (&self.node.metrics.documents, &self.node.documents);
        let begun = Instant::now();
        match self.store.append(updates).await {
            Ok(rows) => {
                metrics.commits.record(begun.elapsed().as_secs_f64());
                metrics.saved.increment(updates.len() as u64);
                counts.note_saved();
                Ok(rows)
            }
            Err(error) => {
                metrics.commit_failures.increment(1);
                counts.note_save_failure(error.to_string());
                Err(error)
            }
        }
    }
}
