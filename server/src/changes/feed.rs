//! From the reader of a log to the task that handles the changes of a tenant.

use std::sync::{Arc, Weak};

use tokio::sync::mpsc;

use super::stream::ChangeStream;
use super::subscribing;
use super::tenant_changes::ChangesOfTenant;
use crate::tenants::database::{ChangeBatch, ChangeSession, ChangeSink};

/// Batches that wait beside the one that is handled: while the database is asked about that, the next one is filled.
const BATCHES_MAX: usize = 1;

/// Sessions that wait until those before them were handled. They follow each other after pauses, so one is usual.
const SESSIONS_MAX: usize = 8;

/// Hands sessions of the log to the task.
struct Feed {
    sessions: mpsc::Sender<FeedSession>,
}

/// A session of the log.
pub(super) struct FeedSession {
    session: ChangeSession,
    batches: mpsc::Receiver<ChangeBatch>,
}

/// What a reader writes to, and what the task reads.
pub(super) fn new() -> (Arc<dyn ChangeSink>, mpsc::Receiver<FeedSession>) {
    let (sessions, receiver) = mpsc::channel(SESSIONS_MAX);
    (Arc::new(Feed { sessions }), receiver)
}

impl ChangeSink for Feed {
    fn begin(&self, session: ChangeSession) -> mpsc::Sender<ChangeBatch> {
        let (sender, batches) = mpsc::channel(BATCHES_MAX);
        // One that finds no place ends, and is begun again later.
        let _full = self.sessions.try_send(FeedSession { session, batches });
        sender
    }

    fn end(&self) {}
}

/// Handles the changes of a tenant, as long as a channel has subscribed to some.
pub(super) async fn handle(changes: Weak<ChangesOfTenant>, mut sessions: mpsc::Receiver<FeedSession>) {
    let mut stream = ChangeStream::default();
    while let Some(FeedSession { session, mut batches }) = sessions.recv().await {
        stream.begin();
        if session.has_gap {
            let Some(changes) = changes.upgrade() else { return };
            for subscriber in changes.subscriptions.all() {
                subscriber.notice_gap();
                // Tables may be others by now.
                let attempts = subscribing::run(Arc::downgrade(&changes), Arc::clone(&subscriber), None);
                changes.spawn_attempts(&subscriber, attempts);
            }
        }
        while let Some(batch) = batches.recv().await {
            let Some(changes) = changes.upgrade() else { return };
            if batch.receipt.is_current() {
                stream.handle(&changes, &batch.messages).await;
            }
        }
    }
}
