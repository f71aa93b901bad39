//! The waits before a log is read again.

use std::time::Duration;

use crate::backoff::Backoff;

/// The first and the longest wait after a failure.
const RETRY: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(15));

/// A session that has lasted this long has succeeded.
const STABLE: Duration = Duration::from_secs(5);

/// The waits before the next attempts, which grow until one succeeds.
#[derive(Debug)]
pub(super) struct SessionRetry {
    waits: Backoff,
    /// The last session has received nothing before it ended.
    was_in_vain: bool,
}

impl SessionRetry {
    /// Nothing has failed.
    pub(super) fn new() -> Self {
        Self { waits: RETRY, was_in_vain: false }
    }

    /// A session has ended after this time.
    pub(super) fn note_end(&mut self, lasted: Duration, has_transaction: bool) {
        if lasted >= STABLE {
            self.waits.reset();
        }
        self.was_in_vain = lasted < STABLE && !has_transaction;
    }

    /// The database was away, and can be used again: what has failed before may succeed. Not after a session in vain, because it may
    /// be what has stopped the database: when the process of one crashes, PostgreSQL ends all others and starts anew.
    pub(super) fn note_usable(&mut self) {
        if !self.was_in_vain {
            self.waits.reset();
        }
    }

    /// The next wait, which is longer each time.
    pub(super) fn next_wait(&mut self) -> Duration {
        self.waits.next_wait()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_secs(1);

    /// The wait after the last of several sessions that end with the database.
    fn last_wait(lasted: Duration, has_transaction: bool) -> Duration {
        let mut retry = SessionRetry::new();
        let mut last = Duration::ZERO;
        for _ in 0..10 {
            retry.note_end(lasted, has_transaction);
            last = retry.next_wait();
            retry.note_usable();
        }
        last
    }

    #[test]
    fn waits_grow_while_each_session_ends_the_database() {
        assert!(last_wait(SHORT, false) > Duration::from_secs(7));
    }

    #[test]
    fn a_database_that_is_restarted_is_read_as_soon_as_the_first_time() {
        assert!(last_wait(SHORT, true) < SHORT);
        assert!(last_wait(STABLE, false) < SHORT);
    }
}
