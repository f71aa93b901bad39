//! When the log repeats that a condition lasts.

use std::time::{Duration, Instant};

/// Soon after the first line, because the first attempts to recover often show the cause.
const FIRST: Duration = Duration::from_secs(10);
const LATER: Duration = Duration::from_secs(60);

/// Repetitions of a log line: ten seconds after it was created, then once a minute.
#[derive(Debug)]
pub(super) struct LogInterval {
    due: Instant,
}

impl LogInterval {
    pub(super) fn since(now: Instant) -> Self {
        Self { due: now + FIRST }
    }

    /// Whether the line is due. If so, the next is due a minute later.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        let is_due = now >= self.due;
        if is_due {
            self.due = now + LATER;
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_repeated_after_ten_seconds_and_then_once_a_minute() {
        let begun = Instant::now();
        let mut interval = LogInterval::since(begun);
        let due = (0..300).filter(|second| interval.is_due(begun + Duration::from_secs(*second)));
        assert_eq!(due.collect::<Vec<_>>(), [10, 70, 130, 190, 250]);
    }
}
