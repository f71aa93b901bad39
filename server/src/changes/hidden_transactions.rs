//! Transactions in the log that others cannot see yet, because their commits wait for a synchronous standby.
//!
//! While it is away changes wait once. Commits that do not wait for it are visible meanwhile, and say nothing of it: the outage ends
//! when those are visible that were not.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::outage::Outage;

/// How often it is looked, meanwhile, whether those that were not visible are.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The last transactions that were not visible, and since when changes wait for such.
#[derive(Debug, Default)]
pub(super) struct HiddenTransactions {
    outage: Outage,
    last: Mutex<Option<Hidden>>,
}

#[derive(Debug)]
struct Hidden {
    /// Some of these are hidden, without their epoch.
    transactions: Box<[u32]>,
    looked_at: Instant,
}

impl HiddenTransactions {
    /// Some of these are not visible: waits for `pause` before the next look. `false` at once if changes have waited for `longest`.
    pub(super) async fn wait(&self, transactions: &[u32], pause: Duration, longest: Duration) -> bool {
        *self.last.lock() = Some(Hidden { transactions: transactions.into(), looked_at: Instant::now() });
        self.outage.wait(pause, longest).await
    }

    /// Those that were not visible, if it is time to look whether they are.
    pub(super) fn to_look_at(&self, now: Instant) -> Option<Box<[u32]>> {
        let mut last = self.last.lock();
        let hidden = last.as_mut().filter(|hidden| now - hidden.looked_at >= LOOK_AGAIN)?;
        hidden.looked_at = now;
        Some(hidden.transactions.clone())
    }

    /// All are visible.
    pub(super) fn end(&self) {
        *self.last.lock() = None;
        self.outage.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_millis(1);

    #[tokio::test]
    async fn what_was_not_visible_is_looked_at_once_a_second_until_it_is() {
        let (hidden, begun) = (HiddenTransactions::default(), Instant::now());
        assert_eq!(hidden.to_look_at(begun + LOOK_AGAIN), None);
        assert!(hidden.wait(&[7, 8], PAUSE, Duration::from_secs(30)).await);
        assert!(!hidden.wait(&[8, 9], PAUSE, PAUSE).await, "changes have waited");
        assert_eq!(hidden.to_look_at(begun), None, "a moment ago");
        let later = Instant::now() + LOOK_AGAIN;
        assert_eq!(hidden.to_look_at(later).as_deref(), Some(&[8, 9][..]));
        assert_eq!(hidden.to_look_at(later), None);
        hidden.end();
        assert_eq!(hidden.to_look_at(later + LOOK_AGAIN), None);
        assert!(hidden.wait(&[10], PAUSE, Duration::from_secs(30)).await);
    }
}
