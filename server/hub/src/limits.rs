//! How often something may happen, counted without a lock.
//!
//! A [`TokenBucket`] is the generic cell rate algorithm: one number, the time at which the bucket would
//! be empty again if nothing more came, moved forward by each event. A client may save up ten seconds'
//! worth and spend it at once. [`RollingRate`] only measures, for the headers of the HTTP answers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How many seconds of allowance may be saved up and spent in one burst.
const BURST: Duration = Duration::from_secs(10);

/// A limit of so many events per second with a burst of ten seconds' worth.
#[derive(Debug)]
pub struct TokenBucket {
    started: Instant,
    /// Nanoseconds since `started` at which everything spent so far will have been earned back.
    spent_until: AtomicU64,
    nanos_per_event: AtomicU64,
}

impl TokenBucket {
    /// A full bucket. A rate of zero allows nothing.
    pub fn per_second(events: u64) -> Self {
        let nanos_per_event = nanos_per_event(events).into();
        Self { started: Instant::now(), spent_until: AtomicU64::new(0), nanos_per_event }
    }

    /// From now on `events` per second. What was spent stays spent in proportion: a bucket that was half full
    /// is half full of the new size, so that neither a raise nor a cut gives anybody a fresh burst.
    pub fn set_rate(&self, events: u64) {
        self.nanos_per_event.store(nanos_per_event(events), Ordering::Relaxed);
    }

    /// Takes `events` tokens, all or none. `false` means the limit is reached.
    pub fn take(&self, events: u64, now: Instant) -> bool {
        let spend = |spent_until| self.spend(spent_until, events, now);
        self.spent_until.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend).is_ok()
    }

    /// Whether a token is left; takes none.
    pub fn has_any(&self, now: Instant) -> bool {
        self.spend(self.spent_until.load(Ordering::Relaxed), 1, now).is_some()
    }

    fn spend(&self, spent_until: u64, events: u64, now: Instant) -> Option<u64> {
        let now = nanos(now.saturating_duration_since(self.started));
        let cost = self.nanos_per_event.load(Ordering::Relaxed).saturating_mul(events);
        let next = spent_until.max(now).saturating_add(cost);
        (next - now <= nanos(BURST)).then_some(next)
    }
}

/// Nanoseconds in which one event is earned; as good as never when there are to be none.
fn nanos_per_event(events: u64) -> u64 {
    1_000_000_000u64.checked_div(events).unwrap_or(u64::MAX)
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Events per second, averaged over the last minute in steps of five seconds.
#[derive(Debug)]
pub struct RollingRate {
    started: Instant,
    steps: [Step; RollingRate::STEPS],
}

/// One step of five seconds: which one it holds (counted from the start), and how many came in it.
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

    /// Counts `events` now.
    pub fn add(&self, events: u64, now: Instant) {
        let number = self.number(now);
        let step = &self.steps[number as usize % Self::STEPS];
        // Two threads may both find an old step and clear it; a few events of the first moment may go
        // uncounted, which an average over a minute does not feel.
        if step.number.swap(number, Ordering::Relaxed) != number {
            step.events.store(0, Ordering::Relaxed);
        }
        step.events.fetch_add(events, Ordering::Relaxed);
    }

    /// The average of the last minute, or of the time since the start while that is shorter.
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
    fn ten_seconds_may_be_spent_at_once_and_are_earned_back_one_by_one() {
        let bucket = TokenBucket::per_second(5);
        let start = bucket.started;
        assert!(bucket.take(49, start) && bucket.has_any(start));
        assert!(bucket.take(1, start) && !bucket.has_any(start));
        assert!(!bucket.take(1, start));
        assert!(!bucket.take(1, start + Duration::from_millis(199)));
        assert!(bucket.take(1, start + Duration::from_millis(200)));
        assert!(!bucket.take(1, start + Duration::from_millis(200)));
    }

    #[test]
    fn a_batch_is_taken_whole_or_not_at_all() {
        let bucket = TokenBucket::per_second(1);
        let start = bucket.started;
        assert!(!bucket.take(11, start));
        assert!(bucket.take(10, start), "the refused batch cost nothing");
    }

    #[test]
    fn zero_allows_nothing_and_huge_rates_allow_everything() {
        assert!(!TokenBucket::per_second(0).take(1, Instant::now()));
        assert!(TokenBucket::per_second(u64::MAX).take(u64::MAX, Instant::now()));
    }

    #[test]
    fn a_new_rate_keeps_the_bucket_as_full_as_it_was() {
        let bucket = TokenBucket::per_second(10);
        let start = bucket.started;
        assert!(bucket.take(50, start), "half of it is spent");
        bucket.set_rate(100);
        assert!(!bucket.take(501, start));
        assert!(bucket.take(500, start));
        assert!(!bucket.take(1, start + Duration::from_millis(9)));
        assert!(bucket.take(1, start + Duration::from_millis(10)));
        bucket.set_rate(0);
        assert!(!bucket.take(1, start + Duration::from_secs(5)));
        bucket.set_rate(1);
        assert!(!bucket.take(6, start + Duration::from_secs(5)));
        assert!(bucket.take(4, start + Duration::from_secs(5)), "nothing was earned or lost by the pause");
    }

    #[test]
    fn the_rolling_rate_forgets_after_a_minute() {
        let rate = RollingRate::new();
        let start = rate.started;
        rate.add(600, start);
        assert_eq!(rate.per_second(start), 120);
        assert_eq!(rate.per_second(start + Duration::from_secs(55)), 10);
        assert_eq!(rate.per_second(start + Duration::from_secs(60)), 0);
    }
}
