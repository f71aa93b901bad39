//! Filters that the database has answered in time a moment ago: they are asked for also while others of their clients, or on their
//! tables, are not.
//!
//! Each client has a share of them, so that one with thousands of filters uses up none of what others have.

use std::collections::hash_map::Entry;
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;
use tokio::time::Instant;
use wire::supabase::changes::FilterOperator;

/// Filters of all clients, which bounds memory, at some 500 kB. Others are not asked for while their source is excluded.
const ALL_MAX: usize = 10_000;

/// Filters of one client.
const PER_CLIENT_MAX: usize = 100;

/// Type, operator and value of a filter.
pub(super) type ComparedFilter = (u32, FilterOperator, Arc<str>);

/// When filters were answered in time, and the client `C` of which that was noted.
#[derive(Debug)]
pub(super) struct FiltersInTime<C> {
    hasher: RandomState,
    answered: FxHashMap<FilterKey, (Instant, C)>,
    /// How many are noted of each client.
    of_clients: FxHashMap<C, usize>,
}

/// Stands for a filter, whose texts are not kept: its hash with a random key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct FilterKey(u64);

impl<C> Default for FiltersInTime<C> {
    fn default() -> Self {
        Self { hasher: RandomState::new(), answered: FxHashMap::default(), of_clients: FxHashMap::default() }
    }
}

impl<C: Clone + Eq + Hash> FiltersInTime<C> {
    /// Whether a filter was answered in time a moment ago.
    pub(super) fn contains(&self, filter: &ComparedFilter) -> bool {
        self.answered.contains_key(&self.key(filter))
    }

    /// A filter was answered in time. Returns its key if that is to be [noted](Self::note) of its clients, because it was not known.
    pub(super) fn renew(&mut self, filter: &ComparedFilter, now: Instant) -> Option<FilterKey> {
        let key = self.key(filter);
        match self.answered.get_mut(&key) {
            Some((since, _)) => {
                *since = now;
                None
            }
            None => Some(key),
        }
    }

    /// A filter of a client was answered in time. Not noted if the client has used up its share.
    pub(super) fn note(&mut self, key: FilterKey, client: &C, now: Instant) {
        let of_client = self.of_clients.get(client).copied().unwrap_or(0);
        let has_place = self.answered.len() < ALL_MAX && of_client < PER_CLIENT_MAX;
        if let Entry::Vacant(place) = self.answered.entry(key)
            && has_place
        {
            place.insert((now, client.clone()));
            self.of_clients.insert(client.clone(), of_client + 1);
        }
    }

    /// A filter took too long.
    pub(super) fn remove(&mut self, filter: &ComparedFilter) {
        let key = self.key(filter);
        let Self { answered, of_clients, .. } = self;
        if let Some((_, client)) = answered.remove(&key) {
            give_back(of_clients, client);
        }
    }

    /// Forgets those that were not asked for in this time.
    pub(super) fn forget_after(&mut self, pause: Duration, now: Instant) {
        let Self { answered, of_clients, .. } = self;
        for (_, (_, client)) in answered.extract_if(|_, (since, _)| now - *since >= pause) {
            give_back(of_clients, client);
        }
    }

    fn key(&self, filter: &ComparedFilter) -> FilterKey {
        FilterKey(self.hasher.hash_one(filter))
    }
}

/// A client has one filter less.
fn give_back<C: Eq + Hash>(of_clients: &mut FxHashMap<C, usize>, client: C) {
    if let Entry::Occupied(mut count) = of_clients.entry(client) {
        *count.get_mut() -= 1;
        if *count.get() == 0 {
            count.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_secs(60);

    fn filter(value: &str) -> ComparedFilter {
        (25, FilterOperator::Ilike, value.into())
    }

    /// A filter of a client is answered in time.
    fn answer(in_time: &mut FiltersInTime<u32>, filter: &ComparedFilter, client: u32, now: Instant) {
        if let Some(key) = in_time.renew(filter, now) {
            in_time.note(key, &client, now);
        }
    }

    #[test]
    fn filters_in_time_are_so_until_they_are_slow_or_were_not_asked_for_long() {
        let (mut in_time, now) = (FiltersInTime::default(), Instant::now());
        let filters = ["a", "b"].map(filter);
        filters.iter().for_each(|filter| answer(&mut in_time, filter, 1, now));
        in_time.remove(&filters[0]);
        assert!(!in_time.contains(&filters[0]) && in_time.contains(&filters[1]));
        answer(&mut in_time, &filters[1], 1, now + PAUSE / 2);
        in_time.forget_after(PAUSE, now + PAUSE);
        assert!(in_time.contains(&filters[1]), "asked for again since");
        in_time.forget_after(PAUSE, now + 2 * PAUSE);
        assert!(!in_time.contains(&filters[1]) && in_time.of_clients.is_empty());
    }

    #[test]
    fn one_client_uses_up_no_more_than_its_share() {
        let (mut in_time, now) = (FiltersInTime::default(), Instant::now());
        let filters: Vec<_> = (0..ALL_MAX).map(|number| filter(&number.to_string())).collect();
        filters.iter().for_each(|filter| answer(&mut in_time, filter, 1, now));
        assert_eq!(filters.iter().filter(|filter| in_time.contains(filter)).count(), PER_CLIENT_MAX);
        // Also one that the first client has.
        let last = &filters[ALL_MAX - 1];
        answer(&mut in_time, last, 2, now);
        assert!(in_time.contains(last));
        in_time.remove(&filters[0]);
        answer(&mut in_time, last, 1, now);
        answer(&mut in_time, &filters[PER_CLIENT_MAX], 1, now);
        assert!(in_time.contains(&filters[PER_CLIENT_MAX]), "a place is free");
    }
}
