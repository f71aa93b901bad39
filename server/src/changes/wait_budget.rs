//! How long the changes of a tenant wait for clients that read slowly, so that a burst is not lost to one that reads as fast as it
//! can. A client that is the only one is waited for, a second at once. Several have half of the time together, so that one which
//! reads slowly, or not at all, cannot stop the others.

use std::time::Duration;

use tokio::time::Instant;

use super::matching::Matches;

/// The most that is waited at once.
const LONGEST: Duration = Duration::from_secs(1);

/// Who receives changes that are sent together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Receivers {
    One,
    Several,
}

impl Receivers {
    pub(super) fn of(matches: &Matches) -> Self {
        let mut others = matches.found.iter().map(|one| matches.candidate(*one).subscriber.id);
        let first = others.next();
        if others.all(|other| Some(other) == first) { Self::One } else { Self::Several }
    }
}

/// What may be waited now.
#[derive(Debug)]
pub(super) struct WaitBudget {
    left: Duration,
    /// What was waited beyond that: a wait of the runtime takes a millisecond at least.
    overdrawn: Duration,
    looked_at: Instant,
    is_waiting: bool,
}

impl Default for WaitBudget {
    fn default() -> Self {
        Self { left: LONGEST, overdrawn: Duration::ZERO, looked_at: Instant::now(), is_waiting: false }
    }
}

impl WaitBudget {
    /// A client has room.
    pub(super) fn note_progress(&mut self, receivers: Receivers, now: Instant) {
        self.account(receivers, now);
        self.is_waiting = false;
        if receivers == Receivers::One {
            (self.left, self.overdrawn) = (LONGEST, Duration::ZERO);
        }
    }

    /// How long a client without room may be waited for from now on, at most.
    pub(super) fn may_wait(&mut self, receivers: Receivers, now: Instant) -> Option<Duration> {
        self.account(receivers, now);
        self.is_waiting = !self.left.is_zero();
        self.is_waiting.then_some(self.left)
    }

    /// The time since it was looked at last was waited, or else may be waited once more.
    fn account(&mut self, receivers: Receivers, now: Instant) {
        let passed = now.saturating_duration_since(self.looked_at);
        self.looked_at = now;
        if self.is_waiting {
            self.overdrawn = (self.overdrawn + passed.saturating_sub(self.left)).min(LONGEST);
            self.left = self.left.saturating_sub(passed);
        } else if receivers == Receivers::Several {
            let earned = passed.saturating_sub(self.overdrawn);
            self.overdrawn = self.overdrawn.saturating_sub(passed);
            self.left = (self.left + earned).min(LONGEST);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Waits take longer than they should, as on a machine that has something else to do.
    fn waited(budget: &mut WaitBudget, receivers: Receivers, now: &mut Instant) -> Duration {
        let begun = *now;
        while budget.may_wait(receivers, *now).is_some() {
            *now += Duration::from_millis(3);
        }
        *now - begun
    }

    #[test]
    fn several_have_half_of_the_time() {
        let (mut budget, mut now) = (WaitBudget::default(), Instant::now());
        let first = waited(&mut budget, Receivers::Several, &mut now);
        assert!(first >= LONGEST && first < LONGEST + Duration::from_millis(5), "{first:?}");
        now += Duration::from_millis(100);
        let later = waited(&mut budget, Receivers::Several, &mut now);
        assert!(later >= Duration::from_millis(95) && later < Duration::from_millis(105), "{later:?}");
    }

    #[test]
    fn several_have_no_more_than_half_however_short_their_waits_are() {
        let (mut budget, begun) = (WaitBudget::default(), Instant::now());
        let (mut now, mut all_waited) = (begun, Duration::ZERO);
        for _ in 0..10_000 {
            all_waited += waited(&mut budget, Receivers::Several, &mut now);
            now += Duration::from_micros(100);
        }
        let half = (now - begun) / 2;
        assert!(all_waited <= half + LONGEST, "{all_waited:?} of {half:?}");
    }

    #[test]
    fn one_has_a_second_until_it_has_read_something() {
        let (mut budget, mut now) = (WaitBudget::default(), Instant::now());
        assert!(waited(&mut budget, Receivers::One, &mut now) >= LONGEST);
        now += Duration::from_secs(10);
        assert_eq!(waited(&mut budget, Receivers::One, &mut now), Duration::ZERO);
        budget.note_progress(Receivers::One, now);
        assert!(waited(&mut budget, Receivers::One, &mut now) >= LONGEST);
    }
}
