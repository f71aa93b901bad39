//! Names of which the sources have said a moment ago that there is no such tenant.
//!
//! Clients choose the names before they are authenticated, and one that is refused often comes again at once: its name
//! is not looked up again each time. A name is remembered as a hash, with a key that no client knows, for a second or
//! two; a tenant that is added meanwhile is refused for so long on nodes that were asked for it before.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

/// Names in each of two generations: 64 KiB together. Beyond that the older ones are forgotten.
const NAMES_MAX: usize = 4_096;

/// The age of a generation.
const KEPT: Duration = Duration::from_secs(1);

pub(super) struct UnknownNames {
    hasher: RandomState,
    recent: HashSet<u64>,
    older: HashSet<u64>,
    since: Instant,
}

impl UnknownNames {
    pub(super) fn new(now: Instant) -> Self {
        let (recent, older) = (HashSet::new(), HashSet::new());
        Self { hasher: RandomState::new(), recent, older, since: now }
    }

    /// Whether the sources have said so within the last second, or a little before.
    pub(super) fn contains(&mut self, name: &str, now: Instant) -> bool {
        self.advance(now);
        let hash = self.hasher.hash_one(name);
        self.recent.contains(&hash) || self.older.contains(&hash)
    }

    /// The sources say that there is no such tenant.
    pub(super) fn add(&mut self, name: &str, now: Instant) {
        self.advance(now);
        if self.recent.len() >= NAMES_MAX {
            self.begin_generation(now);
        }
        self.recent.insert(self.hasher.hash_one(name));
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
        unknown.add("a", now);
        assert!(unknown.contains("a", now) && !unknown.contains("b", now));
        assert!(unknown.contains("a", now + KEPT));
        assert!(!unknown.contains("a", now + KEPT * 3));
        for number in 0..100_000 {
            unknown.add(&number.to_string(), now);
        }
        assert!(unknown.recent.len() + unknown.older.len() <= 2 * NAMES_MAX);
        assert!(unknown.contains("99999", now) && !unknown.contains("0", now));
    }
}
