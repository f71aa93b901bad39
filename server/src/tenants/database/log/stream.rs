//! The task of a session: receives messages into a queue that is bounded by their bytes, and reports the progress.
//!
//! The reports ask for an answer, so a server that is gone is noticed also when nothing is committed. While the queue is full
//! nothing is read, and the reports go on.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use pgwire_replication::Lsn as ServerLsn;
use pgwire_replication::protocol::{
    BackendMessage, PG_EPOCH_MICROS, ReplicationCopyData, encode_standby_status_update, parse_copy_data,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
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

/// Events on the way to the reader, each with the space that it takes.
pub(super) struct EventQueue {
    events: mpsc::Sender<(LogEvent, OwnedSemaphorePermit)>,
    space: Arc<Semaphore>,
    bytes_max: usize,
}

/// A queue for this many bytes of events. A single event may be larger, and has the queue for itself.
pub(super) fn queue(bytes_max: usize) -> (EventQueue, mpsc::Receiver<(LogEvent, OwnedSemaphorePermit)>) {
    let bytes_max = bytes_max.clamp(EVENT_BYTES, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
    let (events, receiver) = mpsc::channel(bytes_max / EVENT_BYTES);
    (EventQueue { events, space: Arc::new(Semaphore::new(bytes_max)), bytes_max }, receiver)
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
    /// When a message was last received, or could not be because the queue was full.
    last_received: Instant,
}

impl Task {
    /// Sends a report or handles a message.
    async fn step(&mut self) -> Result<(), LogError> {
        tokio::select! {
            biased;
            _ = self.reports.tick() => {
                if self.last_received.elapsed() > SILENCE_MAX {
                    return Err(LogError::Silent);
                }
                self.report().await
            }
            message = self.connection.receive() => {
                self.last_received = Instant::now();
                self.handle(message?).await
            }
        }
    }

    async fn handle(&mut self, message: BackendMessage) -> Result<(), LogError> {
        match message.tag {
            kind::COPY_DATA => self.copy_data(message.payload).await,
            kind::ERROR => Err(LogError::from_response(&message.payload)),
            kind::COPY_DONE => Err(LogError::Closed),
            _ => Ok(()),
        }
    }

    async fn copy_data(&mut self, payload: Bytes) -> Result<(), LogError> {
        match parse_copy_data(payload)? {
            ReplicationCopyData::XLogData { wal_start, data, .. } => {
                self.hand_out(LogEvent::Message { lsn: Lsn(wal_start.as_u64()), bytes: data }).await
            }
            ReplicationCopyData::KeepAlive { wal_end, reply_requested, .. } => {
                if reply_requested {
                    self.report().await?;
                }
                self.hand_out(LogEvent::KeepAlive { wal_end: Lsn(wal_end.as_u64()) }).await
            }
        }
    }

    /// Queues an event, when there is space for it.
    async fn hand_out(&mut self, event: LogEvent) -> Result<(), LogError> {
        let cost = event.cost().min(self.queue.bytes_max);
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
        // The reader is gone: the session was dropped.
        self.queue.events.try_send((event, permit)).map_err(|_closed| LogError::Closed)
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

impl LogEvent {
    /// What it takes of the queue, in bytes.
    fn cost(&self) -> usize {
        match self {
            Self::Message { bytes, .. } => bytes.len() + EVENT_BYTES,
            Self::KeepAlive { .. } => EVENT_BYTES,
        }
    }
}

/// Microseconds since 2000-01-01.
fn now() -> i64 {
    let since_1970 = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_micros();
    i64::try_from(since_1970).unwrap_or(i64::MAX) - PG_EPOCH_MICROS
}
