//! From the reader of a log to the task that handles the changes of a tenant.
//!
//! The reader keeps the changes of a tenant for as long as it reads, which is some time after the last channel has unsubscribed:
//! a client that comes back finds the session that was there, instead of waiting for another one.

use std::sync::Weak;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::session_queue::QueuedSession;
use super::stream::ChangeStream;
use super::subscribing::not_available;
use super::tenant_changes::ChangesOfTenant;
use crate::tenants::database::{ChangeBatch, ChangeSession, ChangeSink};
use crate::workers::pause_if_used_up;

/// How often it is looked whether tables are still published: the log says nothing about one that is not written to.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Tables that operators see.
const TABLES_SHOWN: usize = 100;

impl ChangeSink for ChangesOfTenant {
    fn begin(&self, session: ChangeSession) -> mpsc::Sender<ChangeBatch> {
        self.sessions.begin(session)
    }

    fn unavailable(&self, shown: &str) {
        for subscriber in self.subscriptions.all() {
            subscriber.notice_failure(&not_available(shown));
        }
    }

    fn tables(&self) -> Vec<(String, usize)> {
        let mut tables = self.subscriptions.with(|state| state.counts());
        tables.sort_unstable_by(|(one, of_one), (other, of_other)| (of_other, one).cmp(&(of_one, other)));
        tables.truncate(TABLES_SHOWN);
        tables
    }
}

/// Handles the changes of a tenant, as long as they are read or subscribed to.
pub(super) async fn handle(changes: Weak<ChangesOfTenant>, mut sessions: mpsc::Receiver<QueuedSession>) {
    let mut stream = ChangeStream::default();
    while let Some(QueuedSession { session, mut batches }) = sessions.recv().await {
        stream.begin();
        if session.has_gap || session.was_unavailable {
            let Some(changes) = changes.upgrade() else { return };
            for subscriber in changes.subscriptions.all() {
                if session.has_gap {
                    changes.notices.send_gap_of_session(&subscriber);
                }
                // Tables may be others by now.
                changes.subscribe_again(&subscriber);
                pause_if_used_up().await;
            }
        }
        let mut look_at = Instant::now() + LOOK_AGAIN;
        loop {
            let received = timeout_at(look_at, batches.recv()).await;
            let Some(changes) = changes.upgrade() else { return };
            match received {
                Ok(None) => break,
                Ok(Some(batch)) if batch.receipt.is_current() => {
                    stream.handle(&changes, &batch.messages).await;
                    batch.receipt.handled();
                }
                Ok(Some(_)) | Err(_) => {}
            }
            if Instant::now() >= look_at {
                stream.forget_excluded(&changes);
                changes.check_published().await;
                look_at = Instant::now() + LOOK_AGAIN;
            }
        }
    }
}
