//! Checks that wait for their turn. Channels that ask for the same with the same role share one: after a restart of the server
//! thousands come back at once. A check that clients share is asked in the turn of the first of them that has one.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hub::ConnectionId;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, SetOnce};
use wire::supabase::changes::Binding;

use super::check_turns::{CheckTurns, WaitingForTurn};
use super::checked_subscription::CheckedSubscription;
use super::subscriber::ChangeSubscriber;
use super::viewer::Viewer;
use crate::telemetry::codes::Code;
use crate::tenants::database::DatabaseFailure;

/// What was found; else what clients are to read when they are refused.
pub(super) type Checked = Result<CheckedSubscription, String>;

/// What is found for all that share a check.
pub(super) type CheckAnswer = Result<Arc<Checked>, CheckFailure>;

/// Why a check has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum CheckFailure {
    /// The database had no time for it, but for so many others meanwhile.
    Slow { failure: DatabaseFailure, others_answered: u64 },
    /// Tables have changed each time while they were looked at.
    TablesChange,
    /// The database does not answer.
    Failed(DatabaseFailure),
}

impl CheckFailure {
    /// The same for a check during which so many others were answered.
    fn beside(self, answered: u64) -> Self {
        match self {
            Self::Slow { failure, .. } => Self::Slow { failure, others_answered: answered },
            other => other,
        }
    }

    /// As it is reported.
    pub(super) fn into_failure(self) -> DatabaseFailure {
        match self {
            Self::Slow { failure, .. } | Self::Failed(failure) => failure,
            Self::TablesChange => {
                let reason = "tables change while subscriptions to them are checked";
                DatabaseFailure::new(Code::QueryCanceled, reason)
            }
        }
    }
}

impl From<DatabaseFailure> for CheckFailure {
    fn from(failure: DatabaseFailure) -> Self {
        match failure.code {
            Code::QueryCanceled => Self::Slow { failure, others_answered: 0 },
            _ => Self::Failed(failure),
        }
    }
}

/// The checks of a tenant.
pub(super) struct SharedChecks<C: Eq + Hash = Option<ConnectionId>> {
    pub(super) turns: CheckTurns<C>,
    /// Those whose turn has not come, and how many share them.
    waiting: Mutex<HashMap<Wanted, WaitingCheck>>,
    /// How many were answered.
    answered: AtomicU64,
}

#[derive(Default)]
struct WaitingCheck {
    answer: Arc<PendingAnswer>,
    parts: usize,
}

struct PendingAnswer {
    found: SetOnce<CheckAnswer>,
    /// One asks.
    asking: Semaphore,
}

/// What channels ask for that are checked alike.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Wanted {
    pub(super) role: Box<str>,
    pub(super) bindings: Vec<Binding>,
}

/// A part in a check.
pub(super) struct SharedCheck<'a, C: Eq + Hash = Option<ConnectionId>> {
    checks: &'a SharedChecks<C>,
    pub(super) wanted: Wanted,
    answer: Arc<PendingAnswer>,
    turn: WaitingForTurn<'a, C>,
}

impl Default for PendingAnswer {
    fn default() -> Self {
        Self { found: SetOnce::new(), asking: Semaphore::new(1) }
    }
}

impl<C: Eq + Hash> Default for SharedChecks<C> {
    fn default() -> Self {
        Self { turns: CheckTurns::default(), waiting: Mutex::default(), answered: AtomicU64::new(0) }
    }
}

impl<C: Clone + Eq + Hash> SharedChecks<C> {
    /// Shares the check of those who wait for the same, or is the first to wait.
    pub(super) fn share(&self, client: C, wanted: Wanted) -> SharedCheck<'_, C> {
        let mut waiting = self.waiting.lock();
        let check = waiting.entry(wanted.clone()).or_default();
        check.parts += 1;
        let answer = Arc::clone(&check.answer);
        drop(waiting);
        SharedCheck { checks: self, wanted, answer, turn: self.turns.of(client) }
    }

    /// How many checks were answered until now.
    fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }
}

impl<C: Clone + Eq + Hash> SharedCheck<'_, C> {
    /// The answer, which the first finds with `ask` whose turn has come. Who waits for it takes no turn of others.
    pub(super) async fn answer(&self, ask: impl AsyncFnOnce(&Wanted) -> CheckAnswer) -> CheckAnswer {
        let PendingAnswer { found, asking } = &*self.answer;
        let asked = async {
            let _of_client = self.turn.next_of_client().await;
            let _asking = asking.acquire().await.expect("it is never closed");
            if let Some(found) = found.get() {
                return found.clone();
            }
            let _turn = self.checks.turns.next().await;
            self.begin();
            let answered_before = self.checks.answered();
            let answer = ask(&self.wanted).await;
            let answer = answer.map_err(|failure| failure.beside(self.checks.answered() - answered_before));
            self.checks.answered.fetch_add(u64::from(answer.is_ok()), Ordering::Relaxed);
            // Only who asks sets it.
            let _set = found.set(answer.clone());
            answer
        };
        tokio::select! {
            biased;
            found = found.wait() => found.clone(),
            answer = asked => answer,
        }
    }

    /// Who asks from now on shares another check: this one may not see what they have seen.
    fn begin(&self) {
        let mut waiting = self.checks.waiting.lock();
        if self.is_waiting(&waiting) {
            waiting.remove(&self.wanted);
        }
    }
}

impl<C: Eq + Hash> SharedCheck<'_, C> {
    fn is_waiting(&self, waiting: &HashMap<Wanted, WaitingCheck>) -> bool {
        waiting.get(&self.wanted).is_some_and(|check| Arc::ptr_eq(&check.answer, &self.answer))
    }
}

impl<C: Eq + Hash> Drop for SharedCheck<'_, C> {
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
    use std::sync::atomic::AtomicUsize;

    use futures_util::future::{join_all, pending};
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
        let (checks, asked) = (SharedChecks::<u32>::default(), AtomicUsize::new(0));
        let shared: Vec<_> =
            (0..100).map(|number| checks.share(number, wanted(["a", "b"][number as usize % 2]))).collect();
        let answers = shared.iter().map(|check| {
            check.answer(async |wanted| {
                asked.fetch_add(1, Ordering::Relaxed);
                Ok(Arc::new(Err(wanted.role.to_string())))
            })
        });
        let answers = join_all(answers).await;
        assert!(answers.iter().zip(["a", "b"].iter().cycle()).all(|(answer, role)| refusal(answer) == *role));
        assert_eq!((asked.into_inner(), checks.answered()), (2, 2));
        assert!(checks.waiting.lock().is_empty());
    }

    #[tokio::test]
    async fn who_asks_after_a_check_has_begun_shares_the_next_one() {
        let (checks, begun, end) = (SharedChecks::<u32>::default(), Notify::new(), Notify::new());
        let first = checks.share(1, wanted("a"));
        let slow = first.answer(async |_| {
            begun.notify_one();
            end.notified().await;
            Ok(Arc::new(Err("before".to_owned())))
        });
        let later = async {
            begun.notified().await;
            let later = checks.share(2, wanted("a"));
            let answer = later.answer(async |_| Ok(Arc::new(Err("after".to_owned())))).await;
            end.notify_one();
            answer
        };
        let (before, after) = tokio::join!(slow, later);
        assert_eq!((refusal(&before), refusal(&after)), ("before", "after"));
    }

    #[tokio::test]
    async fn a_check_that_many_wait_for_takes_one_turn() {
        let (checks, begun, end) = (SharedChecks::<u32>::default(), Notify::new(), Notify::new());
        let shared: Vec<_> = (0..10).map(|number| checks.share(number, wanted("a"))).collect();
        let slow = shared.iter().map(|check| {
            check.answer(async |_| {
                begun.notify_one();
                end.notified().await;
                Ok(Arc::new(Err("slow".to_owned())))
            })
        });
        let other = async {
            begun.notified().await;
            let answer =
                checks.share(10, wanted("b")).answer(async |_| Ok(Arc::new(Err("b".to_owned())))).await;
            end.notify_one();
            answer
        };
        let (slow, other) = tokio::join!(join_all(slow), other);
        assert!(slow.iter().all(|answer| refusal(answer) == "slow"));
        assert_eq!(refusal(&other), "b");
    }

    #[tokio::test]
    async fn only_others_that_are_answered_while_a_check_is_made_are_counted() {
        let checks = SharedChecks::<u32>::default();
        let cancelled = || CheckFailure::from(DatabaseFailure::new(Code::QueryCanceled, "it is slow"));
        let answered = async |client, role| {
            checks.share(client, wanted(role)).answer(async |_| Ok(Arc::new(Err(String::new())))).await
        };
        let (before, of_slow) = (checks.share(1, wanted("before")), checks.share(1, wanted("slow")));
        let waiting = of_slow.answer(async |_| {
            answered(2, "meanwhile").await.expect("it is answered");
            Err(cancelled())
        });
        let first = before.answer(async |_| {
            answered(3, "while it waits").await.expect("it is answered");
            Ok(Arc::new(Err(String::new())))
        });
        let (first, waiting) = tokio::join!(first, waiting);
        assert!(first.is_ok());
        let CheckFailure::Slow { others_answered, .. } = waiting.expect_err("it is slow") else {
            panic!("it is slow");
        };
        assert_eq!(others_answered, 1);
    }

    #[test]
    fn tables_that_change_are_no_slow_check() {
        let failure = CheckFailure::TablesChange.beside(1);
        assert_eq!(failure, CheckFailure::TablesChange);
        assert!(failure.into_failure().is_passing(), "it is tried again");
    }

    #[tokio::test]
    async fn who_leaves_before_its_turn_leaves_nothing() {
        let checks = SharedChecks::<u32>::default();
        let (one, other) = (checks.share(1, wanted("a")), checks.share(1, wanted("a")));
        drop(one);
        assert_eq!(checks.waiting.lock().len(), 1);
        drop(other);
        assert!(checks.waiting.lock().is_empty());
    }

    #[tokio::test]
    async fn one_client_with_many_checks_has_one_turn_and_others_ask_what_it_waits_for() {
        let (checks, begun) = (SharedChecks::<u32>::default(), Notify::new());
        let of_first: Vec<_> = ["a", "b", "c"].map(|role| checks.share(1, wanted(role))).into();
        let never = of_first.iter().map(|check| {
            check.answer(async |_| {
                begun.notify_one();
                pending().await
            })
        });
        let other = async {
            begun.notified().await;
            let shared = checks.share(2, wanted("c"));
            shared.answer(async |_| Ok(Arc::new(Err("of the other".to_owned())))).await
        };
        let mut never = join_all(never);
        let answer = tokio::select! {
            _ = &mut never => panic!("its turn does not end"),
            answer = other => answer,
        };
        assert_eq!(refusal(&answer), "of the other");
        drop(never);
        drop(of_first);
        assert!(checks.turns.are_unused() && checks.waiting.lock().is_empty());
    }
}
