//! One connection to Redis that carries commands, and the task that writes to it.
//!
//! Requests wait in a bounded queue, and the task sends them in order: as many as fit into [`BATCH_BYTES`] at once, the
//! next ones when their responses have come. So under load many small requests share one round trip. The connection is
//! lost when no byte has moved for `bus.timeout`, however much is queued and however large a response is.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::ConnectionLike as _;
use redis::{Arg, Cmd, FromRedisValue, Pipeline, Value, cmd, from_redis_value};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

use super::OpenedRedis;
use crate::bus::{BATCH_BYTES, BusError, BusRejection, PENDING_REQUESTS_MAX};

/// The responses to the commands of one request, in order; each may be an error of its own.
type Responses = Vec<Result<Value, BusError>>;

/// Commands that are sent in order.
#[derive(Debug, Default)]
pub(super) struct Commands {
    list: Vec<Cmd>,
    bytes: usize,
}

impl Commands {
    pub(super) fn push(&mut self, command: &mut Cmd) {
        let lengths =
            command.args_iter().map(|arg| if let Arg::Simple(bytes) = arg { bytes.len() } else { 0 });
        self.bytes += lengths.sum::<usize>();
        self.list.push(command.take());
    }

    pub(super) fn append(&mut self, mut more: Self) {
        self.bytes += more.bytes;
        self.list.append(&mut more.list);
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// Bytes of all names and arguments.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

struct Request {
    commands: Commands,
    response: oneshot::Sender<Result<Responses, BusError>>,
}

/// The connection. Clones share it; it is closed when the last one is dropped.
#[derive(Clone)]
pub(super) struct RedisConnection {
    requests: mpsc::Sender<Request>,
    _task: Arc<AbortOnDrop>,
}

impl fmt::Debug for RedisConnection {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("RedisConnection").finish_non_exhaustive()
    }
}

/// Ends a task when it is dropped, which closes the connection of the task.
#[derive(Debug)]
pub(super) struct AbortOnDrop(pub(super) AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl RedisConnection {
    /// Starts the task that writes to `connection`.
    pub(super) fn start(connection: OpenedRedis, timeout: Duration) -> Self {
        let (requests, queue) = mpsc::channel(PENDING_REQUESTS_MAX);
        let task = tokio::spawn(write(connection, queue, timeout)).abort_handle();
        Self { requests, _task: Arc::new(AbortOnDrop(task)) }
    }

    /// Queues the commands at once. The future waits for their responses.
    pub(super) fn responses(
        &self,
        commands: Commands,
    ) -> impl Future<Output = Result<Responses, BusError>> + Send + use<> {
        let (response, receiver) = oneshot::channel();
        let queued = if commands.list.is_empty() {
            let _received = response.send(Ok(Vec::new()));
            Ok(())
        } else {
            self.requests.try_send(Request { commands, response })
        };
        async move {
            match queued {
                Ok(()) => receiver.await.unwrap_or(Err(BusError::Closed)),
                Err(mpsc::error::TrySendError::Closed(_)) => Err(BusError::Closed),
                Err(mpsc::error::TrySendError::Full(_)) => Err(BusError::Unusable("it is too slow".into())),
            }
        }
    }

    /// As [`responses`](Self::responses); the first error is the result.
    pub(super) async fn values(&self, commands: Commands) -> Result<Vec<Value>, BusError> {
        self.responses(commands).await?.into_iter().collect()
    }

    /// The response to a single command.
    pub(super) async fn value<T: FromRedisValue>(&self, command: &mut Cmd) -> Result<T, BusError> {
        let mut commands = Commands::default();
        commands.push(command);
        read(self.values(commands).await?.pop())
    }

    /// Waits for a response of any kind; an error that Redis responds with is one.
    pub(super) fn ping(&self) -> impl Future<Output = Result<(), BusError>> + Send + use<> {
        let mut commands = Commands::default();
        commands.push(&mut cmd("PING"));
        let responses = self.responses(commands);
        async move { responses.await.map(drop) }
    }
}

/// Sends requests until one fails or the queue is closed. What is queued then fails with its response channel.
async fn write(mut connection: OpenedRedis, mut queue: mpsc::Receiver<Request>, timeout: Duration) {
    let mut next = None;
    loop {
        let Some(first) = (match next.take() {
            Some(request) => Some(request),
            None => queue.recv().await,
        }) else {
            return;
        };
        let mut batch = Batch::default();
        batch.add(first);
        while let Ok(request) = queue.try_recv() {
            if batch.commands.bytes + request.commands.bytes > BATCH_BYTES {
                next = Some(request);
                break;
            }
            batch.add(request);
        }
        if batch.send(&mut connection, timeout).await.is_err() {
            return;
        }
    }
}

/// Requests that share a round trip.
#[derive(Default)]
struct Batch {
    commands: Commands,
    /// How many of the commands belong to each request.
    requests: Vec<(usize, oneshot::Sender<Result<Responses, BusError>>)>,
}

impl Batch {
    fn add(&mut self, Request { commands, response }: Request) {
        self.requests.push((commands.len(), response));
        self.commands.append(commands);
    }

    /// Sends the commands and distributes the responses.
    async fn send(self, opened: &mut OpenedRedis, timeout: Duration) -> Result<(), BusError> {
        let OpenedRedis { connection, progress, .. } = opened;
        // A single command may be larger than a batch: a snapshot of one room. Proxies and kernels on the way may accept that
        // much before any of it arrives.
        let parts = u32::try_from(self.commands.bytes.div_ceil(BATCH_BYTES)).unwrap_or(u32::MAX);
        let mut pipe = Pipeline::new();
        for command in self.commands.list {
            pipe.add_command(command);
        }
        let sent = connection.req_packed_commands(&pipe, 0, pipe.len());
        match progress.unless_stalled(timeout.saturating_mul(parts.max(1)), sent).await {
            Ok(values) => {
                let mut values = values.into_iter().map(|value| Ok(value.extract_error()?));
                for (commands, response) in self.requests {
                    let _caller_has_ended = response.send(Ok(values.by_ref().take(commands).collect()));
                }
                Ok(())
            }
            Err(error) => {
                for (_, response) in self.requests {
                    let _caller_has_ended = response.send(Err(error.clone()));
                }
                Err(error)
            }
        }
    }
}

/// Makes the rejection of one request a value: only other errors end the connection.
pub(super) fn accepted<T>(result: Result<T, BusError>) -> Result<Result<T, BusRejection>, BusError> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(BusError::Rejected(reason)) => Ok(Err(reason)),
        Err(error) => Err(error),
    }
}

/// A value as the type it should have.
pub(super) fn read<T: FromRedisValue>(value: Option<Value>) -> Result<T, BusError> {
    let read = from_redis_value(value.unwrap_or(Value::Nil));
    read.map_err(|error| BusError::Rejected(BusRejection::Room(error.to_string())))
}
