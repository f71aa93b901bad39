//! What lines that have ended used beyond their turns, so that a user with one costly item at a time pays for it too.

use std::collections::HashMap;
use std::hash::Hash;
use std::mem;
use std::time::{Duration, Instant};

/// How long the debt of a user without items is kept: after a pause its first item is served like those of others.
const KEPT_FOR: Duration = Duration::from_secs(10);

/// Of so many users that ended last the debts are kept at least, and of twice as many at most.
const KEPT_USERS: usize = 512;

/// When the next turn of users without items begins, in virtual time.
#[derive(Debug)]
pub(super) struct Debts<K> {
    newer: HashMap<K, Debt>,
    older: HashMap<K, Debt>,
}

#[derive(Debug)]
struct Debt {
    start: u64,
    until: Instant,
}

impl<K> Default for Debts<K> {
    fn default() -> Self {
        Self { newer: HashMap::new(), older: HashMap::new() }
    }
}

impl<K: Eq + Hash> Debts<K> {
    pub(super) fn insert(&mut self, user: K, start: u64) {
        if self.newer.len() >= KEPT_USERS {
            self.older = mem::take(&mut self.newer);
        }
        self.newer.insert(user, Debt { start, until: Instant::now() + KEPT_FOR });
    }

    /// When the next turn of `user` begins, if it has a debt. That is forgotten here.
    pub(super) fn take(&mut self, user: &K) -> Option<u64> {
        if self.newer.is_empty() && self.older.is_empty() {
            return None;
        }
        let older = self.older.remove(user);
        let debt = self.newer.remove(user).or(older)?;
        (Instant::now() < debt.until).then_some(debt.start)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.newer.len() + self.older.len()
    }
}
