//! Up to where the changes of a tenant are handled on this node, in whichever sessions of the log they came.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;
use wire::pgoutput::Lsn;

/// Up to where changes are handled.
#[derive(Debug, Default)]
pub(super) struct ChangeProgress {
    state: Mutex<HandledChanges>,
    /// Batches that were sent and are not handled yet.
    unhandled: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct HandledChanges {
    /// All transactions up to here.
    position: Option<Lsn>,
    /// A part of the next one.
    partial: Option<PartialTransaction>,
    wait: Option<ResumeWait>,
}

/// A transaction of which some rows are handled. PostgreSQL sends it from its beginning again, with the same rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PartialTransaction {
    /// Where its commit is in the log.
    pub(super) commit: Lsn,
    /// Its rows, from the first one.
    pub(super) rows: u64,
}

/// Transactions that were committed before a position wait until subscribers are there again.
#[derive(Debug, Clone, Copy)]
struct ResumeWait {
    before: Lsn,
    until: Instant,
}

/// A batch that is not handled, until this is dropped.
#[derive(Debug)]
pub(super) struct UnhandledBatch(Arc<ChangeProgress>);

impl ChangeProgress {
    /// Up to where all is handled, if a session has begun.
    pub(super) fn position(&self) -> Option<Lsn> {
        self.state.lock().position
    }

    /// The transaction after that of which a part is handled.
    pub(super) fn partial(&self) -> Option<PartialTransaction> {
        self.state.lock().partial
    }

    /// A session begins at a position that is not the one that was handled: with the first one, or after a gap.
    pub(super) fn begin_at(&self, position: Lsn) {
        let mut state = self.state.lock();
        (state.position, state.partial) = (Some(position), None);
    }

    /// Transactions that were committed before a position wait for so long.
    pub(super) fn wait_before(&self, before: Lsn, wait: Duration) {
        self.state.lock().wait = Some(ResumeWait { before, until: Instant::now() + wait });
    }

    /// Until when the transaction with this commit waits, if it does.
    pub(super) fn waits_until(&self, commit: Lsn) -> Option<Instant> {
        let wait = self.state.lock().wait?;
        (commit < wait.before && Instant::now() < wait.until).then_some(wait.until)
    }

    /// All up to `position` is handled, and a part of the next transaction.
    pub(super) fn advance(&self, position: Option<Lsn>, partial: Option<PartialTransaction>) {
        let mut state = self.state.lock();
        state.position = state.position.max(position);
        state.partial = partial;
    }

    /// What was handled does not matter any more.
    pub(super) fn reset(&self) {
        *self.state.lock() = HandledChanges::default();
    }

    /// A batch is sent.
    pub(super) fn note_sent(self: &Arc<Self>) -> UnhandledBatch {
        self.unhandled.send_modify(|count| *count += 1);
        UnhandledBatch(Arc::clone(self))
    }

    /// Whether all that was sent is handled.
    pub(super) fn is_settled(&self) -> bool {
        *self.unhandled.borrow() == 0
    }

    /// Waits until all that was sent is handled, or is given up.
    pub(super) async fn settled(&self) {
        let mut unhandled = self.unhandled.subscribe();
        let settled = unhandled.wait_for(|count| *count == 0).await.map(drop);
        settled.expect("the sender is in `self`");
    }
}

impl Drop for UnhandledBatch {
    fn drop(&mut self) {
        self.0.unhandled.send_modify(|count| *count -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_transactions_wait_for_subscribers_and_new_ones_do_not() {
        let progress = ChangeProgress::default();
        assert_eq!(progress.waits_until(Lsn(1)), None);
        progress.wait_before(Lsn(10), Duration::from_secs(3600));
        assert!(progress.waits_until(Lsn(9)).is_some());
        assert_eq!(progress.waits_until(Lsn(10)), None);
        progress.wait_before(Lsn(10), Duration::ZERO);
        assert_eq!(progress.waits_until(Lsn(9)), None, "the time is over");
    }

    #[test]
    fn positions_only_rise() {
        let progress = ChangeProgress::default();
        progress.begin_at(Lsn(5));
        progress.advance(Some(Lsn(7)), Some(PartialTransaction { commit: Lsn(9), rows: 3 }));
        progress.advance(None, None);
        assert_eq!((progress.position(), progress.partial()), (Some(Lsn(7)), None));
    }
}
