//! What receives the changes of tables, and what it receives.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;
use wire::pgoutput::Lsn;

use super::log::LogProgress;

/// Receives the changes of tables in the database of one tenant.
pub trait ChangeSink: Send + Sync {
    /// A session has begun, which receives what is committed from now on. Its batches are sent to the returned queue; while that is
    /// full nothing is read, and PostgreSQL waits.
    fn begin(&self, session: ChangeSession) -> mpsc::Sender<ChangeBatch>;

    /// No session reads, for the reason that clients are shown. What an earlier one has sent is to be handled all the same.
    fn unavailable(&self, shown: &str);
}

/// A session that reads changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangeSession {
    /// Whether changes may have been missed, because another session, of this node or another one, has read before.
    pub has_gap: bool,
}

/// A part of what was committed. The parts of a session follow each other without a gap, and a large transaction is in several.
#[derive(Debug)]
pub struct ChangeBatch {
    /// Whole messages of the output plugin `pgoutput`, which [`wire::pgoutput::decode`] reads, in the order of commits. In each
    /// session the definition of a table comes before its first row.
    pub messages: Vec<Bytes>,
    /// The position after the last transaction that ends in this batch, if one does.
    pub end: Option<Lsn>,
    /// To be dropped when the batch has been handled, and those before it.
    pub receipt: BatchReceipt,
}

/// Confirms the transactions of a batch to PostgreSQL when it is dropped.
#[derive(Debug)]
pub struct BatchReceipt {
    progress: LogProgress,
    /// Everything up to here is handled then.
    position: Option<Lsn>,
    /// Counts the batches that are not handled.
    _unhandled: Arc<()>,
}

impl BatchReceipt {
    pub(super) fn new(progress: LogProgress, position: Option<Lsn>, unhandled: Arc<()>) -> Self {
        Self { progress, position, _unhandled: unhandled }
    }

    /// Whether the batch should still be delivered. Not if this process was stopped for so long that another node may have
    /// delivered newer changes by now.
    pub fn is_current(&self) -> bool {
        self.progress.is_current()
    }
}

impl Drop for BatchReceipt {
    fn drop(&mut self) {
        if let Some(position) = self.position {
            self.progress.confirm(position);
        }
    }
}
