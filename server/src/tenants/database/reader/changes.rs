//! Reads the changes of the tables in the publication that clients may subscribe to, and hands them on in batches.
//!
//! Nothing is read while the batches are not taken: PostgreSQL then waits, and keeps on its own disk what is committed meanwhile.

use std::future::pending;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;
use wire::pgoutput::Lsn;

use super::durable_changes::DurableChanges;
use super::failures::{Unreadable, described};
use super::log_stream::{LogStream, Prerequisites};
use super::transaction_rows::{NotedMessage, TransactionRows};
use super::{names, watchdog};
use crate::telemetry::metrics::ReasonCounter;
use crate::tenants::LogState;
use crate::tenants::database::TenantDatabase;
use crate::tenants::database::change_following::ChangeFollowing;
use crate::tenants::database::change_progress::PartialTransaction;
use crate::tenants::database::change_sink::{BatchReceipt, ChangeBatch, ChangeSession, ChangeSink};
use crate::tenants::database::changes::{Publication, ask};
use crate::tenants::database::literal::identifier;
use crate::tenants::database::log::{LogError, LogEvent, LogSession, SlotSource};

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
    /// How they are kept while no node reads them, if they are.
    pub(super) durable: Option<Arc<DurableChanges>>,
    /// Cancelled when clients are disconnected because the server stops.
    pub(super) draining: CancellationToken,
}

/// What lasts as long as a session. Its end is noted however it comes, also when the reader is cancelled.
pub(super) struct ChangesSession {
    following: Arc<ChangeFollowing>,
    batches: mpsc::Sender<ChangeBatch>,
    durable: Option<Arc<DurableChanges>>,
    draining: CancellationToken,
    transaction: TransactionRows,
}

impl Drop for ChangesSession {
    fn drop(&mut self) {
        self.following.state.send_replace(LogState::Starting);
    }
}

impl LogStream for ChangesStream {
    const APPLICATION_NAME: &'static str = names::CHANGES_SESSION;
    const SUBJECT: &'static str = "changes of tables";

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
        let name = identifier(publication);
        let (problem, statement) = match database.publication(publication).await? {
            Publication::Missing => ("does not exist", format!("CREATE PUBLICATION {name}")),
            Publication::Empty => ("has no table", format!("ALTER PUBLICATION {name} ADD TABLE …")),
            Publication::WithTables => {
                let oid = ask(database, &(), |connection, ()| Box::pin(watchdog::oid(connection))).await?;
                let source = match &self.durable {
                    Some(durable) => durable.source(database, oid).await?,
                    None => SlotSource::LogEnd,
                };
                return Ok(Prerequisites { publications: vec![publication.clone()], source, oid });
            }
        };
        let shown = format!("the publication `{publication}` {problem}");
        Err(Unreadable::NothingToRead { shown, statement })
    }

    fn begin(
        &self,
        _database: &Arc<TenantDatabase>,
        log: &LogSession,
        is_continuation: bool,
    ) -> ChangesSession {
        let (following, start) = (Arc::clone(&self.following), log.start());
        following.note_read();
        // Users of other nodes have readers of their own.
        let has_gap = is_continuation && start.has_gap;
        if start.has_gap || following.progress.position().is_none() {
            following.progress.begin_at(start.position);
        }
        if let Some(durable) = &self.durable {
            durable.note_session(log.slot());
            if let Some(before) = start.waits_before {
                following.progress.wait_before(before, durable.resume_wait());
            }
        }
        let session = ChangeSession { has_gap, was_unavailable: following.take_unavailable() };
        let batches = self.sink.begin(session);
        let transaction = TransactionRows::after(following.progress.partial());
        let (durable, draining) = (self.durable.clone(), self.draining.clone());
        ChangesSession { following, batches, durable, draining, transaction }
    }

    async fn read(
        &self,
        database: &TenantDatabase,
        session: &mut ChangesSession,
        log: &mut LogSession,
    ) -> String {
        let slot = log.slot().to_owned();
        let following = async {
            match &self.durable {
                Some(durable) => durable.follow(database, &slot).await,
                None => pending().await,
            }
        };
        tokio::select! {
            reason = session.read(log) => reason,
            never = following => match never {},
        }
    }

    fn state<'a>(&'a self, _database: &'a TenantDatabase) -> &'a watch::Sender<LogState> {
        &self.following.state
    }

    fn note_unavailable(&self, shown: &str) {
        self.following.note_unavailable();
        self.sink.unavailable(shown);
    }

    fn note_end(&self, database: &TenantDatabase) {
        database.tenant.metrics.database().changes_failures.increment(1);
        database.tenant.metrics.count(ReasonCounter::ChangesStopped, "other");
    }

    fn note_unprepared(&self, database: &TenantDatabase) {
        database.tenant.metrics.database().changes_unprepared.increment(1);
    }

    fn note_lag(&self, bytes: u64) {
        self.following.note_lag(bytes);
    }

    async fn until_changed(&self) {
        self.following.publication_changed.notified().await;
    }
}

impl ChangesSession {
    /// Reads until the session ends. Returns why.
    async fn read(&mut self, log: &mut LogSession) -> String {
        loop {
            let batch = match UnsentBatch::read(log, &mut self.transaction).await {
                Ok(batch) => batch,
                Err(error) => {
                    if let Some(durable) = &self.durable {
                        durable.note_failure(&error);
                    }
                    return described(&error);
                }
            };
            if batch.messages.is_empty() {
                self.confirm_idle(log, &batch);
                continue;
            }
            let waits_until =
                batch.first_commit.and_then(|commit| self.following.progress.waits_until(commit));
            if let Some(until) = waits_until {
                sleep_until(until).await;
            }
            // A batch that finds no place is none that was sent.
            let Ok(place) = self.batches.reserve().await else {
                return "the changes are no longer received".to_owned();
            };
            place.send(batch.with_receipt(self, log));
        }
    }

    /// Nothing was committed up to this position but what was handled.
    fn confirm_idle(&self, log: &LogSession, batch: &UnsentBatch) {
        // Otherwise the next keep-alive, a second later, does.
        let progress = &self.following.progress;
        if let Some(position) = batch.position
            && progress.is_settled()
            && !self.draining.is_cancelled()
        {
            progress.advance(Some(position), batch.partial);
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
    /// A transaction that begins or goes on in this batch, and does not end there.
    partial: Option<PartialTransaction>,
    /// Where the commit of the first transaction that begins in this batch is.
    first_commit: Option<Lsn>,
}

impl UnsentBatch {
    /// Waits for an event, and takes those that have been received with it.
    async fn read(log: &mut LogSession, transaction: &mut TransactionRows) -> Result<Self, LogError> {
        let mut batch = Self::default();
        batch.add(log.next().await?, transaction)?;
        while batch.messages.len() < BATCH_MESSAGES
            && batch.bytes < BATCH_BYTES
            && let Some(event) = log.try_next()?
        {
            batch.add(event, transaction)?;
        }
        batch.partial = transaction.partial();
        Ok(batch)
    }

    fn add(&mut self, event: LogEvent, transaction: &mut TransactionRows) -> Result<(), LogError> {
        match event {
            LogEvent::KeepAlive { wal_end } => self.position = Some(wal_end),
            LogEvent::Message { bytes, .. } => {
                match transaction.note(&bytes).map_err(|error| LogError::Protocol(error.to_string()))? {
                    NotedMessage::Begin { commit } => drop(self.first_commit.get_or_insert(commit)),
                    NotedMessage::Commit { end } => (self.end, self.position) = (Some(end), Some(end)),
                    NotedMessage::HandledRow => return Ok(()),
                    NotedMessage::Other => {}
                }
                self.bytes += bytes.len();
                self.messages.push(bytes);
            }
        }
        Ok(())
    }

    fn with_receipt(self, session: &ChangesSession, log: &LogSession) -> ChangeBatch {
        let Self { messages, end, position, partial, .. } = self;
        let progress = (log.progress(), &session.following.progress);
        let receipt = BatchReceipt::new(progress, position, partial, session.draining.clone());
        ChangeBatch { messages, end, receipt }
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
