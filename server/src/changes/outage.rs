//! How long changes wait for a database that is away, has no time, or does not show others what is in its log.
//!
//! The time counts from the first question without an answer, whatever is asked later. When it is over changes are dropped, and
//! those that follow are dropped at once, until there is an answer.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

/// Since when one kind of question has no answer, if so.
#[derive(Debug, Default)]
pub(super) struct Outage(Mutex<Option<Instant>>);

impl Outage {
    /// There is an answer.
    pub(super) fn end(&self) {
        *self.0.lock() = None;
    }

    /// There is no answer: waits for `pause` before the next attempt. `false` at once if changes have waited for `longest`.
    pub(super) async fn wait(&self, pause: Duration, longest: Duration) -> bool {
        let may_wait = self.may_wait(Instant::now(), longest);
        if may_wait {
            sleep(pause).await;
        }
        may_wait
    }

    fn may_wait(&self, now: Instant, longest: Duration) -> bool {
        now - *self.0.lock().get_or_insert(now) < longest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_secs(30);

    #[test]
    fn changes_wait_once_until_there_is_an_answer() {
        let (outage, now) = (Outage::default(), Instant::now());
        assert!(
            outage.may_wait(now, LONGEST)
                && outage.may_wait(now + LONGEST - Duration::from_millis(1), LONGEST)
        );
        for batch in 0..3 {
            let later = now + LONGEST * (batch + 1);
            assert!(!outage.may_wait(later, LONGEST), "the batches that follow do not wait");
        }
        outage.end();
        assert!(outage.may_wait(now + 5 * LONGEST, LONGEST));
    }

    #[test]
    fn a_longer_time_applies_to_an_outage_that_has_begun() {
        let (outage, now) = (Outage::default(), Instant::now());
        assert!(outage.may_wait(now, LONGEST) && !outage.may_wait(now + LONGEST, LONGEST));
        assert!(outage.may_wait(now + LONGEST, 2 * LONGEST));
    }
}
