//! The task of a session: receives messages into a queue that is bounded by their bytes, and reports the progress.
//!
//! What was read at once is queued at once: a lock, a wake and a permit for each row would cost more than the row.
//!
//! The reports ask for an answer, so a server that is gone is noticed also when nothing is committed. While the queue is full
//! nothing is read, and the reports go on.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use std::vec;

use bytes::Bytes;
use pgwire_replication::Lsn as ServerLsn;
use pgwire_replication::protocol::{
    PG_EPOCH_MICROS, ReplicationCopyData, encode_standby_status_update, parse_copy_data,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::yield_now;
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};
use wire::pgoutput::Lsn;

use super::connection::{LogConnection, kind};
use super::feedback::Feedback;
use super::{LogError, LogEvent, SERVER_TIMEOUT};

/// The time between two reports: several in the time that the server waits for one.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// How long the server may send nothing. It answers every report, but not while it reads a large transaction.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// What an event without bytes costs in the queue.
const EVENT_BYTES: usize = 128;

/// Events that were received together, with the space that they take.
#[derive(Debug, Default)]
pub(super) struct QueuedEvents {
    pub(super) events: vec::IntoIter<LogEvent>,
    _space: Option<OwnedSemaphorePermit>,
}

/// Events on the way to the reader.
pub(super) struct EventQueue {
    sender: mpsc::Sender<QueuedEvents>,
    space: Arc<Semaphore>,
    bytes_max: usize,
}

/// A queue for this many bytes of events. What is received at once may be more, and has the queue for itself.
pub(super) fn queue(bytes_max: usize) -> (EventQueue, mpsc::Receiver<QueuedEvents>) {
    let bytes_max = bytes_max.clamp(EVENT_BYTES, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
    let (sender, receiver) = mpsc::channel(bytes_max / EVENT_BYTES);
    (EventQueue { sender, space: Arc::new(Semaphore::new(bytes_max)), bytes_max }, receiver)
}

/// Receives until the session ends. Returns why.
pub(super) async fn receive(
    connection: LogConnection,
    queue: EventQueue,
    feedback: Arc<Feedback>,
) -> LogError {
    let mut reports = interval(REPORT_INTERVAL);
    reports.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut task = Task { connection, queue, feedback, reports, last_received: Instant::now() };
    loop {
        // At first what came with the start of the stream.
        if let Err(ended) = task.hand_out_received().await {
            return ended;
        }
        if let Err(ended) = task.step().await {
            return ended;
        }
    }
}

struct Task {
    connection: LogConnection,
    queue: EventQueue,
    feedback: Arc<Feedback>,
    reports: Interval,
    /// When something was last received, or could not be because the queue was full.
    last_received: Instant,
}

impl Task {
    /// Sends a report or reads.
    async fn step(&mut self) -> Result<(), LogError> {
        tokio::select! {
            biased;
            _ = self.reports.tick() => {
                if self.last_received.elapsed() > SILENCE_MAX {
                    return Err(LogError::Silent);
                }
                self.report().await
            }
            read = self.connection.read() => {
                self.last_received = Instant::now();
                read
            }
        }
    }

    /// Queues the messages that were read whole, also those before an error.
    async fn hand_out_received(&mut self) -> Result<(), LogError> {
        let mut received = Batch::default();
        let result = received.take_from(&mut self.connection);
        if received.reply_requested {
            self.report().await?;
        }
        if !received.events.is_empty() {
            self.hand_out(received).await?;
            // Others have their turn before more of a large transaction is read.
            yield_now().await;
        }
        result
    }

    /// Queues events, when there is space for them.
    async fn hand_out(&mut self, received: Batch) -> Result<(), LogError> {
        let cost = received.cost.min(self.queue.bytes_max);
        let cost = u32::try_from(cost).expect("the queue has fewer bytes");
        let space = Arc::clone(&self.queue.space);
        let mut space = pin!(space.acquire_many_owned(cost));
        let permit = loop {
            tokio::select! {
                biased;
                permit = &mut space => break permit.expect("the queue is never closed"),
                _ = self.reports.tick() => self.report().await?,
            }
            self.last_received = Instant::now();
        };
        let events = QueuedEvents { events: received.events.into_iter(), _space: Some(permit) };
        // The reader is gone: the session was dropped.
        self.queue.sender.try_send(events).map_err(|_closed| LogError::Closed)
    }

    /// Reports the progress, and asks for an answer.
    async fn report(&mut self) -> Result<(), LogError> {
        if !self.feedback.is_recent() {
            return Err(LogError::Stopped);
        }
        let lsn = ServerLsn::from_u64(self.feedback.confirmed().0);
        let report = encode_standby_status_update(lsn, now(), true);
        // Noted before, so that what is sent late is not taken for recent.
        self.feedback.note_report();
        let sending = timeout(SERVER_TIMEOUT, self.connection.send_copy_data(&report));
        sending.await.map_err(|_elapsed| LogError::Silent)?
    }
}

/// What was received at once.
#[derive(Default)]
struct Batch {
    events: Vec<LogEvent>,
    /// What it takes of the queue, in bytes.
    cost: usize,
    /// Whether the server asks for a report.
    reply_requested: bool,
}

impl Batch {
    /// Takes all messages that were read whole.
    fn take_from(&mut self, connection: &mut LogConnection) -> Result<(), LogError> {
        while let Some(message) = connection.received()? {
            match message.tag {
                kind::COPY_DATA => self.copy_data(message.payload)?,
                kind::ERROR => return Err(LogError::from_response(&message.payload)),
                kind::COPY_DONE => return Err(LogError::Closed),
                _ => {}
            }
        }
        Ok(())
    }

    fn copy_data(&mut self, payload: Bytes) -> Result<(), LogError> {
        match parse_copy_data(payload)? {
            ReplicationCopyData::XLogData { wal_start, data, .. } => {
                self.cost += data.len() + EVENT_BYTES;
                self.events.push(LogEvent::Message { lsn: Lsn(wal_start.as_u64()), bytes: data });
            }
            ReplicationCopyData::KeepAlive { wal_end, reply_requested, .. } => {
                self.cost += EVENT_BYTES;
                self.reply_requested |= reply_requested;
                self.events.push(LogEvent::KeepAlive { wal_end: Lsn(wal_end.as_u64()) });
            }
        }
        Ok(())
    }
}

/// Microseconds since 2000-01-01.
fn now() -> i64 {
    let since_1970 = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_micros();
    i64::try_from(since_1970).unwrap_or(i64::MAX) - PG_EPOCH_MICROS
}
