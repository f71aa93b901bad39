//! Identical questions that are asked at once share one answer: thousands of clients with one token that come back after a
//! restart cost one transaction.

use std::collections::HashMap;
use std::future::Future;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use parking_lot::Mutex;
use ring::digest::{Context, SHA256, SHA256_OUTPUT_LEN};
use tokio_util::task::TaskTracker;

use crate::auth::{AuthorizationError, Authorized, Freshness};

/// How long an answer serves the same question.
const KEPT: Duration = Duration::from_secs(1);

/// How long one serves a client that needs a new one: others ask at the same moment.
const KEPT_NEW: Duration = Duration::from_millis(50);

/// A question: the room, all claims, and the headers that may matter. Their hash (SHA-256), because keys are kept for a while,
/// and the texts are as long as clients like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct QuestionKey([u8; SHA256_OUTPUT_LEN]);

impl QuestionKey {
    /// The key of a question with these texts.
    pub(super) fn of(texts: [&str; 3]) -> Self {
        let mut hash = Context::new(&SHA256);
        for text in texts {
            // With its length, so that no text continues in the next.
            hash.update(&text.len().to_be_bytes());
            hash.update(text.as_bytes());
        }
        let mut key = [0; SHA256_OUTPUT_LEN];
        key.copy_from_slice(hash.finish().as_ref());
        Self(key)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_with_the_same_texts_one_after_the_other_differ() {
        let keys = [["a", "b", "c"], ["ab", "", "c"], ["a", "bc", ""], ["b", "a", "c"]].map(QuestionKey::of);
        assert!(keys.iter().enumerate().all(|(at, key)| !keys[..at].contains(key)));
        assert_eq!(QuestionKey::of(["a", "b", "c"]), keys[0]);
    }
}
