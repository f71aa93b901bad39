//! Reads what is written to `realtime.messages` from the write-ahead log of one database, and hands it on in the order of commits
//! (docs/protocol/database-broadcasts.md).
//!
//! Of the nodes of a cluster one reads, elected by a lock that its session holds. The others look whether the lock is free.
//! Nodes without a bus read for themselves.

mod messages_table;
mod names;
mod options;
mod watchdog;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use hub::{NodeId, Privacy};
use tokio::time::{sleep, timeout};
use tracing::{info, warn};
use wire::pgoutput::{self, LogMessage, Lsn};

use self::messages_table::MessagesTable;
use self::names::ReaderNames;
use super::LogState;
use super::log::{LogError, LogEvent, LogSession};
use super::{DatabaseFailure, DatabaseState, TenantDatabase};
use crate::backoff::Backoff;
use crate::telemetry::codes::{Code, Scope};
use crate::tenants::Tenant;

/// The publication with `realtime.messages`, as upstream has it.
const PUBLICATION: &str = "supabase_realtime_messages_publication";

/// The first and the longest wait before the log is read again after a failure.
const RETRY: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(60));

/// How long what precedes a session may take.
const PREPARE_MAX: Duration = Duration::from_secs(90);

/// How often a node that does not read looks whether another one does.
const STANDBY: Duration = Duration::from_millis(500);

/// How long another session may hold the lock without reading, until that is reported: a new slot waits for transactions.
const UNREAD_MAX: Duration = Duration::from_secs(10);

/// A session that has lasted this long has succeeded.
const STABLE: Duration = Duration::from_secs(60);

/// Deliveries after which other tasks have their turn.
const DELIVERIES_PER_TURN: usize = 2_000;

/// A message that SQL has written to `realtime.messages`.
#[derive(Debug, Clone, Copy)]
pub struct DatabaseMessage<'a> {
    /// Its row, a UUID.
    pub id: &'a str,
    /// The sub-topic.
    pub topic: &'a str,
    /// The event.
    pub event: &'a str,
    /// What is sent.
    pub payload: DatabasePayload<'a>,
    /// To the public or the private room.
    pub privacy: Privacy,
}

/// What a message sends.
#[derive(Debug, Clone, Copy)]
pub enum DatabasePayload<'a> {
    /// JSON.
    Json(&'a str),
    /// Bytes.
    Bytes(&'a [u8]),
}

/// Receives what readers find.
pub trait DatabaseMessages: Send + Sync {
    /// Sends a message to its room. Returns how many members it was delivered to.
    ///
    /// # Errors
    /// Why it is dropped.
    fn publish(&self, tenant: &Arc<Tenant>, message: DatabaseMessage<'_>) -> Result<usize, DroppedMessage>;

    /// Messages may have been lost, because no node has read the log for a time.
    fn note_gap(&self, tenant: &Arc<Tenant>);
}

/// Why a row of `realtime.messages` is not sent. The words are upstream's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DroppedMessage(pub &'static str);

/// Which nodes read the log of a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Election {
    /// One of those that share a bus.
    OneOfAll,
    /// This one, whatever others do.
    EachNode(NodeId),
}

/// Who reads, and for whom.
#[derive(Clone)]
pub struct Reading {
    /// Which nodes read.
    pub election: Election,
    /// Receives what is found.
    pub messages: Arc<dyn DatabaseMessages>,
}

/// Reads for `database` until that is stopped.
pub(super) async fn run(database: Arc<TenantDatabase>, reading: Reading) {
    let stop = database.stop.clone();
    let names = ReaderNames::new(&database.spec.usage.slot_suffix, &database.tenant.id, reading.election);
    let was_read = database.was_read;
    let reader = Reader { database, reading, names, oid: 0, is_followed: was_read, retry: RETRY };
    tokio::select! {
        () = reader.run() => {}
        () = stop.cancelled() => {}
    }
}

struct Reader {
    database: Arc<TenantDatabase>,
    reading: Reading,
    names: ReaderNames,
    /// The oid of the database in its server.
    oid: u32,
    /// Whether this or another node has read the log before, so that a later session begins after a gap.
    is_followed: bool,
    /// The waits before the next attempts.
    retry: Backoff,
}

impl Reader {
    async fn run(mut self) {
        loop {
            self.until_usable().await;
            match self.open().await {
                Ok(session) => self.follow(session).await,
                Err(Refusal::Database(failure)) => {
                    self.fail(failure_code(&failure), UNREADABLE, &failure.reason).await
                }
                Err(Refusal::Log(LogError::OtherReader)) => self.stand_by().await,
                // This session had the lock: the slot is of another tenant, another database or another program.
                Err(Refusal::Log(LogError::SlotInUse(_))) if self.names.take_own(self.oid) => {}
                Err(Refusal::Log(error)) => {
                    self.fail(code_of(&error), shown(&error), &described(&error)).await
                }
            }
        }
    }

    /// Waits until the database can be used. Meanwhile nothing is tried.
    async fn until_usable(&self) {
        let mut state = self.database.subscribe_state();
        let _closed = state.wait_for(|state| *state == DatabaseState::Ready).await;
    }

    async fn open(&mut self) -> Result<LogSession, Refusal> {
        let prepared = timeout(PREPARE_MAX, watchdog::prepare(&self.database)).await;
        let too_long =
            || DatabaseFailure::new(Code::ReplicationConnectionTimeout, "the database does not answer");
        self.oid = prepared.unwrap_or_else(|_elapsed| Err(too_long())).map_err(Refusal::Database)?;
        let options = options::of(&self.database.spec, &self.names, vec![PUBLICATION.to_owned()]);
        Ok(LogSession::open(&options.map_err(Refusal::Database)?).await?)
    }

    /// Reads until the session ends.
    async fn follow(&mut self, mut session: LogSession) {
        let tenant = &self.database.tenant;
        info!(
            tenant = &*tenant.id,
            slot = self.names.slot(),
            "Reading broadcasts from the database of the tenant"
        );
        self.database.set_log_state(LogState::Reading);
        let has_users_elsewhere = tenant.users() > tenant.users_here();
        if std::mem::replace(&mut self.is_followed, true) || has_users_elsewhere {
            self.reading.messages.note_gap(tenant);
        }
        let started = tokio::time::Instant::now();
        let reason = tokio::select! {
            error = self.read(&mut session) => described(&error),
            reason = watchdog::watch(&self.database, self.names.slot()) => reason,
        };
        drop(session);
        if started.elapsed() >= STABLE {
            self.retry.reset();
        }
        self.database.set_log_state(LogState::Starting);
        self.database.reports().record(Code::ReplicationConnectionDown.at(Scope::Log), &reason);
        // The database may have gone with it, which its task finds out.
        self.database.failed.notify_one();
        self.pause().await;
    }

    /// Waits before the next attempt, longer each time.
    async fn pause(&mut self) {
        sleep(self.retry.next_wait()).await;
    }

    async fn read(&self, session: &mut LogSession) -> LogError {
        let mut tables = HashMap::new();
        let mut deliveries = 0;
        loop {
            match session.next().await {
                Ok(LogEvent::KeepAlive { wal_end }) => session.confirm(wal_end),
                Ok(LogEvent::Message { bytes, .. }) => match self.handle(&bytes, &mut tables) {
                    Ok(Handled::Rows(delivered)) => deliveries += delivered,
                    Ok(Handled::Committed(end)) => session.confirm(end),
                    Err(error) => return LogError::Protocol(error.to_string()),
                },
                Err(error) => return error,
            }
            if deliveries >= DELIVERIES_PER_TURN {
                deliveries = 0;
                tokio::task::yield_now().await;
            }
        }
    }

    /// Handles a message of the log.
    fn handle(
        &self,
        bytes: &[u8],
        tables: &mut HashMap<u32, Option<MessagesTable>>,
    ) -> Result<Handled, pgoutput::PgoutputError> {
        match pgoutput::decode(bytes)? {
            LogMessage::Relation(relation) => {
                tables.insert(relation.id, MessagesTable::of(&relation));
            }
            LogMessage::Insert(insert) => {
                if let Some(Some(table)) = tables.get(&insert.relation) {
                    return Ok(Handled::Rows(self.publish(table, insert.new)));
                }
            }
            LogMessage::Commit(commit) => return Ok(Handled::Committed(commit.end_lsn)),
            _other => {}
        }
        Ok(Handled::Rows(0))
    }

    /// Publishes a row. Returns the deliveries, at least one, so that rows without receivers take turns too.
    fn publish(&self, table: &MessagesTable, row: pgoutput::Row<'_>) -> usize {
        let (tenant, messages) = (&self.database.tenant, &self.reading.messages);
        let published = table
            .read(row, tenant.allowance.max_payload_bytes())
            .and_then(|message| messages.publish(tenant, message.as_message()));
        match published {
            Ok(delivered) => delivered.max(1),
            Err(dropped) => {
                tenant.metrics.database_dropped.increment(1);
                tenant.reports.record(Code::UnableToBroadcastChanges.at(Scope::Log), dropped);
                1
            }
        }
    }

    /// Another session has the lock: waits until it is free.
    async fn stand_by(&mut self) {
        self.is_followed = true;
        let mut was_read = tokio::time::Instant::now();
        loop {
            match watchdog::other_reader(&self.database, self.names.lock_key()).await {
                Ok((true, Some(slot))) => {
                    self.names.follow(&slot, self.oid);
                    was_read = tokio::time::Instant::now();
                    self.database.set_log_state(LogState::ReadElsewhere);
                }
                Ok((true, None)) => {
                    self.database.set_log_state(LogState::Starting);
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

    /// Waits after a failure. Clients receive `shown`, and the log has the reason.
    async fn fail(&mut self, code: Code, shown: &'static str, reason: &str) {
        let state = LogState::Unavailable { shown, reason: reason.to_owned().into() };
        if self.database.set_log_state(state.clone()) != state {
            warn!(tenant = &*self.database.tenant.id, "Broadcasts from the database are not read: {reason}");
        }
        self.database.reports().record(code.at(Scope::Log), reason);
        self.pause().await;
    }
}

/// What a message of the log meant.
enum Handled {
    /// Rows were delivered so often.
    Rows(usize),
    /// Everything up to this position is done.
    Committed(Lsn),
}

/// Why the log cannot be read.
enum Refusal {
    /// The database does not answer.
    Database(DatabaseFailure),
    /// The session cannot be opened.
    Log(LogError),
}

impl From<LogError> for Refusal {
    fn from(error: LogError) -> Self {
        Self::Log(error)
    }
}

/// What clients receive where nothing else is to be said.
const UNREADABLE: &str = "they cannot be read at the moment";

/// Why they cannot be read, for clients: without addresses and names.
fn shown(error: &LogError) -> &'static str {
    match error {
        LogError::NotLogical(_) => "`wal_level` of the database is not `logical`",
        LogError::NotPermitted(_) => "the role of the server may not read the write-ahead log",
        LogError::NoWalSenders(_) => "the database has no free WAL sender",
        _ => UNREADABLE,
    }
}

fn failure_code(failure: &DatabaseFailure) -> Code {
    match failure.code {
        code @ Code::ReplicationConnectionTimeout => code,
        _ => Code::StartReplicationFailed,
    }
}

fn code_of(error: &LogError) -> Code {
    match error {
        LogError::NoWalSenders(_) => Code::ReplicationMaxWalSendersReached,
        LogError::ConnectTimeout | LogError::SlotTimeout => Code::ReplicationConnectionTimeout,
        _ => Code::StartReplicationFailed,
    }
}

/// The error with its sources.
fn described(error: &LogError) -> String {
    let source = std::error::Error::source(error).map(|source| format!(": {source}"));
    format!("{error}{}", source.unwrap_or_default())
}
