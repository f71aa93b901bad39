//! Waits between attempts to connect.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(5);

/// Waits that double up to a bound, with random jitter: nodes that lost the bus together do not all reconnect at the
/// same moment.
#[derive(Debug)]
pub(in crate::bus) struct Backoff {
    longest_next: Duration,
}

impl Backoff {
    pub(in crate::bus) fn new() -> Self {
        Self { longest_next: FIRST }
    }

    /// Starts again with the shortest wait, after a success.
    pub(in crate::bus) fn reset(&mut self) {
        *self = Self::new();
    }

    /// The next wait: between half of its upper bound and all of it.
    pub(in crate::bus) fn next(&mut self) -> Duration {
        let longest = self.longest_next;
        self.longest_next = (longest * 2).min(LONGEST);
        let jitter = getrandom::u32().unwrap_or(u32::MAX);
        longest.mul_f64(0.5 + f64::from(jitter) / f64::from(u32::MAX) / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_a_bound_and_restart_after_a_success() {
        let mut backoff = Backoff::new();
        let waits: Vec<_> = (0..20).map(|_| backoff.next()).collect();
        assert!(waits[0] >= FIRST / 2 && waits[0] <= FIRST, "{waits:?}");
        assert!(waits.iter().all(|wait| *wait <= LONGEST), "{waits:?}");
        assert!(waits[19] >= LONGEST / 2, "{waits:?}");
        backoff.reset();
        assert!(backoff.next() <= FIRST);
    }
}
