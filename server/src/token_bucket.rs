//! A rate limit counted without a lock: the generic cell rate algorithm.
//!
//! One number holds the time at which the bucket would be full again if nothing more came; each event moves it
//! forward. A client may save up ten seconds' worth of tokens and spend them at once.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How much unused allowance accumulates and can be spent in one burst.
const BURST: Duration = Duration::from_secs(10);

/// A limit in events per second with a burst of ten seconds' worth.
#[derive(Debug)]
pub struct TokenBucket {
    started: Instant,
    /// Nanoseconds since `started` at which the bucket will be full again.
    spent_until: AtomicU64,
    nanos_per_event: AtomicU64,
}

impl TokenBucket {
    /// A full bucket. A rate of zero allows nothing.
    pub fn per_second(events: u64) -> Self {
        let nanos_per_event = nanos_per_event(events).into();
        Self { started: Instant::now(), spent_until: AtomicU64::new(0), nanos_per_event }
    }

    /// Changes the rate to `events` per second. What was spent stays spent in proportion: a bucket that was half
    /// full is half full of the new size, so that neither a raise nor a cut grants a fresh burst.
    pub fn set_rate(&self, events: u64) {
        self.nanos_per_event.store(nanos_per_event(events), Ordering::Relaxed);
    }

    /// Takes `events` tokens, all or none. Returns `false` when the limit is reached.
    pub fn take(&self, events: u64, now: Instant) -> bool {
        let spend = |spent_until| self.spend(spent_until, events, now);
        self.spent_until.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend).is_ok()
    }

    /// Takes `events` tokens although fewer may be left: for what has happened already.
    pub fn overdraw(&self, events: u64, now: Instant) {
        let _always = self.spent_until.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |spent_until| {
            Some(self.spent_with(spent_until, events, now))
        });
    }

    /// Whether at least one token is left. Takes none.
    pub fn has_any(&self, now: Instant) -> bool {
        self.spend(self.spent_until.load(Ordering::Relaxed), 1, now).is_some()
    }

    fn spend(&self, spent_until: u64, events: u64, now: Instant) -> Option<u64> {
        let next = self.spent_with(spent_until, events, now);
        (next - self.nanos_until(now) <= nanos(BURST)).then_some(next)
    }

    fn spent_with(&self, spent_until: u64, events: u64, now: Instant) -> u64 {
        let cost = self.nanos_per_event.load(Ordering::Relaxed).saturating_mul(events);
        spent_until.max(self.nanos_until(now)).saturating_add(cost)
    }

    fn nanos_until(&self, now: Instant) -> u64 {
        nanos(now.saturating_duration_since(self.started))
    }
}

/// Nanoseconds until one token is earned. A rate of zero never earns one.
fn nanos_per_event(events: u64) -> u64 {
    1_000_000_000u64.checked_div(events).unwrap_or(u64::MAX)
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_seconds_of_tokens_can_be_spent_at_once_and_are_earned_back_one_by_one() {
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
    fn what_was_overdrawn_has_to_be_earned_first() {
        let bucket = TokenBucket::per_second(5);
        let start = bucket.started;
        bucket.overdraw(60, start);
        assert!(!bucket.has_any(start + Duration::from_millis(2_199)));
        assert!(bucket.has_any(start + Duration::from_millis(2_200)));
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
        assert!(bucket.take(50, start), "half of the bucket");
        bucket.set_rate(100);
        assert!(!bucket.take(501, start));
        assert!(bucket.take(500, start));
        assert!(!bucket.take(1, start + Duration::from_millis(9)));
        assert!(bucket.take(1, start + Duration::from_millis(10)));
        bucket.set_rate(0);
        assert!(!bucket.take(1, start + Duration::from_secs(5)));
        bucket.set_rate(1);
        assert!(!bucket.take(6, start + Duration::from_secs(5)));
        assert!(
            bucket.take(4, start + Duration::from_secs(5)),
            "the rate of zero neither added nor removed tokens"
        );
    }
}
