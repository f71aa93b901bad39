//! The connection to Redis that receives messages, and the task that subscribes and unsubscribes.
//!
//! Requests wait in a bounded queue. Those of the same kind that follow each other are sent as one, when the one before is
//! confirmed: a confirmation comes behind all messages that were received before, and rooms may open faster than that.

use std::ops::Range;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Value, cmd};
use tokio::sync::{mpsc, oneshot, watch};

use super::OpenedRedis;
use super::connection::{AbortOnDrop, accepted};
use crate::bus::{BATCH_MAX, BusError, BusRejection, PENDING_REQUESTS_MAX};

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

impl Action {
    /// How many channels it is about.
    fn channels(&self) -> usize {
        match self {
            Self::Subscribe(channels) | Self::Unsubscribe(channels) => channels.len(),
            Self::Ping => 0,
        }
    }
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
    let mut next = None;
    loop {
        let Some(first) = (match next.take() {
            Some(request) => Some(request),
            None => queue.recv().await,
        }) else {
            return;
        };
        let mut merged = MergedRequest::from(first);
        while let Ok(request) = queue.try_recv() {
            next = merged.add(request);
            if next.is_some() {
                break;
            }
        }
        // Messages may precede the confirmation.
        let executed = execute(&mut opened.connection, merged.action);
        let result = opened.progress.unless_stalled(timeout, executed).await;
        let has_failed = result.is_err();
        if !has_failed {
            confirmed.send_modify(|confirmed| *confirmed += merged.callers.len() as u64);
        }
        respond(merged.callers, &result);
        if has_failed {
            return;
        }
    }
}

/// Requests of one kind that are sent as one.
struct MergedRequest {
    action: Action,
    callers: Vec<Caller>,
}

/// Who waits for the response to one of them.
struct Caller {
    /// The channels of its request.
    channels: Range<usize>,
    response: oneshot::Sender<Result<Rejected, BusError>>,
}

impl From<Request> for MergedRequest {
    fn from(Request { action, response }: Request) -> Self {
        let channels = 0..action.channels();
        Self { action, callers: vec![Caller { channels, response }] }
    }
}

impl MergedRequest {
    /// Adds a request, or gives it back if it has to be sent apart.
    fn add(&mut self, Request { action, response }: Request) -> Option<Request> {
        let begin = self.action.channels();
        match (&mut self.action, action) {
            (Action::Subscribe(channels), Action::Subscribe(mut more))
            | (Action::Unsubscribe(channels), Action::Unsubscribe(mut more))
                if channels.len() + more.len() <= BATCH_MAX =>
            {
                channels.append(&mut more);
                self.callers.push(Caller { channels: begin..channels.len(), response });
                None
            }
            (_, action) => Some(Request { action, response }),
        }
    }
}

fn respond(callers: Vec<Caller>, result: &Result<Rejected, BusError>) {
    for Caller { channels, response } in callers {
        let result = result.as_ref().map_err(BusError::clone).map(|rejected| {
            let own = rejected.iter().filter(|(index, _)| channels.contains(index));
            own.map(|(index, rejection)| (index - channels.start, rejection.clone())).collect()
        });
        let _caller_has_ended = response.send(result);
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

#[cfg(test)]
mod tests {
    use super::*;

    type Response = oneshot::Receiver<Result<Rejected, BusError>>;

    fn request(kind: fn(Vec<String>) -> Action, channels: &[&str]) -> (Request, Response) {
        let (response, receiver) = oneshot::channel();
        let action = kind(channels.iter().map(ToString::to_string).collect());
        (Request { action, response }, receiver)
    }

    #[tokio::test]
    async fn each_caller_is_informed_of_its_own_channels() {
        let (first, of_first) = request(Action::Subscribe, &["a", "b"]);
        let (second, of_second) = request(Action::Subscribe, &["c", "d"]);
        let mut merged = MergedRequest::from(first);
        assert!(merged.add(second).is_none());
        let Action::Subscribe(channels) = &merged.action else { panic!("another kind") };
        assert_eq!(channels, &["a", "b", "c", "d"]);
        respond(merged.callers, &Ok(vec![(1, BusRejection::WrongType), (2, BusRejection::Missing)]));
        assert_eq!(of_first.await.unwrap().unwrap(), [(1, BusRejection::WrongType)]);
        assert_eq!(of_second.await.unwrap().unwrap(), [(0, BusRejection::Missing)]);
    }

    #[test]
    fn the_order_is_kept_and_a_request_is_bounded() {
        let (first, _of_first) = request(Action::Subscribe, &["a"]);
        let mut merged = MergedRequest::from(first);
        let (other, _of_other) = request(Action::Unsubscribe, &["a"]);
        assert!(merged.add(other).is_some(), "another kind");
        let many = vec!["b"; BATCH_MAX];
        let (large, _of_large) = request(Action::Subscribe, &many);
        assert!(merged.add(large).is_some(), "more than a batch");
    }
}
