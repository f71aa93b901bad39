//! When the log says again that something lasts.

use std::time::{Duration, Instant};

/// Soon after the beginning: what is tried meanwhile often shows the cause.
const FIRST: Duration = Duration::from_secs(10);
const LATER: Duration = Duration::from_secs(60);

/// Reminders of something that lasts since it was created: the first after ten seconds, then one a minute.
#[derive(Debug)]
pub(super) struct LogInterval {
    due: Instant,
}

impl LogInterval {
    pub(super) fn since(now: Instant) -> Self {
        Self { due: now + FIRST }
    }

    /// Whether the next reminder is due. If so, the one after it is a minute away.
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
    fn the_first_reminder_comes_after_ten_seconds_and_then_one_a_minute() {
        let begun = Instant::now();
        let mut reminder = LogInterval::since(begun);
        let due = (0..300).filter(|second| reminder.is_due(begun + Duration::from_secs(*second)));
        assert_eq!(due.collect::<Vec<_>>(), [10, 70, 130, 190, 250]);
    }
}
