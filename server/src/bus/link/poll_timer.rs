//! How long the present poll of a task lasts, so that it ends in time: other tasks wait for the thread.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long a task works before it gives the others their turn. What it does next may be one message, or the presence of
/// one room, longer.
const POLL_MAX: Duration = Duration::from_micros(500);

/// Clones are for the same task.
#[derive(Debug, Clone)]
pub(super) struct PollTimer {
    since: Instant,
    /// When the present poll began, in nanoseconds.
    begun: Arc<AtomicU64>,
}

impl PollTimer {
    pub(super) fn new() -> Self {
        Self { since: Instant::now(), begun: Arc::default() }
    }

    /// The same work, whose polls are timed.
    pub(super) async fn time<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        poll_fn(|cx| {
            self.begun.store(self.now(), Ordering::Relaxed);
            work.as_mut().poll(cx)
        })
        .await
    }

    /// Whether the present poll has lasted long enough.
    pub(super) fn is_over(&self) -> bool {
        let lasted = self.now().saturating_sub(self.begun.load(Ordering::Relaxed));
        u128::from(lasted) >= POLL_MAX.as_nanos()
    }

    /// Gives the others their turn, and has new input looked for, if the present poll has lasted long enough.
    pub(super) async fn yield_if_over(&self) {
        if self.is_over() {
            tokio::task::yield_now().await;
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}
