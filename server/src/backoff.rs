//! Waits between attempts, and between what is done regularly: random, so that nodes that lost the same server together do not all
//! come back at the same moment.

use std::time::Duration;

/// Waits that double up to a bound. Each is between half of its own bound and all of it: never so short that attempts follow
/// each other without a pause.
#[derive(Debug)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    longest_next: Duration,
}

impl Backoff {
    /// The first wait is at most `first`, and none is longer than `longest`.
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, longest_next: first }
    }

    /// Starts again with the shortest wait, after a success.
    pub fn reset(&mut self) {
        self.longest_next = self.first;
    }

    /// The next wait.
    pub fn next_wait(&mut self) -> Duration {
        let longest = self.longest_next;
        self.longest_next = longest.saturating_mul(2).min(self.longest);
        longest.mul_f64(0.5 + random() / 2.0)
    }
}

/// Between three quarters and five quarters of the time between two of something regular, so that it is the same for all nodes on
/// average only.
pub fn jittered(interval: Duration) -> Duration {
    interval.mul_f64(0.75 + random() / 2.0)
}

/// Between 0 and 1. Without random numbers of the system, the longest wait.
pub fn random() -> f64 {
    f64::from(getrandom::u32().unwrap_or(u32::MAX)) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_millis(50);
    const LONGEST: Duration = Duration::from_secs(5);

    #[test]
    fn waits_grow_up_to_a_bound_and_restart_after_a_success() {
        let mut backoff = Backoff::new(FIRST, LONGEST);
        let mut bound = FIRST;
        for _ in 0..200 {
            let wait = backoff.next_wait();
            assert!(wait >= bound / 2 && wait <= bound, "{wait:?} of {bound:?}");
            bound = (bound * 2).min(LONGEST);
        }
        backoff.reset();
        assert!(backoff.next_wait() <= FIRST);
    }

    #[test]
    fn waits_differ() {
        let first = || Backoff::new(LONGEST, LONGEST).next_wait();
        assert!((0..20).any(|_| first() != first()));
    }

    #[test]
    fn intervals_vary_by_a_quarter() {
        for _ in 0..100 {
            let interval = jittered(LONGEST);
            assert!(interval >= LONGEST.mul_f64(0.75) && interval <= LONGEST.mul_f64(1.25), "{interval:?}");
        }
    }
}
