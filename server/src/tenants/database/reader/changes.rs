//! Reads the changes of the tables in the publication that clients may subscribe to, and hands them on in batches.
//!
//! Nothing is read while the batches are not taken: PostgreSQL then waits, and keeps on its own disk what is committed meanwhile.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use wire::pgoutput::{self, LogMessage, Lsn};

use super::failures::{Unreadable, described};
use super::log_stream::{LogStream, Prerequisites};
use super::watchdog;
use crate::tenants::LogState;
use crate::tenants::database::TenantDatabase;
use crate::tenants::database::change_following::ChangeFollowing;
use crate::tenants::database::change_sink::{BatchReceipt, ChangeBatch, ChangeSession, ChangeSink};
use crate::tenants::database::changes::ask;
use crate::tenants::database::log::{LogError, LogEvent, LogSession};

/// The most messages of a batch.
const BATCH_MESSAGES: usize = 2_048;

/// The most bytes of a batch, not counting its last message.
const BATCH_BYTES: usize = 512 * 1024;

/// The stream of changes.
pub(super) struct ChangesStream {
    /// Who follows it.
    pub(super) following: Arc<ChangeFollowing>,
    /// Receives what is read.
    pub(super) sink: Arc<dyn ChangeSink>,
}

/// What lasts as long as a session. Its end is noted however it comes, also when the reader is cancelled.
pub(super) struct ChangesSession {
    following: Arc<ChangeFollowing>,
    batches: mpsc::Sender<ChangeBatch>,
    /// Has a clone in each batch that is not handled.
    unhandled: Arc<()>,
}

impl Drop for ChangesSession {
    fn drop(&mut self) {
        self.following.state.send_replace(LogState::Starting);
    }
}

impl LogStream for ChangesStream {
    const APPLICATION_NAME: &'static str = "realtime_rls";
    const SUBJECT: &'static str = "changes of tables";
    // Operators and metrics show how far it is behind.
    const WATCH_INTERVAL: Duration = Duration::from_secs(10);

    type Session = ChangesSession;

    fn slot(suffix: &str) -> String {
        let separator = if suffix.is_empty() { "" } else { "_" };
        format!("supabase_realtime_replication_slot{separator}{suffix}")
    }

    fn was_read(&self, _database: &TenantDatabase) -> bool {
        self.following.were_read()
    }

    async fn prepare(&self, database: &TenantDatabase) -> Result<Prerequisites, Unreadable> {
        let publication = &database.spec.usage.publication;
        let published = database.published_tables(publication).await?;
        let problem = match published.exists {
            false => "does not exist",
            true if published.tables.is_empty() => "has no table",
            true => {
                let oid = ask(database, &(), |connection, ()| Box::pin(watchdog::oid(connection))).await?;
                return Ok(Prerequisites { publications: vec![publication.clone()], oid });
            }
        };
        Err(Unreadable::NothingToRead(format!("the publication `{publication}` {problem}")))
    }

    fn begin(&self, _database: &Arc<TenantDatabase>, is_continuation: bool) -> ChangesSession {
        self.following.note_read();
        // Users of other nodes have readers of their own.
        let batches = self.sink.begin(ChangeSession { has_gap: is_continuation });
        ChangesSession { following: Arc::clone(&self.following), batches, unhandled: Arc::default() }
    }

    async fn read(
        &self,
        _database: &TenantDatabase,
        session: &mut ChangesSession,
        log: &mut LogSession,
    ) -> String {
        loop {
            let batch = match UnsentBatch::read(log).await {
                Ok(batch) => batch,
                Err(error) => return described(&error),
            };
            if batch.messages.is_empty() {
                session.confirm_idle(log, batch.position);
            } else if session.batches.send(batch.with_receipt(session, log)).await.is_err() {
                return "the changes are no longer received".to_owned();
            }
        }
    }

    fn state<'a>(&'a self, _database: &'a TenantDatabase) -> &'a watch::Sender<LogState> {
        &self.following.state
    }

    fn note_unavailable(&self, shown: &str) {
        self.sink.unavailable(shown);
    }

    fn note_lag(&self, bytes: u64) {
        self.following.note_lag(bytes);
    }

    async fn until_changed(&self) {
        self.following.publication_changed.notified().await;
    }
}

impl ChangesSession {
    /// Nothing was committed up to this position but what was handled.
    fn confirm_idle(&self, log: &LogSession, position: Option<Lsn>) {
        // Otherwise the next keep-alive, a second later, does.
        if let Some(position) = position
            && Arc::strong_count(&self.unhandled) == 1
        {
            log.confirm(position);
        }
    }
}

/// What a session has received.
#[derive(Default)]
struct UnsentBatch {
    messages: Vec<Bytes>,
    bytes: usize,
    /// The position after the last transaction that ends here.
    end: Option<Lsn>,
    /// All of the log up to this position is in this batch and those before.
    position: Option<Lsn>,
}

impl UnsentBatch {
    /// Waits for an event, and takes those that have been received with it.
    async fn read(log: &mut LogSession) -> Result<Self, LogError> {
        let mut batch = Self::default();
        batch.add(log.next().await?)?;
        while batch.messages.len() < BATCH_MESSAGES
            && batch.bytes < BATCH_BYTES
            && let Some(event) = log.try_next()?
        {
            batch.add(event)?;
        }
        Ok(batch)
    }

    fn add(&mut self, event: LogEvent) -> Result<(), LogError> {
        match event {
            LogEvent::KeepAlive { wal_end } => self.position = Some(wal_end),
            LogEvent::Message { bytes, .. } => {
                if let Some(end) = commit_end(&bytes)? {
                    (self.end, self.position) = (Some(end), Some(end));
                }
                self.bytes += bytes.len();
                self.messages.push(bytes);
            }
        }
        Ok(())
    }

    fn with_receipt(self, session: &ChangesSession, log: &LogSession) -> ChangeBatch {
        let Self { messages, end, position, .. } = self;
        let receipt = BatchReceipt::new(log.progress(), position, Arc::clone(&session.unhandled));
        ChangeBatch { messages, end, receipt }
    }
}

/// The position after the transaction, if the message is its end. Others are not decoded here.
fn commit_end(message: &[u8]) -> Result<Option<Lsn>, LogError> {
    if message.first() != Some(&b'C') {
        return Ok(None);
    }
    match pgoutput::decode(message) {
        Ok(LogMessage::Commit(commit)) => Ok(Some(commit.end_lsn)),
        Ok(_other) => Ok(None),
        Err(error) => Err(LogError::Protocol(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_have_upstreams_names() {
        assert_eq!(ChangesStream::slot(""), "supabase_realtime_replication_slot");
        assert_eq!(ChangesStream::slot("blue"), "supabase_realtime_replication_slot_blue");
    }
}
