//! Whose filters the database is not asked for now: those of clients, and on tables, with many that took too long.
//!
//! A filter that takes too long is excluded alone at first. A client may have thousands of different ones, of which the changes of
//! others would wait for some in each batch.

use std::collections::HashMap;
use std::time::Duration;

use hub::ConnectionId;
use tokio::time::Instant;

/// So many different filters of one client may take too long, until none of its own is asked for. No setting: each costs others a part
/// of `database.query_timeout`, and a client with as many is not an accident.
const OF_CLIENT: u32 = 4;

/// As many on one table, of all clients together: one with many connections has more.
const OF_TABLE: u32 = 16;

/// What filters have in common.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum FilterSource {
    /// They are of one connection.
    Client(ConnectionId),
    /// They are on the table with this oid.
    Table(u32),
}

/// The sources of filters that took too long.
#[derive(Debug, Default)]
pub(super) struct SlowFilters(HashMap<FilterSource, SlowSource>);

#[derive(Debug)]
struct SlowSource {
    /// The different filters that took too long.
    count: u32,
    /// When the first of them did, or the one that is one too many.
    since: Instant,
}

impl FilterSource {
    const fn max(&self) -> u32 {
        match self {
            Self::Client(_) => OF_CLIENT,
            Self::Table(_) => OF_TABLE,
        }
    }
}

impl SlowFilters {
    /// Forgets those that took too long so long ago, and asks again for sources that were excluded as long.
    pub(super) fn forget_after(&mut self, pause: Duration, now: Instant) {
        self.0.retain(|_, source| now - source.since < pause);
    }

    /// Whether nothing took too long.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the database is not asked for filters of this source.
    pub(super) fn excludes(&self, source: &FilterSource) -> bool {
        self.0.get(source).is_some_and(|slow| slow.count >= source.max())
    }

    /// One more filter of the source took too long. Returns whether it is excluded from now on.
    pub(super) fn add(&mut self, source: FilterSource, now: Instant) -> bool {
        let max = source.max();
        let slow = self.0.entry(source).or_insert(SlowSource { count: 0, since: now });
        slow.count += 1;
        let is_new = slow.count == max;
        if is_new {
            slow.since = now;
        }
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_secs(60);
    const TABLE: FilterSource = FilterSource::Table(7);

    #[test]
    fn many_slow_filters_within_the_pause_exclude_their_source_for_as_long() {
        let (mut slow, begun) = (SlowFilters::default(), Instant::now());
        let mut now = begun;
        for _ in 1..OF_TABLE {
            assert!(!slow.add(TABLE, now) && !slow.excludes(&TABLE));
            now += PAUSE / 20;
            slow.forget_after(PAUSE, now);
        }
        assert!(slow.add(TABLE, now) && slow.excludes(&TABLE));
        assert!(!slow.add(TABLE, now), "it was excluded");
        assert!(!slow.excludes(&FilterSource::Table(8)));
        slow.forget_after(PAUSE, begun + PAUSE);
        assert!(slow.excludes(&TABLE), "the pause begins with the one too many");
        slow.forget_after(PAUSE, now + PAUSE);
        assert!(!slow.excludes(&TABLE) && slow.is_empty());
    }

    #[test]
    fn few_slow_filters_are_forgotten() {
        let (mut slow, mut now) = (SlowFilters::default(), Instant::now());
        for _ in 0..10 * OF_TABLE {
            assert!(!slow.add(TABLE, now));
            now += PAUSE / 10;
            slow.forget_after(PAUSE, now);
        }
    }
}
