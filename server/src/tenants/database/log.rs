//! The session that reads what is committed in a tenant's database, from PostgreSQL's write-ahead log.
//!
//! A session holds three things that begin and end with it: an advisory lock, by which the nodes of a cluster agree on one
//! reader; a temporary replication slot, so that nothing of the log is retained for a reader that is gone; and the stream of
//! messages of the output plugin `pgoutput`, which [`wire::pgoutput`] reads. What is committed while there is no session is
//! not received later, unless its slot is made from another one ([`SlotSource`]).
//!
//! PostgreSQL ends the session when it has heard nothing for [`SERVER_TIMEOUT`]. A task of its own reports the progress every
//! second, also while [`next`](LogSession::next) is not called, so a slow reader keeps the session: the task then stops to
//! read from the socket, and PostgreSQL waits. A process that is stopped loses the session, and what it had received but not
//! handed out is dropped when it continues, because another reader may have delivered newer messages by then.
//!
//! The crate `pgwire-replication` has the framing of messages and SCRAM. Its client is not used: its TLS would bring a second
//! cryptography provider, and its queue is bounded by a number of messages, not by their bytes.

mod authentication;
mod connection;
mod election;
mod error;
mod feedback;
mod paced_socket;
mod received;
mod start;
mod stream;
mod tls;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use secrecy::SecretString;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use wire::pgoutput::Lsn;

use self::connection::LogConnection;
pub use self::error::LogError;
use self::feedback::Feedback;
pub use self::start::{SessionStart, SlotSource};
use self::stream::QueuedEvents;

/// How long PostgreSQL keeps a session of which it hears nothing (`wal_sender_timeout`). Another node can take over after that.
pub const SERVER_TIMEOUT: Duration = Duration::from_secs(4);

/// The first byte of the message that ends a transaction.
const COMMIT: u8 = b'C';

/// What a session needs.
#[derive(Clone)]
pub struct LogOptions {
    /// Name or address of the database server, or the folder of its Unix socket.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// A role with `REPLICATION`, or a superuser.
    pub user: String,
    /// The password of the role. Not used if the server asks for none.
    pub password: SecretString,
    /// The database.
    pub database: String,
    /// Whether the connection is encrypted. A Unix socket never is.
    pub tls: LogTls,
    /// The name of the session in `pg_stat_activity`.
    pub application_name: &'static str,
    /// Name of the replication slot, which is created. Unique in the whole database server.
    pub slot: String,
    /// The publications whose tables are read. PostgreSQL up to 17 ends the session at the first change if one is missing.
    pub publications: Vec<String>,
    /// What the slot is made from.
    pub source: SlotSource,
    /// The key of the advisory lock, which is unique in the database.
    pub lock_key: i64,
    /// How long connecting, authentication and the lock may take.
    pub connect_timeout: Duration,
    /// How long creating the slot may take: it waits for all transactions that are open.
    pub slot_timeout: Duration,
    /// The largest message, and so the largest row, in bytes. A larger one ends the session with [`LogError::TooLarge`].
    pub message_bytes_max: usize,
    /// Bytes of messages that were received and not yet handed out. As many as two messages more, or two reads, are in memory.
    pub queue_bytes: usize,
}

/// Whether a connection is encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogTls {
    /// It is not.
    Off,
    /// It is, if the server offers that. The certificate is not verified.
    Prefer,
    /// It is. The certificate is not verified.
    Require,
    /// It is, and the certificate must be for the name of the host.
    Verify {
        /// Certificates of the authorities, in PEM. Without it, those that the machine trusts.
        ca_file: Option<PathBuf>,
    },
}

/// What a session receives.
#[derive(Clone)]
pub enum LogEvent {
    /// A message of the output plugin.
    Message {
        /// Position of the change in the log.
        lsn: Lsn,
        /// What [`wire::pgoutput::decode`] reads.
        bytes: Bytes,
    },
    /// Everything up to this position has been handed out, so it can be [confirmed](LogSession::confirm). Comes at least
    /// every few seconds.
    KeepAlive {
        /// The end of what PostgreSQL has read of the log for this session.
        wal_end: Lsn,
    },
}

/// A session. It ends, and frees lock and slot, when this is dropped.
#[derive(Debug)]
pub struct LogSession {
    queue: mpsc::Receiver<QueuedEvents>,
    /// Those that are handed out now.
    current: QueuedEvents,
    feedback: Arc<Feedback>,
    slot: String,
    start: SessionStart,
    has_transaction: bool,
    /// Ends with the reason why the session ended, which is returned once.
    task: Option<JoinHandle<LogError>>,
}

impl LogSession {
    /// Connects, takes the lock, creates the slot and starts the stream. What is committed after this is received.
    ///
    /// # Errors
    /// [`LogError::OtherReader`] if another session has the lock, or another reason. Nothing is left behind then.
    pub async fn open(options: &LogOptions) -> Result<LogSession, LogError> {
        let connecting = timeout(options.connect_timeout, connect(options)).await;
        let (mut connection, is_standby) = connecting.map_err(|_elapsed| LogError::ConnectTimeout)??;
        // PostgreSQL itself ends the wait for transactions in time, and so keeps no session that has the lock.
        let preparing = timeout(options.slot_timeout + options.connect_timeout, async {
            let start = start::make_slot(&mut connection, options).await;
            let start = start.map_err(|error| error.of_server(is_standby))?;
            connection.start_stream(options, start.position).await?;
            Ok::<_, LogError>(start)
        });
        let start = preparing.await.map_err(|_elapsed| LogError::SlotTimeout)??;
        let (queue, events) = stream::queue(options.queue_bytes);
        let feedback = Arc::new(Feedback::new());
        let task = tokio::spawn(stream::receive(connection, queue, Arc::clone(&feedback)));
        let current = QueuedEvents::default();
        let slot = options.slot.clone();
        let task = Some(task);
        Ok(LogSession { queue: events, current, feedback, slot, start, has_transaction: false, task })
    }

    /// Where it starts.
    pub fn start(&self) -> SessionStart {
        self.start
    }

    /// The name of its slot.
    pub fn slot(&self) -> &str {
        &self.slot
    }

    /// Whether all of a transaction was received.
    pub fn has_transaction(&self) -> bool {
        self.has_transaction
    }

    /// The next event, in the order of commits. May be cancelled without losing one.
    ///
    /// # Errors
    /// Why the session has ended. It is to be dropped then.
    pub async fn next(&mut self) -> Result<LogEvent, LogError> {
        loop {
            if let Some(event) = self.next_current() {
                return if self.is_current() { Ok(event) } else { Err(LogError::Stopped) };
            }
            // Frees its space, which what comes next may need.
            self.current = QueuedEvents::default();
            match self.queue.recv().await {
                Some(received) => self.current = received,
                None => return Err(self.reason().await),
            }
        }
    }

    /// The next event if it has been received already. `None` also when the session has ended, which [`next`](Self::next) returns.
    ///
    /// # Errors
    /// When what was received is not to be handed out any more. That is looked at once for what was received together.
    pub fn try_next(&mut self) -> Result<Option<LogEvent>, LogError> {
        if let Some(event) = self.next_current() {
            return Ok(Some(event));
        }
        self.current = self.queue.try_recv().unwrap_or_default();
        if self.is_current() { Ok(self.next_current()) } else { Err(LogError::Stopped) }
    }

    fn next_current(&mut self) -> Option<LogEvent> {
        let event = self.current.events.next();
        self.has_transaction |=
            matches!(&event, Some(LogEvent::Message { bytes, .. }) if bytes.first() == Some(&COMMIT));
        event
    }

    /// The progress of the session, for those who finish what this one hands out.
    pub fn progress(&self) -> LogProgress {
        LogProgress(Arc::clone(&self.feedback))
    }

    /// Reports that everything up to this position is done, within a second. PostgreSQL then may remove that part of its log,
    /// and waits for it before it stops. Lower positions than before change nothing.
    pub fn confirm(&self, lsn: Lsn) {
        self.feedback.confirm(lsn);
    }

    /// Whether this process has run all the time. If it was stopped for longer than [`SERVER_TIMEOUT`], another reader may have
    /// delivered newer messages by now, and what was received should not be delivered any more.
    pub fn is_current(&self) -> bool {
        self.feedback.is_recent()
    }

    async fn reason(&mut self) -> LogError {
        let Some(task) = &mut self.task else { return LogError::Closed };
        let reason = task.await;
        self.task = None;
        reason.unwrap_or(LogError::Closed)
    }
}

/// Connects, authenticates and takes the lock.
/// Connects to the server, and takes the lock. Returns whether it is a standby, too.
async fn connect(options: &LogOptions) -> Result<(LogConnection, bool), LogError> {
    let mut connection = LogConnection::open(options).await?;
    authentication::authenticate(&mut connection, options).await?;
    let is_standby = election::take_lock(&mut connection, options).await?;
    Ok((connection, is_standby))
}

/// The progress of a session, which may have ended.
#[derive(Debug, Clone)]
pub struct LogProgress(Arc<Feedback>);

impl LogProgress {
    /// As [`LogSession::confirm`].
    pub fn confirm(&self, lsn: Lsn) {
        self.0.confirm(lsn);
    }

    /// As [`LogSession::is_current`]; `false` also from a few seconds after the end of the session.
    pub fn is_current(&self) -> bool {
        self.0.is_recent()
    }
}

impl Drop for LogSession {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl fmt::Debug for LogOptions {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = f.debug_struct("LogOptions");
        fields.field("host", &self.host).field("port", &self.port).field("database", &self.database);
        fields.field("slot", &self.slot).field("publications", &self.publications).finish_non_exhaustive()
    }
}

impl fmt::Debug for LogEvent {
    /// Without the rows.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message { lsn, bytes } => write!(f, "Message({lsn}, {} bytes)", bytes.len()),
            Self::KeepAlive { wal_end } => write!(f, "KeepAlive({wal_end})"),
        }
    }
}
