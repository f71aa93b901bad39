//! Checks that wait for their turn. Channels that ask for the same with the same role share one: after a restart of the server
//! thousands come back at once.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OnceCell, Semaphore, SemaphorePermit};
use wire::supabase::changes::Binding;

use super::subscriber::ChangeSubscriber;
use super::subscriptions::CheckedSubscription;
use super::viewer::Viewer;
use crate::tenants::database::DatabaseFailure;

/// Subscriptions that are checked at once. A thousand clients may come at once, and most connections to the database are for others.
const CHECKS_AT_ONCE: usize = 2;

/// What was found; else what clients are to read when they are refused.
pub(super) type Checked = Result<CheckedSubscription, String>;

/// What is found for all that share a check.
pub(super) type CheckAnswer = Result<Arc<Checked>, DatabaseFailure>;

/// The checks of a tenant.
pub(super) struct Checks {
    turns: Semaphore,
    /// Those whose turn has not come, and how many share them.
    waiting: Mutex<HashMap<Wanted, WaitingCheck>>,
}

#[derive(Default)]
struct WaitingCheck {
    answer: Arc<OnceCell<CheckAnswer>>,
    parts: usize,
}

/// What channels ask for that are checked alike.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Wanted {
    pub(super) role: Box<str>,
    pub(super) bindings: Vec<Binding>,
}

/// A part in a check.
pub(super) struct SharedCheck<'a> {
    checks: &'a Checks,
    pub(super) wanted: Wanted,
    answer: Arc<OnceCell<CheckAnswer>>,
}

impl Default for Checks {
    fn default() -> Self {
        Self { turns: Semaphore::new(CHECKS_AT_ONCE), waiting: Mutex::default() }
    }
}

impl Checks {
    /// Shares the check of those who wait for the same, or is the first to wait.
    pub(super) fn share(&self, wanted: Wanted) -> SharedCheck<'_> {
        let mut waiting = self.waiting.lock();
        let check = waiting.entry(wanted.clone()).or_default();
        check.parts += 1;
        let answer = Arc::clone(&check.answer);
        drop(waiting);
        SharedCheck { checks: self, wanted, answer }
    }

    /// Waits for a turn, which ends when it is dropped.
    pub(super) async fn turn(&self) -> SemaphorePermit<'_> {
        self.turns.acquire().await.expect("it is never closed")
    }
}

impl SharedCheck<'_> {
    /// The answer, which the first finds with `ask` when its turn has come. Who waits for it takes no turn of others.
    pub(super) async fn answer(&self, ask: impl AsyncFnOnce(&Wanted) -> CheckAnswer) -> CheckAnswer {
        let answer = self.answer.get_or_init(async || {
            let _turn = self.checks.turn().await;
            self.begin();
            ask(&self.wanted).await
        });
        answer.await.clone()
    }

    /// Who asks from now on shares another check: this one may not see what they have seen.
    fn begin(&self) {
        let mut waiting = self.checks.waiting.lock();
        if self.is_waiting(&waiting) {
            waiting.remove(&self.wanted);
        }
    }

    fn is_waiting(&self, waiting: &HashMap<Wanted, WaitingCheck>) -> bool {
        waiting.get(&self.wanted).is_some_and(|check| Arc::ptr_eq(&check.answer, &self.answer))
    }
}

impl Drop for SharedCheck<'_> {
    fn drop(&mut self) {
        let mut waiting = self.checks.waiting.lock();
        if self.is_waiting(&waiting)
            && let Some(check) = waiting.get_mut(&self.wanted)
        {
            check.parts -= 1;
            // It is the last one, and was cancelled before its turn.
            if check.parts == 0 {
                waiting.remove(&self.wanted);
            }
        }
    }
}

impl Wanted {
    pub(super) fn of(subscriber: &ChangeSubscriber, viewer: &Viewer) -> Self {
        let bindings = subscriber.bindings.iter().map(|identified| identified.binding.clone()).collect();
        Self { role: viewer.role().into(), bindings }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::join_all;
    use tokio::sync::Notify;

    use super::*;

    fn wanted(role: &str) -> Wanted {
        Wanted { role: role.into(), bindings: Vec::new() }
    }

    fn refusal(answer: &CheckAnswer) -> &str {
        match answer.as_deref() {
            Ok(Err(refusal)) => refusal,
            _ => panic!("it is refused"),
        }
    }

    #[tokio::test]
    async fn those_that_wait_for_the_same_share_an_answer() {
        let (checks, asked) = (Checks::default(), AtomicUsize::new(0));
        let shared: Vec<_> = (0..100).map(|number| checks.share(wanted(["a", "b"][number % 2]))).collect();
        let answers = shared.iter().map(|check| {
            check.answer(async |wanted| {
                asked.fetch_add(1, Ordering::Relaxed);
                Ok(Arc::new(Err(wanted.role.to_string())))
            })
        });
        let answers = join_all(answers).await;
        assert!(answers.iter().zip(["a", "b"].iter().cycle()).all(|(answer, role)| refusal(answer) == *role));
        assert_eq!(asked.into_inner(), 2);
        assert!(checks.waiting.lock().is_empty());
    }

    #[tokio::test]
    async fn who_asks_after_a_check_has_begun_shares_the_next_one() {
        let (checks, begun, end) = (Checks::default(), Notify::new(), Notify::new());
        let first = checks.share(wanted("a"));
        let slow = first.answer(async |_| {
            begun.notify_one();
            end.notified().await;
            Ok(Arc::new(Err("before".to_owned())))
        });
        let later = async {
            begun.notified().await;
            let later = checks.share(wanted("a"));
            let answer = later.answer(async |_| Ok(Arc::new(Err("after".to_owned())))).await;
            end.notify_one();
            answer
        };
        let (before, after) = tokio::join!(slow, later);
        assert_eq!((refusal(&before), refusal(&after)), ("before", "after"));
    }

    #[tokio::test]
    async fn a_check_that_many_wait_for_takes_one_turn() {
        let (checks, begun, end) = (Checks::default(), Notify::new(), Notify::new());
        let shared: Vec<_> = (0..10).map(|_| checks.share(wanted("a"))).collect();
        let slow = shared.iter().map(|check| {
            check.answer(async |_| {
                begun.notify_one();
                end.notified().await;
                Ok(Arc::new(Err("slow".to_owned())))
            })
        });
        let other = async {
            begun.notified().await;
            let answer = checks.share(wanted("b")).answer(async |_| Ok(Arc::new(Err("b".to_owned())))).await;
            end.notify_one();
            answer
        };
        let (slow, other) = tokio::join!(join_all(slow), other);
        assert!(slow.iter().all(|answer| refusal(answer) == "slow"));
        assert_eq!(refusal(&other), "b");
    }

    #[tokio::test]
    async fn who_leaves_before_its_turn_leaves_nothing() {
        let checks = Checks::default();
        let (one, other) = (checks.share(wanted("a")), checks.share(wanted("a")));
        drop(one);
        assert_eq!(checks.waiting.lock().len(), 1);
        drop(other);
        assert!(checks.waiting.lock().is_empty());
    }
}
