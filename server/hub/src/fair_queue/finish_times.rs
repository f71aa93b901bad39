//! Up to when parties without items have been served, so that one with one item at a time comes no sooner than others.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// How long a debt of more than a turn is kept: after a pause the first item of a party is served like those of others.
const KEPT_FOR: Duration = Duration::from_secs(10);

/// Of so many parties the times are kept. When there are more, those that have passed are forgotten, and if that is less
/// than half, those of the half that comes first as well. So all of them are looked at once in hundreds of calls.
const KEPT_PARTIES: usize = 1_024;

/// When the next turn of parties without items begins, in virtual time.
#[derive(Debug)]
pub(super) struct FinishTimes<K> {
    by_party: HashMap<K, FinishTime>,
    /// The latest time that was forgotten. A party that is not known begins no earlier: it may be one of those.
    forgotten: u64,
}

#[derive(Debug)]
struct FinishTime {
    start: u64,
    /// For a debt of more than a turn.
    until: Option<Instant>,
}

impl<K> Default for FinishTimes<K> {
    fn default() -> Self {
        Self { by_party: HashMap::new(), forgotten: 0 }
    }
}

impl<K: Eq + Hash> FinishTimes<K> {
    /// Keeps that the next turn of `party` begins at `start`, if that is after `now`. A time after `turn_end` is a debt.
    pub(super) fn insert(&mut self, party: K, start: u64, (now, turn_end): (u64, u64)) {
        if start <= now {
            return;
        }
        if self.by_party.len() >= KEPT_PARTIES {
            self.by_party.retain(|_, time| time.start > now);
            if self.by_party.len() > KEPT_PARTIES / 2 {
                self.forget_half();
            }
        }
        let until = (start > turn_end).then(|| Instant::now() + KEPT_FOR);
        self.by_party.insert(party, FinishTime { start, until });
    }

    /// When the next turn of `party` begins at the earliest. What is known of it is forgotten here.
    pub(super) fn take(&mut self, party: &K) -> u64 {
        let Some(FinishTime { start, until }) = self.by_party.remove(party) else { return self.forgotten };
        if until.is_none_or(|until| Instant::now() < until) { start } else { 0 }
    }

    fn forget_half(&mut self) {
        let mut starts: Vec<_> = self.by_party.values().map(|time| time.start).collect();
        let middle = starts.len() / 2;
        let (_, median, _) = starts.select_nth_unstable(middle);
        self.forgotten = self.forgotten.max(*median);
        self.by_party.retain(|_, time| time.start > *median);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.by_party.len()
    }
}
