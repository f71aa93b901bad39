//! The names of the tenants that the store has, as far as this node knows.
//!
//! Clients choose the names before they are authenticated, so a lookup of each made-up name would be a query for each
//! request of an attacker. This node has a list of all names instead: read with each refresh, and extended by every change
//! that it makes or is notified of. A name that is listed is looked up; one that is not may have been added by a program
//! that sends no notifications, so a few of them a second are looked up too. A name is kept as a hash, with a key that no client
//! knows: about 30 bytes. One that is listed although its tenant was deleted costs one query, after which it is not.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::timeout;

use super::unknown_names::UnknownNames;
use crate::token_bucket::TokenBucket;

/// Names that are not listed and are looked up, in a second on average. Three queries are no load for a database, and enough
/// to find a tenant that another program has just added, unless made-up names use them up: then the next refresh does.
const UNLISTED_PER_SECOND: u64 = 3;

/// How long a lookup waits for the first list. Longer than it takes to read, and shorter than clients wait.
const FIRST_LIST_MAX: Duration = Duration::from_secs(1);

/// The list.
#[derive(Debug)]
pub(super) struct Names {
    hasher: RandomState,
    list: Mutex<List>,
    unlisted: TokenBucket,
    is_read: watch::Sender<bool>,
}

#[derive(Debug)]
struct List {
    /// By hash, the number of the change that has listed it.
    listed: HashMap<u64, u64>,
    /// The number of the last change.
    changes: u64,
    unknown: UnknownNames,
}

/// What is known of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Listing {
    /// There is such a tenant, or was when this number of changes had been seen.
    Listed(ChangeNumber),
    /// None is known, and a lookup may be tried.
    Unlisted,
    /// None is known, and no lookup may be tried now.
    Unknown,
}

/// How many changes had been seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ChangeNumber(u64);

impl Default for Names {
    fn default() -> Self {
        let unknown = UnknownNames::new(Instant::now());
        Self {
            hasher: RandomState::new(),
            list: Mutex::new(List { listed: HashMap::new(), changes: 0, unknown }),
            unlisted: TokenBucket::per_second(UNLISTED_PER_SECOND),
            is_read: watch::Sender::new(false),
        }
    }
}

impl Names {
    /// Lists a name: there may be such a tenant, or another version of it, from now on.
    pub(super) fn add(&self, name: &str) {
        let hash = self.hasher.hash_one(name);
        let mut list = self.list.lock();
        list.changes += 1;
        let number = list.changes;
        list.listed.insert(hash, number);
    }

    /// What is known of a name.
    pub(super) fn listing(&self, name: &str) -> Listing {
        let hash = self.hasher.hash_one(name);
        let now = Instant::now();
        let mut list = self.list.lock();
        if let Some(number) = list.listed.get(&hash) {
            return Listing::Listed(ChangeNumber(*number));
        }
        let may_be_tried = !list.unknown.contains(hash, now) && self.unlisted.has_any(now);
        if may_be_tried { Listing::Unlisted } else { Listing::Unknown }
    }

    /// As [`listing`](Self::listing), and spends one of the lookups of unlisted names if that is what it is.
    pub(super) fn begin_lookup(&self, name: &str) -> Listing {
        match self.listing(name) {
            Listing::Unlisted if !self.unlisted.take(1, Instant::now()) => Listing::Unknown,
            listing => listing,
        }
    }

    /// Whether nothing has been noted about the name since `listing`.
    pub(super) fn is_unchanged(&self, name: &str, listing: Listing) -> bool {
        let hash = self.hasher.hash_one(name);
        match (self.list.lock().listed.get(&hash), listing) {
            (Some(now), Listing::Listed(before)) => *now == before.0,
            (Some(_), _) => false,
            (None, _) => true,
        }
    }

    /// A lookup that began with `listing` has found no such tenant.
    pub(super) fn note_absent(&self, name: &str, listing: Listing) {
        let hash = self.hasher.hash_one(name);
        let mut list = self.list.lock();
        match listing {
            Listing::Listed(before) if list.listed.get(&hash) == Some(&before.0) => {
                list.listed.remove(&hash);
            }
            Listing::Listed(_) => {}
            Listing::Unlisted | Listing::Unknown => list.unknown.add(hash, Instant::now()),
        }
    }

    /// How many changes have been seen before the list is read.
    pub(super) fn begin_reading(&self) -> ChangeNumber {
        ChangeNumber(self.list.lock().changes)
    }

    /// Replaces the list by what was read since `began`, and by the changes that were noted meanwhile.
    pub(super) fn finish_reading<'a>(&self, began: ChangeNumber, read: impl Iterator<Item = &'a String>) {
        let read = read.map(|name| (self.hasher.hash_one(name.as_str()), began.0));
        let mut listed: HashMap<_, _> = read.collect();
        let mut list = self.list.lock();
        listed.extend(list.listed.iter().filter(|(_, number)| **number > began.0));
        list.listed = listed;
        drop(list);
        self.is_read.send_replace(true);
    }

    /// Whether the list was read once.
    pub(super) fn is_read(&self) -> bool {
        *self.is_read.borrow()
    }

    /// Waits for the first list, but not long.
    pub(super) async fn until_read(&self) {
        let mut is_read = self.is_read.subscribe();
        let _in_time = timeout(FIRST_LIST_MAX, is_read.wait_for(|is_read| *is_read)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(names: &Names, listed: &[&str]) {
        let listed: Vec<_> = listed.iter().map(|name| (*name).to_owned()).collect();
        names.finish_reading(names.begin_reading(), listed.iter());
    }

    #[test]
    fn of_many_names_that_are_not_listed_few_are_looked_up() {
        let names = Names::default();
        read(&names, &["acme"]);
        let tried = (0..20_000).filter(|n| names.begin_lookup(&format!("made-up-{n}")) == Listing::Unlisted);
        assert!(tried.count() <= 100);
        assert!(matches!(names.begin_lookup("acme"), Listing::Listed(_)));
        names.add("new");
        assert!(matches!(names.begin_lookup("new"), Listing::Listed(_)));
    }

    #[test]
    fn what_changes_while_the_list_is_read_stays_listed() {
        let names = Names::default();
        names.add("before");
        let began = names.begin_reading();
        names.add("meanwhile");
        names.finish_reading(began, [].iter());
        assert_eq!(names.listing("before"), Listing::Unlisted);
        assert!(matches!(names.listing("meanwhile"), Listing::Listed(_)));
    }

    #[test]
    fn a_tenant_that_is_gone_is_listed_no_more_unless_it_has_changed_since() {
        let names = Names::default();
        names.add("acme");
        let began = names.begin_lookup("acme");
        names.add("acme");
        assert!(!names.is_unchanged("acme", began));
        names.note_absent("acme", began);
        assert!(matches!(names.listing("acme"), Listing::Listed(_)));
        names.note_absent("acme", names.listing("acme"));
        assert_eq!(names.listing("acme"), Listing::Unlisted);
        names.note_absent("acme", Listing::Unlisted);
        assert_eq!(names.listing("acme"), Listing::Unknown, "it is not looked up again at once");
    }
}
