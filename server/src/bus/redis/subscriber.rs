//! The connection to Redis that receives messages, and the task that subscribes and unsubscribes.
//!
//! Requests wait in a bounded queue and are sent one after the other, each when the one before is confirmed.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Value, cmd};
use tokio::sync::{mpsc, oneshot, watch};

use super::OpenedRedis;
use super::connection::{AbortOnDrop, accepted};
use crate::bus::{BusError, BusRejection, PENDING_REQUESTS_MAX};

struct Request {
    action: Action,
    response: oneshot::Sender<Result<Rejected, BusError>>,
}

/// Channels that may not be subscribed to, by their place in the request.
pub(super) type Rejected = Vec<(usize, BusRejection)>;

/// What to do with channels.
pub(super) enum Action {
    Subscribe(Vec<String>),
    Unsubscribe(Vec<String>),
    Ping,
}

/// The connection. It is closed when this is dropped.
pub(super) struct Subscriber {
    requests: mpsc::Sender<Request>,
    /// Requests up to now.
    requested: u64,
    /// How many of them are confirmed.
    confirmed: watch::Receiver<u64>,
    _task: AbortOnDrop,
}

impl Subscriber {
    /// Starts the task that writes to `connection`.
    pub(super) fn start(connection: OpenedRedis, timeout: Duration) -> Self {
        let (requests, queue) = mpsc::channel(PENDING_REQUESTS_MAX);
        let (confirming, confirmed) = watch::channel(0);
        let task = tokio::spawn(write(connection, queue, confirming, timeout)).abort_handle();
        Self { requests, requested: 0, confirmed, _task: AbortOnDrop(task) }
    }

    /// Queues the action at once. The future waits for its confirmation.
    pub(super) fn request(
        &mut self,
        action: Action,
    ) -> impl Future<Output = Result<Rejected, BusError>> + Send + use<> {
        self.requested += 1;
        let (response, receiver) = oneshot::channel();
        let queued = self.requests.try_send(Request { action, response });
        async move {
            match queued {
                Ok(()) => receiver.await.unwrap_or(Err(BusError::Closed)),
                Err(mpsc::error::TrySendError::Closed(_)) => Err(BusError::Closed),
                Err(mpsc::error::TrySendError::Full(_)) => Err(BusError::Unusable("it is too slow".into())),
            }
        }
    }

    /// Waits until everything requested so far is confirmed.
    pub(super) fn confirmed(&self) -> impl Future<Output = Result<(), BusError>> + Send + use<> {
        let (requested, mut confirmed) = (self.requested, self.confirmed.clone());
        async move {
            let waited = confirmed.wait_for(|confirmed| *confirmed >= requested).await;
            waited.map(drop).map_err(|_ended| BusError::Closed)
        }
    }
}

async fn write(
    mut opened: OpenedRedis,
    mut queue: mpsc::Receiver<Request>,
    confirmed: watch::Sender<u64>,
    timeout: Duration,
) {
    while let Some(Request { action, response }) = queue.recv().await {
        // Messages may precede the confirmation.
        let executed = execute(&mut opened.connection, action);
        let result = opened.progress.unless_stalled(timeout, executed).await;
        let has_failed = result.is_err();
        if !has_failed {
            confirmed.send_modify(|confirmed| *confirmed += 1);
        }
        let _caller_has_ended = response.send(result);
        if has_failed {
            return;
        }
    }
}

async fn execute(connection: &mut MultiplexedConnection, action: Action) -> Result<Rejected, BusError> {
    match action {
        // Without a name these would be errors, or concern all channels.
        Action::Subscribe(channels) | Action::Unsubscribe(channels) if channels.is_empty() => Ok(Vec::new()),
        Action::Subscribe(channels) => subscribe(connection, channels).await,
        Action::Unsubscribe(channels) => {
            connection.unsubscribe(channels).await?;
            Ok(Vec::new())
        }
        Action::Ping => {
            let response = cmd("PING").query_async::<Value>(connection).await.map_err(BusError::from);
            match response {
                // An error that Redis responds with is a response.
                Ok(_) | Err(BusError::Unusable(_) | BusError::Rejected(_)) => Ok(Vec::new()),
                Err(lost) => Err(lost),
            }
        }
    }
}

/// Subscribes to the channels; one by one if Redis rejects them, because it rejects all for one.
async fn subscribe(
    connection: &mut MultiplexedConnection,
    channels: Vec<String>,
) -> Result<Rejected, BusError> {
    match connection.subscribe(&channels).await.map_err(BusError::from) {
        Ok(()) => return Ok(Vec::new()),
        Err(BusError::Rejected(BusRejection::Room(_))) => {}
        Err(error) => return Err(error),
    }
    let mut rejected = Vec::new();
    for (index, channel) in channels.into_iter().enumerate() {
        if let Err(rejection) = accepted(connection.subscribe(channel).await.map_err(BusError::from))? {
            rejected.push((index, rejection));
        }
    }
    Ok(rejected)
}
