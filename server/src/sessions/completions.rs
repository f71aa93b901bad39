//! Work of one connection that has to wait, and the mailbox of its results.
//!
//! A session must not wait, so the work runs as tasks. A finished task notifies the connection through its outbox, as a
//! frame does; the session then takes the result in its next [tick](super::Session::tick). The mailbox is the set of
//! tasks itself: it holds one result for each, so it is bounded by what bounds the tasks. Only so many tasks work at
//! once, the others wait for their turn in the order in which they were started.

use std::future::poll_fn;
use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use hub::Outbox;
use tokio::sync::Semaphore;
use tokio::task::coop::unconstrained;
use tokio::task::{AbortHandle, Id, JoinSet};
use tokio_util::task::TaskTracker;

/// The pending work of one connection, each piece with a result of type `T`. Dropping it cancels all of it.
pub struct Completions<T> {
    tasks: JoinSet<T>,
    turns: Arc<Semaphore>,
    tracker: TaskTracker,
    notify: Waker,
}

/// A piece of work that is pending. Dropping it cancels the work.
#[derive(Debug)]
pub struct PendingTask(AbortHandle);

/// A piece of work that has ended.
#[derive(Debug)]
pub struct Completion<T> {
    /// The task, as [`PendingTask::id`] returned it.
    pub task: Id,
    /// What it resulted in; `None` if it panicked.
    pub result: Option<T>,
}

impl<T: Send + 'static> Completions<T> {
    /// No work yet. At most `max` tasks will work at once; results notify the connection of `outbox`, and `tracker`
    /// counts the tasks.
    pub fn new(outbox: &Arc<Outbox>, tracker: TaskTracker, max: NonZeroUsize) -> Self {
        let turns = Arc::new(Semaphore::new(max.get().min(Semaphore::MAX_PERMITS)));
        Self { tasks: JoinSet::new(), turns, tracker, notify: Waker::from(Arc::clone(outbox)) }
    }

    /// Starts `work`. How much of it there is at once is for the caller to bound.
    pub fn start(&mut self, work: impl Future<Output = T> + Send + 'static) -> PendingTask {
        let turns = Arc::clone(&self.turns);
        let task = async move {
            let _turn = turns.acquire_owned().await.expect("the semaphore is never closed");
            work.await
        };
        let pending = PendingTask(self.tasks.spawn(self.tracker.track_future(task)));
        // A set of tasks wakes only whom `take` has registered, so the connection has to call it once.
        self.notify.wake_by_ref();
        pending
    }

    /// The next result, if one is there. Called until there is none; then the next one notifies the connection.
    pub fn take(&mut self) -> Option<Completion<T>> {
        loop {
            // Unconstrained, because a set of tasks that has used up the budget of its caller's task wakes at once,
            // and the connection would call this again and again.
            let next = unconstrained(poll_fn(|cx| self.tasks.poll_join_next_with_id(cx)));
            match pin!(next).poll(&mut Context::from_waker(&self.notify)) {
                Poll::Ready(Some(Ok((task, result)))) => {
                    return Some(Completion { task, result: Some(result) });
                }
                Poll::Ready(Some(Err(error))) if error.is_panic() => {
                    return Some(Completion { task: error.id(), result: None });
                }
                Poll::Ready(Some(Err(_cancelled))) => {}
                Poll::Ready(None) | Poll::Pending => return None,
            }
        }
    }
}

impl PendingTask {
    /// Names the task among those of its connection.
    pub fn id(&self) -> Id {
        self.0.id()
    }
}

impl Drop for PendingTask {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use hub::{Bounds, Burst, NextAction};
    use tokio::sync::oneshot;

    use super::*;

    fn completions(max: usize) -> (Arc<Outbox>, Completions<u32>) {
        let outbox =
            Arc::new(Outbox::new(Bounds { frames: 8, bytes: 1_000 }, hub::TenantMemory::unlimited()));
        let max = NonZeroUsize::new(max).expect("not zero");
        let completions = Completions::new(&outbox, TaskTracker::new(), max);
        (outbox, completions)
    }

    fn is_notified(outbox: &Outbox) -> bool {
        matches!(outbox.take(&mut Burst::default(), Waker::noop()), NextAction::Notified)
    }

    async fn notified(outbox: &Outbox) {
        while !is_notified(outbox) {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_result_notifies_the_connection_and_is_taken_once() {
        let (outbox, mut completions) = completions(1);
        let (send, receive) = oneshot::channel();
        let pending = completions.start(async { receive.await.expect("a result") });
        assert!(is_notified(&outbox) && completions.take().is_none(), "registered, and nothing is there yet");
        assert!(!is_notified(&outbox));
        send.send(7).expect("the task is waiting");
        notified(&outbox).await;
        let completion = completions.take().expect("the result");
        assert_eq!((completion.task, completion.result), (pending.id(), Some(7)));
        assert!(completions.take().is_none());
    }

    #[tokio::test]
    async fn only_so_many_tasks_work_at_once_and_cancelled_ones_make_room() {
        let (outbox, mut completions) = completions(1);
        let first = completions.start(std::future::pending());
        let second = completions.start(async { 2 });
        let third = completions.start(async { 3 });
        tokio::task::yield_now().await;
        assert!(is_notified(&outbox) && completions.take().is_none(), "the others wait for the first");
        drop(second);
        drop(first);
        let completion = loop {
            notified(&outbox).await;
            if let Some(completion) = completions.take() {
                break completion;
            }
        };
        assert_eq!((completion.task, completion.result), (third.id(), Some(3)));
        assert!(completions.take().is_none(), "cancelled tasks have no result");
    }

    #[tokio::test]
    async fn a_task_that_panics_has_ended_without_a_result() {
        let (outbox, mut completions) = completions(1);
        let pending = completions.start(async { panic!("on purpose") });
        let completion = loop {
            notified(&outbox).await;
            if let Some(completion) = completions.take() {
                break completion;
            }
        };
        assert_eq!((completion.task, completion.result), (pending.id(), None));
    }

    #[tokio::test]
    async fn everything_is_cancelled_with_the_connection() {
        let (_outbox, mut completions) = completions(2);
        let (held, mut released) = oneshot::channel::<()>();
        let _pending = completions.start(async move {
            let _held = held;
            std::future::pending().await
        });
        tokio::task::yield_now().await;
        drop(completions);
        released.try_recv().expect_err("nothing was sent");
        released.await.expect_err("the task was dropped");
    }
}
