//! Names, by their hashes, of which the store has said a moment ago that there is no such tenant.
//!
//! A client that is refused often comes again at once, and a host name that is no tenant is part of each request: such a
//! name is looked up once in a second or two. A tenant that is added meanwhile, by a program that sends no notifications, is refused
//! for so long on nodes that were asked for it before.

use std::collections::HashSet;
use std::time::{Duration, Instant};

/// Names in each of two generations: 64 KiB together. Beyond that the older ones are forgotten.
const NAMES_MAX: usize = 4_096;

/// The age of a generation.
const KEPT: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct UnknownNames {
    recent: HashSet<u64>,
    older: HashSet<u64>,
    since: Instant,
}

impl UnknownNames {
    pub(super) fn new(now: Instant) -> Self {
        let (recent, older) = (HashSet::new(), HashSet::new());
        Self { recent, older, since: now }
    }

    /// Whether the store has said so within the last second, or a little before.
    pub(super) fn contains(&mut self, name: u64, now: Instant) -> bool {
        self.advance(now);
        self.recent.contains(&name) || self.older.contains(&name)
    }

    /// The store says that there is no such tenant.
    pub(super) fn add(&mut self, name: u64, now: Instant) {
        self.advance(now);
        if self.recent.len() >= NAMES_MAX {
            self.begin_generation(now);
        }
        self.recent.insert(name);
    }

    fn advance(&mut self, now: Instant) {
        let age = now.saturating_duration_since(self.since);
        if age >= KEPT {
            self.begin_generation(now);
        }
        if age >= KEPT * 2 {
            self.older = HashSet::new();
        }
    }

    fn begin_generation(&mut self, now: Instant) {
        self.older = std::mem::take(&mut self.recent);
        self.since = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_forgotten_after_a_while_and_when_there_are_many() {
        let now = Instant::now();
        let mut unknown = UnknownNames::new(now);
        unknown.add(1, now);
        assert!(unknown.contains(1, now) && !unknown.contains(2, now));
        assert!(unknown.contains(1, now + KEPT));
        assert!(!unknown.contains(1, now + KEPT * 3));
        for name in 0..100_000 {
            unknown.add(name, now);
        }
        assert!(unknown.recent.len() + unknown.older.len() <= 2 * NAMES_MAX);
        assert!(unknown.contains(99_999, now) && !unknown.contains(0, now));
    }
}
