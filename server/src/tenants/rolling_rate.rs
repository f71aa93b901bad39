//! A rate that is only measured: events per second over the last minute, counted without a lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Events per second, averaged over the last minute in steps of five seconds.
#[derive(Debug)]
pub struct RollingRate {
    started: Instant,
    steps: [Step; RollingRate::STEPS],
}

/// The events of one step of five seconds. `number` counts the steps since the start.
#[derive(Debug, Default)]
struct Step {
    number: AtomicU64,
    events: AtomicU64,
}

impl RollingRate {
    const STEPS: usize = 12;
    const STEP: Duration = Duration::from_secs(5);

    /// A rate of zero.
    pub fn new() -> Self {
        Self { started: Instant::now(), steps: Default::default() }
    }

    /// Counts `events` at `now`.
    pub fn add(&self, events: u64, now: Instant) {
        let number = self.number(now);
        let step = &self.steps[number as usize % Self::STEPS];
        // Two threads may both find an old step and clear it, so that a few events of its first moment are not
        // counted: negligible in an average over a minute.
        if step.number.swap(number, Ordering::Relaxed) != number {
            step.events.store(0, Ordering::Relaxed);
        }
        step.events.fetch_add(events, Ordering::Relaxed);
    }

    /// The average over the last minute, or over the time since the start while that is shorter.
    pub fn per_second(&self, now: Instant) -> u64 {
        let current = self.number(now);
        let recent = |step: &&Step| step.number.load(Ordering::Relaxed) + Self::STEPS as u64 > current;
        let events: u64 = self.steps.iter().filter(recent).map(|s| s.events.load(Ordering::Relaxed)).sum();
        let steps = (current + 1).min(Self::STEPS as u64);
        events / (steps * Self::STEP.as_secs())
    }

    fn number(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.started).as_secs() / Self::STEP.as_secs()
    }
}

impl Default for RollingRate {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_older_than_a_minute_do_not_count() {
        let rate = RollingRate::new();
        let start = rate.started;
        rate.add(600, start);
        assert_eq!(rate.per_second(start), 120);
        assert_eq!(rate.per_second(start + Duration::from_secs(55)), 10);
        assert_eq!(rate.per_second(start + Duration::from_secs(60)), 0);
    }
}
