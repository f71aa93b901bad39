//! Reads the write-ahead log of one database. Each kind of what is read has a session of its own, so that one whose receivers are slow
//! holds back nothing of the others.
//!
//! Of the nodes of a cluster one reads broadcasts, elected by a lock that its session holds. The others look whether the lock is
//! free. Nodes without a bus read broadcasts for themselves, and each node reads changes of tables for its own clients: their locks
//! only keep two sessions of one node apart.

mod changes;
mod database_message;
mod durable_changes;
mod durable_connection;
mod durable_end;
mod durable_slot;
mod failures;
mod log_stream;
mod messages;
mod messages_table;
mod names;
mod options;
mod session_failures;
mod session_retry;
mod sightings;
mod slot_wait;
mod transaction_rows;
mod unused_slot;
mod watchdog;

use std::borrow::Cow;
use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use hub::NodeId;
use sqlx::PgConnection;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::changes::ChangesStream;
pub use self::database_message::{DatabaseMessage, DatabaseMessages, DatabasePayload, DroppedMessage};
use self::durable_changes::DurableChanges;
use self::failures::{Reported, SLOT_WAITS, Unreadable};
use self::log_stream::LogStream;
use self::messages::MessagesStream;
use self::names::ReaderNames;
use self::session_retry::SessionRetry;
pub(super) use self::unused_slot::drop_unused_slot;
use super::log::{LogError, LogSession};
use super::{DatabaseFailure, DatabaseState, LogState, TenantDatabase};
use crate::backoff::jittered;
use crate::telemetry::codes::{Code, Scope};
use crate::telemetry::metrics::ReasonCounter;

/// How long what precedes a session may take.
const PREPARE_MAX: Duration = Duration::from_secs(90);

/// How often a node that does not read looks whether another one does.
const STANDBY: Duration = Duration::from_millis(500);

/// How long another session may hold the lock without reading, until that is reported: a new slot waits for transactions.
const UNREAD_MAX: Duration = Duration::from_secs(10);

/// How often a session is tried while the database has no WAL sender or slot for it: other nodes free theirs when they stop, and the name
/// of a database leads to a standby only for a while.
const SENDER_RETRY: Duration = Duration::from_secs(2);

/// How often it is looked whether there is something to read.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Which nodes read the log of a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Election {
    /// One of those that share a bus.
    OneOfAll,
    /// This one, whatever others do.
    EachNode(NodeId),
}

impl Election {
    /// What is known while another session has the lock, and reads.
    fn state_while_another_reads(self) -> LogState {
        match self {
            Self::OneOfAll => LogState::ReadElsewhere,
            // It is a session of this node that has not ended yet, from which nothing is received.
            Self::EachNode(_) => LogState::Starting,
        }
    }
}

/// Who reads, for whom, and how long.
#[derive(Clone)]
pub struct Reading {
    /// This node, which reads changes of tables for itself.
    pub node: NodeId,
    /// Which nodes read broadcasts.
    pub election: Election,
    /// Receives broadcasts.
    pub messages: Arc<dyn DatabaseMessages>,
    /// How long changes are read after the last demand for them has ended.
    pub changes_idle: Duration,
    /// Cancelled when clients are disconnected because the server stops.
    pub draining: CancellationToken,
}

/// Reads broadcasts of `database` until it is stopped.
pub(super) async fn read_messages(database: Arc<TenantDatabase>, reading: Reading) {
    let stop = database.stop.clone();
    let reader = Reader::new(database, MessagesStream(reading.messages), reading.election);
    tokio::select! {
        () = reader.run() => {}
        () = stop.cancelled() => {}
    }
}

/// Reads changes of tables of `database` while they are followed, until it is stopped.
pub(super) async fn read_changes(database: Arc<TenantDatabase>, reading: Reading) {
    let upstream = ChangesStream::slot(&database.spec.usage.slot_suffix);
    let durable = DurableChanges::of(&database, upstream, reading.draining.clone());
    let following = async {
        loop {
            read_on_demand(&database, &reading, durable.as_ref()).await;
        }
    };
    let last_drains = async {
        match &durable {
            Some(durable) => durable.until_last_drains().await,
            None => pending().await,
        }
    };
    tokio::select! {
        () = following => {}
        () = last_drains => {}
        () = database.stop.cancelled() => {
            if database.changes.is_followed() {
                database.tenant.metrics.count(ReasonCounter::ChangesStopped, "shutdown");
            }
        }
    }
    if let Some(durable) = durable {
        durable.end(&database).await;
    }
}

/// Drops the slot of changes that an earlier setting has left in a database, if there is one.
///
/// # Errors
/// When the database does not answer.
pub(super) async fn drop_durable_slot(
    connection: &mut PgConnection,
    database: &TenantDatabase,
) -> Result<(), sqlx::Error> {
    let upstream = ChangesStream::slot(&database.spec.usage.slot_suffix);
    durable_end::drop_left(connection, database, &upstream).await
}

/// Waits for a demand, and reads until there has been none for some time.
async fn read_on_demand(
    database: &Arc<TenantDatabase>,
    reading: &Reading,
    durable: Option<&Arc<DurableChanges>>,
) {
    let following = &database.changes;
    let sink = following.until_followed().await;
    let stream = ChangesStream {
        following: Arc::clone(following),
        sink: Arc::clone(&sink),
        durable: durable.cloned(),
        draining: reading.draining.clone(),
    };
    let reader = Reader::new(Arc::clone(database), stream, Election::EachNode(reading.node));
    tokio::select! {
        () = reader.run() => {}
        () = following.until_left(&sink, reading.changes_idle) => {
            database.tenant.metrics.count(ReasonCounter::ChangesStopped, "normal");
        }
    }
    following.state.send_replace(LogState::Starting);
    if let Some(durable) = durable
        && following.is_unused()
    {
        durable.discard(database).await;
    }
}

struct Reader<S> {
    database: Arc<TenantDatabase>,
    stream: S,
    election: Election,
    names: ReaderNames,
    /// The oid of the database in its server.
    oid: u32,
    /// Whether this or another node has read the log before, so that a later session begins after a gap.
    is_followed: bool,
    /// The waits before the next attempts.
    retry: SessionRetry,
}

impl<S: LogStream> Reader<S> {
    fn new(database: Arc<TenantDatabase>, stream: S, election: Election) -> Self {
        let slot = S::slot(&database.spec.usage.slot_suffix);
        let names = ReaderNames::new(slot, &database.tenant.id, election);
        let is_followed = stream.was_read(&database);
        Self { database, stream, election, names, oid: 0, is_followed, retry: SessionRetry::new() }
    }

    async fn run(mut self) {
        loop {
            self.until_usable().await;
            match self.open().await {
                Ok(session) => self.follow(session).await,
                Err(Unreadable::NothingToRead { shown, statement }) => {
                    self.await_change(shown, &statement).await;
                }
                Err(Unreadable::Database(failure)) => self.fail(failure.into()).await,
                Err(Unreadable::Log(LogError::OtherReader)) => self.stand_by().await,
                // This session had the lock: the slot is of another tenant, another database or another program.
                Err(Unreadable::Log(LogError::SlotInUse(_))) if self.names.take_own(self.oid) => {}
                Err(Unreadable::Log(error @ (LogError::NoWalSenders(_) | LogError::Standby(_)))) => {
                    self.await_sender(error).await;
                }
                Err(Unreadable::Log(error)) => self.fail(error.into()).await,
            }
        }
    }

    /// Waits until the database can be used. Meanwhile nothing is tried.
    async fn until_usable(&mut self) {
        if self.database.state() == DatabaseState::Ready {
            return;
        }
        let mut state = self.database.subscribe_state();
        let _closed = state.wait_for(|state| *state == DatabaseState::Ready).await;
        self.retry.note_usable();
    }

    async fn open(&mut self) -> Result<LogSession, Unreadable> {
        let prepared = timeout(PREPARE_MAX, self.stream.prepare(&self.database)).await;
        let too_long =
            || DatabaseFailure::new(Code::ReplicationConnectionTimeout, "the database does not answer");
        let prerequisites = prepared.unwrap_or_else(|_elapsed| Err(too_long().into()))?;
        self.oid = prerequisites.oid;
        let names = (&self.names, S::APPLICATION_NAME);
        let options = options::of(
            &self.database.login.in_use(),
            names,
            (prerequisites.publications, prerequisites.source),
        )?;
        tokio::select! {
            session = LogSession::open(&options) => Ok(session?),
            never = self.note_slot_wait() => match never {},
        }
    }

    /// Notes what a session waits for that is being opened.
    async fn note_slot_wait(&self) -> Infallible {
        slot_wait::watch(&self.database, self.names.slot(), |reason| {
            self.note_unavailable(SLOT_WAITS, reason);
        })
        .await
    }

    /// Reads until the session ends.
    async fn follow(&mut self, mut log: LogSession) {
        let (tenant, slot) = (&*self.database.tenant.id, self.names.slot());
        info!(tenant, slot, "Reading {} from the database of the tenant", S::SUBJECT);
        let is_continuation = std::mem::replace(&mut self.is_followed, true);
        let mut session = self.stream.begin(&self.database, &log, is_continuation);
        self.set_state(LogState::Reading);
        let started = Instant::now();
        let reason = tokio::select! {
            reason = self.stream.read(&self.database, &mut session, &mut log) => reason,
            reason = watchdog::watch(&self.database, self.names.slot(), &self.stream) => reason,
        };
        self.retry.note_end(started.elapsed(), log.has_transaction());
        drop((session, log));
        self.set_state(LogState::Starting);
        self.stream.note_end(&self.database);
        self.database.reports().record(Code::ReplicationConnectionDown.at(Scope::Log), &reason);
        // The database may have gone with it, which its task finds out.
        self.database.failed.notify_one();
        self.pause().await;
    }

    /// Notes whether the stream is read. Returns what was known before.
    fn set_state(&self, state: LogState) -> LogState {
        self.stream.state(&self.database).send_replace(state)
    }

    /// Waits before the next attempt, longer each time.
    async fn pause(&mut self) {
        sleep(self.retry.next_wait()).await;
    }

    /// Another session has the lock: waits until it is free.
    async fn stand_by(&mut self) {
        self.is_followed = true;
        let mut was_read = Instant::now();
        loop {
            match watchdog::other_reader(&self.database, self.names.lock_key()).await {
                Ok((true, Some(slot))) => {
                    self.names.follow(&slot, self.oid);
                    was_read = Instant::now();
                    self.set_state(self.election.state_while_another_reads());
                }
                Ok((true, None)) => {
                    self.set_state(LogState::Starting);
                    if was_read.elapsed() >= UNREAD_MAX {
                        let reason =
                            "another session holds the advisory lock of the reader, and no session reads";
                        self.database.reports().record(Code::StartReplicationFailed.at(Scope::Log), reason);
                    }
                }
                Ok((false, _)) => return,
                Err(_) => return self.pause().await,
            }
            sleep(STANDBY).await;
        }
    }

    /// There is nothing to read: waits until that may have changed.
    async fn await_change(&mut self, shown: String, statement: &str) {
        let reason = format!("{shown}: `{statement}`");
        self.stream.note_unprepared(&self.database);
        self.note_unavailable(shown.into(), reason);
        tokio::select! {
            () = sleep(LOOK_AGAIN) => {}
            () = self.stream.until_changed() => {}
        }
    }

    /// Waits after a failure.
    async fn fail(&mut self, failure: Reported) {
        self.report(failure);
        self.pause().await;
    }

    /// The sessions of others have to end first, or the name has to lead to the writer. The waits do not grow: clients would miss what is committed meanwhile.
    async fn await_sender(&self, error: LogError) {
        self.report(error.into());
        sleep(jittered(SENDER_RETRY)).await;
    }

    fn report(&self, failure: Reported) {
        self.stream.note_unprepared(&self.database);
        self.database.reports().record(failure.code.at(Scope::Log), &failure.reason);
        self.note_unavailable(failure.shown, failure.reason);
    }

    /// Clients receive `shown`, and the log has the reason.
    fn note_unavailable(&self, shown: Cow<'static, str>, reason: String) {
        let state = LogState::Unavailable { shown: shown.clone(), reason: reason.clone().into() };
        let before = self.set_state(state.clone());
        if before.shown() != Some(&shown) {
            self.stream.note_unavailable(&shown);
        }
        if before != state {
            let tenant = &*self.database.tenant.id;
            warn!(tenant, "The {} of the database are not read: {reason}", S::SUBJECT);
        }
    }
}
