//! Identical questions that are asked at once share one answer: thousands of clients with one token that come back after a
//! restart cost one transaction.

use std::collections::HashMap;
use std::future::Future;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use parking_lot::Mutex;
use tokio_util::task::TaskTracker;

use crate::auth::{AuthorizationError, Authorized, Freshness};

/// How long an answer serves the same question.
const KEPT: Duration = Duration::from_secs(1);

/// How long one serves a client that needs a new one: others ask at the same moment.
const KEPT_NEW: Duration = Duration::from_millis(50);

/// A question: the room, all claims, and the headers that may matter.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct QuestionKey {
    pub(super) topic: Box<str>,
    pub(super) claims: Box<str>,
    pub(super) headers: Box<str>,
}

type Pending = Shared<BoxFuture<'static, Authorized>>;

/// The questions of the last moment.
pub(super) struct SharedAnswers {
    asked: Mutex<Asked>,
    tasks: TaskTracker,
}

struct Asked {
    questions: HashMap<QuestionKey, (Instant, Pending)>,
    /// When old ones were removed last.
    swept: Instant,
}

impl SharedAnswers {
    /// No questions yet. Those that are asked run as tasks counted by `tasks`.
    pub(super) fn new(tasks: TaskTracker) -> Self {
        Self { asked: Mutex::new(Asked { questions: HashMap::new(), swept: Instant::now() }), tasks }
    }

    /// The answer to a question: that of another client who has asked it a moment ago, or a new one by `ask`. It is found
    /// out also if the client does not wait for it.
    pub(super) fn answer<F>(&self, key: QuestionKey, freshness: Freshness, ask: impl FnOnce() -> F) -> Pending
    where
        F: Future<Output = Authorized> + Send + 'static,
    {
        let now = Instant::now();
        let mut asked = self.asked.lock();
        let kept = if freshness == Freshness::Recent { KEPT } else { KEPT_NEW };
        if let Some((at, pending)) = asked.questions.get(&key)
            && now.duration_since(*at) < kept
            && !pending.peek().is_some_and(Result::is_err)
        {
            return pending.clone();
        }
        if now.duration_since(asked.swept) >= KEPT {
            asked.questions.retain(|_, (at, _)| now.duration_since(*at) < KEPT);
            asked.swept = now;
        }
        let task = self.tasks.spawn(ask());
        let answer =
            async move { task.await.unwrap_or_else(|_panicked| Err(AuthorizationError::undecided())) };
        let pending = answer.boxed().shared();
        asked.questions.insert(key, (now, pending.clone()));
        pending
    }
}
