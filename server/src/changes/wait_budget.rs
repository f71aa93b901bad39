//! How long the changes of a tenant wait for clients that read slowly, so that a burst is not lost to one that reads as fast as it
//! can. A client that is the only one is waited for, a second at once. Several have half of the time together, so that one which
//! reads slowly, or not at all, cannot stop the others.

use std::time::Duration;

use tokio::time::Instant;

use super::matching::Match;

/// The most that is waited at once.
const LONGEST: Duration = Duration::from_secs(1);

/// Who receives changes that are sent together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Receivers {
    One,
    Several,
}

impl Receivers {
    pub(super) fn of(matches: &[Match]) -> Self {
        let mut others = matches.iter().map(|one| one.subscriber.id);
        let first = others.next();
        if others.all(|other| Some(other) == first) { Self::One } else { Self::Several }
    }
}

/// What may be waited now.
#[derive(Debug)]
pub(super) struct WaitBudget {
    left: Duration,
    looked_at: Instant,
}

impl Default for WaitBudget {
    fn default() -> Self {
        Self { left: LONGEST, looked_at: Instant::now() }
    }
}

impl WaitBudget {
    /// A client has room again.
    pub(super) fn note_progress(&mut self, receivers: Receivers) {
        if receivers == Receivers::One {
            self.left = LONGEST;
        }
    }

    /// Takes so much of it, if it is there.
    pub(super) fn take(&mut self, receivers: Receivers, wait: Duration, now: Instant) -> bool {
        if receivers == Receivers::Several {
            self.left = (self.left + now.saturating_duration_since(self.looked_at) / 2).min(LONGEST);
        }
        self.looked_at = now;
        let is_there = self.left >= wait;
        if is_there {
            self.left -= wait;
        }
        is_there
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLL: Duration = Duration::from_millis(1);

    fn waited(budget: &mut WaitBudget, receivers: Receivers, now: &mut Instant) -> u32 {
        let mut waited = 0;
        while budget.take(receivers, POLL, *now) {
            *now += POLL;
            waited += 1;
        }
        waited
    }

    #[test]
    fn several_have_half_of_the_time() {
        let (mut budget, mut now) = (WaitBudget::default(), Instant::now());
        let first = waited(&mut budget, Receivers::Several, &mut now);
        assert!((1_900..=2_100).contains(&first), "a second, and half of the time meanwhile: {first}");
        now += Duration::from_millis(100);
        let later = waited(&mut budget, Receivers::Several, &mut now);
        assert!((90..=110).contains(&later), "{later}");
    }

    #[test]
    fn one_has_a_second_until_it_has_read_something() {
        let (mut budget, mut now) = (WaitBudget::default(), Instant::now());
        assert_eq!(waited(&mut budget, Receivers::One, &mut now), 1_000);
        now += Duration::from_secs(10);
        assert_eq!(waited(&mut budget, Receivers::One, &mut now), 0);
        budget.note_progress(Receivers::One);
        assert_eq!(waited(&mut budget, Receivers::One, &mut now), 1_000);
    }
}
