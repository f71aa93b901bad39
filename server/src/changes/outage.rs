//! How long changes wait for a database that is away, or has no time.
//!
//! The time counts from the first question without an answer, whatever is asked later. When it is over changes are dropped, and
//! those that follow are dropped at once, until there is an answer.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

/// How long changes wait.
const BUSY_MAX: Duration = Duration::from_secs(30);

/// The pause between two attempts to ask. There is no event to wait for: only another question finds out that it is answered.
const BUSY_POLL: Duration = Duration::from_millis(100);

/// Since when one kind of question has no answer, if so.
#[derive(Debug, Default)]
pub(super) struct Outage(Mutex<Option<Instant>>);

impl Outage {
    /// There is an answer.
    pub(super) fn end(&self) {
        *self.0.lock() = None;
    }

    /// There is no answer: waits before the next attempt. `false` at once if changes have waited long enough.
    pub(super) async fn wait(&self) -> bool {
        let may_wait = self.may_wait(Instant::now());
        if may_wait {
            sleep(BUSY_POLL).await;
        }
        may_wait
    }

    fn may_wait(&self, now: Instant) -> bool {
        now - *self.0.lock().get_or_insert(now) < BUSY_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_wait_once_until_there_is_an_answer() {
        let (outage, now) = (Outage::default(), Instant::now());
        assert!(outage.may_wait(now) && outage.may_wait(now + BUSY_MAX - BUSY_POLL));
        for batch in 0..3 {
            assert!(!outage.may_wait(now + BUSY_MAX * (batch + 1)), "the batches that follow do not wait");
        }
        outage.end();
        assert!(outage.may_wait(now + 5 * BUSY_MAX));
    }
}
