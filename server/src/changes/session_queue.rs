//! Sessions of the log on their way from the reader to the task that handles them.

use tokio::sync::mpsc;

use crate::tenants::database::{ChangeBatch, ChangeSession};

/// Batches that wait beside the one that is handled: while the database is asked about that, the next one is filled.
const BATCHES_MAX: usize = 1;

/// Sessions that wait until those before them were handled. They follow each other after pauses, so one is usual.
const SESSIONS_MAX: usize = 8;

/// Hands sessions to the task.
pub(super) struct SessionQueue(mpsc::Sender<QueuedSession>);

/// A session, and the batches that it sends.
pub(super) struct QueuedSession {
    pub(super) session: ChangeSession,
    pub(super) batches: mpsc::Receiver<ChangeBatch>,
}

impl SessionQueue {
    /// An empty queue, and what the task takes from it.
    pub(super) fn new() -> (Self, mpsc::Receiver<QueuedSession>) {
        let (sessions, receiver) = mpsc::channel(SESSIONS_MAX);
        (Self(sessions), receiver)
    }

    /// A session begins. What it sends goes to the returned queue.
    pub(super) fn begin(&self, session: ChangeSession) -> mpsc::Sender<ChangeBatch> {
        let (sender, batches) = mpsc::channel(BATCHES_MAX);
        // One that finds no place ends, and is begun again later.
        let _full = self.0.try_send(QueuedSession { session, batches });
        sender
    }
}
