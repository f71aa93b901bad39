//! An authorizer that decides when the test says so.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use harness::eventually;
use realtime_server::auth::{AuthorizationError, Authorizer, Decision, Question, Rights};
use realtime_server::telemetry::codes::Code;
use tokio::sync::oneshot;

type Authorized = Result<Rights, AuthorizationError>;

/// Decides about topics that begin with `wait` when the test says so; all others are allowed at once.
#[derive(Debug, Default)]
pub(super) struct Gate {
    /// The newest request for each topic.
    pending: Mutex<HashMap<Box<str>, oneshot::Sender<Authorized>>>,
    tasks: Arc<Tasks>,
}

#[derive(Debug, Default)]
struct Tasks {
    working: AtomicUsize,
    cancelled: AtomicUsize,
}

/// Counts a task as cancelled when it is dropped before it has a result.
struct Work {
    tasks: Arc<Tasks>,
    state: State,
}

#[derive(PartialEq)]
enum State {
    NotBegun,
    Working,
    Decided,
}

impl Authorizer for Gate {
    fn authorize(&self, Question { room, .. }: Question<'_>) -> Decision {
        if !room.topic.starts_with("wait") {
            return Decision::Immediate(Ok(Rights::ALL));
        }
        let (decide, decided) = oneshot::channel();
        self.pending.lock().expect("no test panics here").insert(room.topic.clone(), decide);
        let mut work = Work { tasks: Arc::clone(&self.tasks), state: State::NotBegun };
        Decision::Pending(Box::pin(async move {
            work.begin();
            // A sender is dropped only with the test.
            let result = decided.await.unwrap_or(Err(Gate::refused()));
            work.end();
            result
        }))
    }
}

impl Gate {
    /// Why the test refuses a join.
    pub(super) fn refused() -> AuthorizationError {
        AuthorizationError { code: Code::UnableToConnectToProject, text: "not allowed".into() }
    }

    /// Decides about the newest join of `topic`.
    pub(super) fn decide(&self, topic: &str, result: Authorized) {
        let pending = self.pending.lock().expect("no test panics here").remove(topic);
        let _cancelled = pending.expect("a join of this topic waits").send(result);
    }

    /// Waits until this many tasks are at work.
    pub(super) async fn working(&self, tasks: usize) {
        let working = async || self.tasks.working.load(Ordering::Relaxed) == tasks;
        eventually(&format!("{tasks} tasks work"), working).await;
    }

    /// Waits until this many tasks have been dropped without a result.
    pub(super) async fn cancelled(&self, tasks: usize) {
        let cancelled = async || self.tasks.cancelled.load(Ordering::Relaxed) == tasks;
        eventually(&format!("{tasks} tasks are cancelled"), cancelled).await;
    }
}

impl Work {
    fn begin(&mut self) {
        self.state = State::Working;
        self.tasks.working.fetch_add(1, Ordering::Relaxed);
    }

    fn end(&mut self) {
        self.state = State::Decided;
        self.tasks.working.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if self.state == State::Working {
            self.tasks.working.fetch_sub(1, Ordering::Relaxed);
        }
        if self.state != State::Decided {
            self.tasks.cancelled.fetch_add(1, Ordering::Relaxed);
        }
    }
}
