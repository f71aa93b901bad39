//! Up to when users without items have been served, so that one with one item at a time comes no sooner than others.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// How long a debt of more than a turn is kept: after a pause the first item of a user is served like those of others.
const KEPT_FOR: Duration = Duration::from_secs(10);

/// Of so many users the times are kept. When there are more, those of the half that comes first are forgotten.
const KEPT_USERS: usize = 1_024;

/// When the next turn of users without items begins, in virtual time.
#[derive(Debug)]
pub(super) struct FinishTimes<K> {
    by_user: HashMap<K, FinishTime>,
    /// The latest time that was forgotten. A user that is not known begins no earlier: it may be one of those.
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
        Self { by_user: HashMap::new(), forgotten: 0 }
    }
}

impl<K: Eq + Hash> FinishTimes<K> {
    /// Keeps that the next turn of `user` begins at `start`, if that is after `now`. A time after `turn_end` is a debt.
    pub(super) fn insert(&mut self, user: K, start: u64, (now, turn_end): (u64, u64)) {
        if start <= now {
            return;
        }
        if self.by_user.len() >= KEPT_USERS {
            self.by_user.retain(|_, time| time.start > now);
        }
        if self.by_user.len() >= KEPT_USERS {
            self.forget_half();
        }
        let until = (start > turn_end).then(|| Instant::now() + KEPT_FOR);
        self.by_user.insert(user, FinishTime { start, until });
    }

    /// When the next turn of `user` begins at the earliest. What is known of it is forgotten here.
    pub(super) fn take(&mut self, user: &K) -> u64 {
        let Some(FinishTime { start, until }) = self.by_user.remove(user) else { return self.forgotten };
        if until.is_none_or(|until| Instant::now() < until) { start } else { 0 }
    }

    fn forget_half(&mut self) {
        let mut starts: Vec<_> = self.by_user.values().map(|time| time.start).collect();
        let middle = starts.len() / 2;
        let (_, median, _) = starts.select_nth_unstable(middle);
        self.forgotten = self.forgotten.max(*median);
        self.by_user.retain(|_, time| time.start > *median);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.by_user.len()
    }
}
