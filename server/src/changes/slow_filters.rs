//! Whose filters the database is not asked for now: those of clients, and on tables, with many that took too long.
//!
//! A filter that takes too long is excluded alone at first. A client may have thousands of different ones, of which the changes of
//! others would wait for some in each batch. Those that have answered in time are still asked, so that one client with many connections
//! ends no filters of others on its table; unless as many again take too long, because a row has a value that is slow with all.

use std::collections::HashMap;
use std::time::Duration;

use hub::ConnectionId;
use tokio::time::Instant;

/// So many times as many filters may take too long on one table as of one client.
const OF_TABLE: u32 = 4;

/// What filters have in common.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum FilterSource {
    /// They are of one connection.
    Client(ConnectionId),
    /// They are on the table with this oid.
    Table(u32),
}

/// Which filters of a source the database is not asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ExcludedFilters {
    None,
    /// Those that were not answered in time a moment ago.
    AllButInTime,
    All,
}

/// The sources of filters that took too long.
#[derive(Debug, Default)]
pub(super) struct SlowFilters(HashMap<FilterSource, SlowSource>);

#[derive(Debug)]
struct SlowSource {
    /// The different filters that took too long.
    count: u32,
    /// When the first of them did, or the last one that has excluded more.
    since: Instant,
}

impl FilterSource {
    /// How many filters of the source may take too long, given the maximum for a client.
    const fn max(&self, of_client: u32) -> u32 {
        match self {
            Self::Client(_) => of_client,
            Self::Table(_) => of_client.saturating_mul(OF_TABLE),
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

    /// What the database is not asked for, if so many filters of a client may take too long.
    pub(super) fn excluded(&self, source: &FilterSource, of_client: u32) -> ExcludedFilters {
        let (count, max) = (self.0.get(source).map_or(0, |slow| slow.count), source.max(of_client));
        match count {
            count if count < max => ExcludedFilters::None,
            count if count - max < max => ExcludedFilters::AllButInTime,
            _ => ExcludedFilters::All,
        }
    }

    /// One more filter of the source took too long, of which a client may have so many. Returns whether more is excluded from now on.
    pub(super) fn add(&mut self, source: FilterSource, of_client: u32, now: Instant) -> bool {
        let before = self.excluded(&source, of_client);
        let slow = self.0.entry(source.clone()).or_insert(SlowSource { count: 0, since: now });
        slow.count += 1;
        let is_new = self.excluded(&source, of_client) > before;
        if is_new && let Some(slow) = self.0.get_mut(&source) {
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
    const OF_CLIENT: u32 = 4;
    const MAX: u32 = OF_CLIENT * OF_TABLE;

    fn of_table(slow: &SlowFilters) -> ExcludedFilters {
        slow.excluded(&TABLE, OF_CLIENT)
    }

    #[test]
    fn many_slow_filters_within_the_pause_exclude_those_of_their_source_that_were_not_in_time_for_as_long() {
        let (mut slow, begun) = (SlowFilters::default(), Instant::now());
        let mut now = begun;
        for _ in 1..MAX {
            assert!(!slow.add(TABLE, OF_CLIENT, now) && of_table(&slow) == ExcludedFilters::None);
            now += PAUSE / 20;
            slow.forget_after(PAUSE, now);
        }
        assert!(slow.add(TABLE, OF_CLIENT, now) && of_table(&slow) == ExcludedFilters::AllButInTime);
        assert!(!slow.add(TABLE, OF_CLIENT, now), "they were excluded");
        assert_eq!(slow.excluded(&FilterSource::Table(8), OF_CLIENT), ExcludedFilters::None);
        slow.forget_after(PAUSE, begun + PAUSE);
        assert_eq!(of_table(&slow), ExcludedFilters::AllButInTime, "the pause begins with the one too many");
        slow.forget_after(PAUSE, now + PAUSE);
        assert!(of_table(&slow) == ExcludedFilters::None && slow.is_empty());
    }

    #[test]
    fn as_many_again_exclude_all() {
        let (mut slow, now) = (SlowFilters::default(), Instant::now());
        let count = (0..3 * MAX).filter(|_| slow.add(TABLE, OF_CLIENT, now)).count();
        assert_eq!((count, of_table(&slow)), (2, ExcludedFilters::All));
    }

    #[test]
    fn few_slow_filters_are_forgotten() {
        let (mut slow, mut now) = (SlowFilters::default(), Instant::now());
        for _ in 0..10 * MAX {
            assert!(!slow.add(TABLE, OF_CLIENT, now));
            now += PAUSE / 10;
            slow.forget_after(PAUSE, now);
        }
    }
}
