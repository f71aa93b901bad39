//! When metrics and spans are sent.

use std::time::Duration;

use crate::backoff::random;

/// How long the last requests may take, which a stop waits for: less than what clients have by default to answer a close frame
/// (`server.shutdown_timeout`), so that a receiver that does not answer never makes a stop longer than clients do, nor ends in its
/// warning.
pub(super) const LAST_TIMEOUT: Duration = Duration::from_secs(2);

/// The time from the beginning of one attempt to that of the next. Without random parts, as with a scrape: rates over a window of time
/// have the same number of samples.
#[derive(Debug)]
pub(super) struct Intervals {
    usual: Duration,
    longest: Duration,
    /// Since the last success.
    failures: u32,
}

impl Intervals {
    /// None is shorter than `usual`, and none longer than `longest` if that is more.
    pub(super) fn new(usual: Duration, longest: Duration) -> Self {
        Self { usual, longest: longest.max(usual), failures: 0 }
    }

    /// The time until the first attempt: a random part of the usual one, so that nodes that start together do not send at once.
    pub(super) fn first(&self) -> Duration {
        self.usual.mul_f64(random())
    }

    /// The next one.
    pub(super) fn next(&self) -> Duration {
        let factor = 2_u32.saturating_pow(self.failures);
        self.usual.saturating_mul(factor).min(self.longest)
    }

    /// Notes a failure.
    pub(super) fn failed(&mut self) {
        self.failures = self.failures.saturating_add(1);
    }

    /// Whether there was no success since the last failure.
    pub(super) fn has_failed(&self) -> bool {
        self.failures > 0
    }

    /// Notes a success, and returns the number of failures before it, if there were any.
    pub(super) fn succeeded(&mut self) -> Option<u32> {
        self.has_failed().then(|| std::mem::take(&mut self.failures))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_double_with_each_failure_up_to_a_bound_and_a_success_ends_that() {
        let seconds = Duration::from_secs;
        let mut intervals = Intervals::new(seconds(30), seconds(100));
        assert!(intervals.first() <= seconds(30));
        assert_eq!(intervals.next(), seconds(30));
        for expected in [60, 100, 100] {
            intervals.failed();
            assert_eq!(intervals.next(), seconds(expected));
        }
        assert_eq!((intervals.succeeded(), intervals.next()), (Some(3), seconds(30)));
        assert_eq!(intervals.succeeded(), None);
        (0..100).for_each(|_| intervals.failed());
        assert_eq!(intervals.next(), seconds(100));
        let mut fixed = Intervals::new(seconds(30), seconds(1));
        fixed.failed();
        assert_eq!((fixed.has_failed(), fixed.next()), (true, seconds(30)), "never below the usual one");
    }
}
