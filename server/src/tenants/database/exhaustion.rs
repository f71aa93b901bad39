//! Notices that too few connections are allowed, so that further questions fail at once instead of waiting in vain.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// The time over which failures are counted.
const WINDOW: Duration = Duration::from_secs(30);

/// When questions have waited for a connection in vain.
#[derive(Debug, Default)]
pub(super) struct Exhaustion(Mutex<VecDeque<Instant>>);

impl Exhaustion {
    /// Counts a question that found no connection; `max` are remembered.
    pub(super) fn count(&self, max: NonZeroU32, now: Instant) {
        let mut failures = self.0.lock();
        if failures.len() >= max.get() as usize {
            failures.pop_front();
        }
        failures.push_back(now);
    }

    /// Whether as many questions as there are connections have failed within the window. One in a while is let through to
    /// find out whether that is over, so the oldest failure is forgotten.
    pub(super) fn is_reached(&self, max: NonZeroU32, now: Instant) -> bool {
        let mut failures = self.0.lock();
        while failures.front().is_some_and(|failure| now.duration_since(*failure) > WINDOW) {
            failures.pop_front();
        }
        failures.len() >= max.get() as usize
    }

    /// A question has found a connection.
    pub(super) fn clear(&self) {
        self.0.lock().clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_reached_after_as_many_failures_as_connections_and_ends_with_the_window() {
        let (exhaustion, max, start) = (Exhaustion::default(), NonZeroU32::new(2).unwrap(), Instant::now());
        exhaustion.count(max, start);
        assert!(!exhaustion.is_reached(max, start));
        exhaustion.count(max, start + Duration::from_secs(1));
        assert!(exhaustion.is_reached(max, start + Duration::from_secs(2)));
        assert!(!exhaustion.is_reached(max, start + WINDOW + Duration::from_millis(500)));
        exhaustion.count(max, start + WINDOW);
        exhaustion.clear();
        assert!(!exhaustion.is_reached(NonZeroU32::MIN, start + WINDOW));
    }
}
