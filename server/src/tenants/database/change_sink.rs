//! What receives the changes of tables, and what it receives.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use wire::pgoutput::Lsn;

use super::change_progress::{ChangeProgress, PartialTransaction, UnhandledBatch};
use super::log::LogProgress;

/// Receives the changes of tables in the database of one tenant.
pub trait ChangeSink: Send + Sync {
    /// A session has begun, which receives what is committed from now on, or what the one before it has not handled. Its batches are sent to the returned queue; while that is
    /// full nothing is read, and PostgreSQL waits.
    fn begin(&self, session: ChangeSession) -> mpsc::Sender<ChangeBatch>;

    /// No session reads, for the reason that clients are shown. What an earlier one has sent is to be handled all the same.
    fn unavailable(&self, shown: &str);

    /// The tables that are subscribed to most, and by how many subscriptions, for operators.
    fn tables(&self) -> Vec<(String, usize)>;
}

/// A session that reads changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangeSession {
    /// Whether changes may have been missed, because another session of this node has read before.
    pub has_gap: bool,
    /// Whether it was [unavailable](ChangeSink::unavailable) before.
    pub was_unavailable: bool,
}

/// A part of what was committed. The parts of a session follow each other without a gap, and a large transaction is in several.
#[derive(Debug)]
pub struct ChangeBatch {
    /// Whole messages of the output plugin `pgoutput`, which [`wire::pgoutput::decode`] reads, in the order of commits. In each
    /// session the definition of a table comes before its first row.
    pub messages: Vec<Bytes>,
    /// The position after the last transaction that ends in this batch, if one does.
    pub end: Option<Lsn>,
    /// Whose [`handled`](BatchReceipt::handled) is to be called when the batch has been handled, and those before it. If it is dropped
    /// instead, they may be sent again.
    pub receipt: BatchReceipt,
}

/// Confirms a batch.
#[derive(Debug)]
pub struct BatchReceipt {
    log: LogProgress,
    changes: Arc<ChangeProgress>,
    /// Everything up to here is handled then.
    position: Option<Lsn>,
    /// And this of the next transaction.
    partial: Option<PartialTransaction>,
    /// Clients are disconnected from then on: what is handled later may reach none, and is not confirmed.
    draining: CancellationToken,
    _unhandled: UnhandledBatch,
}

impl BatchReceipt {
    pub(super) fn new(
        (log, changes): (LogProgress, &Arc<ChangeProgress>),
        position: Option<Lsn>,
        partial: Option<PartialTransaction>,
        draining: CancellationToken,
    ) -> Self {
        let unhandled = changes.note_sent();
        let changes = Arc::clone(changes);
        Self { log, changes, position, partial, draining, _unhandled: unhandled }
    }

    /// Whether the batch should still be delivered. Not if this process was stopped for so long that another session may have
    /// delivered newer changes by now, or delivers these.
    pub fn is_current(&self) -> bool {
        self.log.is_current()
    }

    /// The batch and those before it are handled.
    pub fn handled(self) {
        if self.draining.is_cancelled() {
            return;
        }
        self.changes.advance(self.position, self.partial);
        if let Some(position) = self.position {
            self.log.confirm(position);
        }
    }
}
