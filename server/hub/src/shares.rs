//! How parties share something bounded, such as the tenants of a node a queue, or client addresses the places to wait.
//!
//! What a party may have depends on what is left free, as in the shared buffers of switches (dynamic thresholds; Choudhury
//! and Hahne, «Dynamic queue length thresholds», 1998). As long as anything is left, a party that has nothing may have some
//! of it, without a reserve that would lie idle otherwise, and no list of parties is needed. What it asks for at once may be
//! more than its share, and is refused then. [`share`] is this rule, and the only place of it.
//!
//! [`Shares`] counts what each party has, where nothing else does. It takes the memory of the parties that have something.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

/// The percentage with which a party may have as much as is left free: half of all while no other has any, a third each
/// for two.
pub const HALF: u8 = 50;

/// How much one party may have of something of which `free` is left beside its own: so many percent of both together. The
/// less is left, the less it may have, and something as long as anything is.
pub fn share(free: usize, percent: u8) -> usize {
    let percent = usize::from(percent);
    match 100_usize.saturating_sub(percent) {
        0 => usize::MAX,
        of_others => free.saturating_mul(percent).div_ceil(of_others),
    }
}

/// What each party has of something bounded. It is not locked: its owner does that.
///
/// The capacity is an argument of each call, because a reload may change it. Lowering it takes nothing back.
#[derive(Debug)]
pub struct Shares<K> {
    /// Of the parties that have something.
    by_party: HashMap<K, usize>,
    total: usize,
}

impl<K> Default for Shares<K> {
    fn default() -> Self {
        Self { by_party: HashMap::new(), total: 0 }
    }
}

impl<K: Eq + Hash> Shares<K> {
    /// What all parties have together.
    pub fn total(&self) -> usize {
        self.total
    }

    /// What `party` has.
    pub fn of<Q: Eq + Hash + ?Sized>(&self, party: &Q) -> usize
    where
        K: Borrow<Q>,
    {
        self.by_party.get(party).copied().unwrap_or_default()
    }

    /// Takes `amount` for `party` if it may have as much: at most what is left free of `capacity` beside its own. Returns
    /// whether it may.
    #[must_use]
    pub fn try_take<Q>(&mut self, party: &Q, amount: usize, capacity: usize) -> bool
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ToOwned<Owned = K> + ?Sized,
    {
        let free = capacity.saturating_sub(self.total);
        let is_share = self.of(party).saturating_add(amount) <= share(free, HALF);
        if is_share {
            self.take(party, amount);
        }
        is_share
    }

    /// Takes `amount` for `party`, whatever is left: for what has a limit of its own.
    pub fn take<Q>(&mut self, party: &Q, amount: usize)
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ToOwned<Owned = K> + ?Sized,
    {
        if amount == 0 {
            return;
        }
        self.total += amount;
        match self.by_party.get_mut(party) {
            Some(own) => *own += amount,
            None => drop(self.by_party.insert(party.to_owned(), amount)),
        }
    }

    /// Gives back `amount` of what `party` has, at most all of it.
    pub fn give_back<Q: Eq + Hash + ?Sized>(&mut self, party: &Q, amount: usize)
    where
        K: Borrow<Q>,
    {
        let Some(own) = self.by_party.get_mut(party) else { return };
        let amount = amount.min(*own);
        *own -= amount;
        self.total -= amount;
        if *own == 0 {
            self.by_party.remove(party);
        }
        if self.total == 0 {
            // Returns the memory that many parties needed.
            self.by_party = HashMap::new();
        }
    }

    /// Divides what each party has, rounded down.
    pub fn divide(&mut self, divisor: usize) {
        self.by_party.retain(|_, own| {
            *own /= divisor;
            *own > 0
        });
        self.total = self.by_party.values().sum();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What each of so many parties has, when they take one at a time in turns as long as any may.
    fn in_turns(parties: u8, capacity: usize) -> Vec<usize> {
        let mut shares = Shares::<u8>::default();
        while (0..parties).filter(|party| shares.try_take(party, 1, capacity)).count() > 0 {}
        (0..parties).map(|party| shares.of(&party)).collect()
    }

    #[test]
    fn one_party_gets_half_and_two_get_a_third_each() {
        assert_eq!(in_turns(1, 900), [450]);
        assert_eq!(in_turns(2, 900), [300, 300]);
        assert_eq!(in_turns(8, 900), [100; 8]);
        assert_eq!(in_turns(3, 1), [1, 0, 0]);
    }

    #[test]
    fn parties_get_a_percentage_of_what_others_leave() {
        /// What each party has that takes as much as it may, one party after the other.
        fn taken<const PARTIES: usize>(all: usize, percent: u8) -> [usize; PARTIES] {
            let mut free = all;
            std::array::from_fn(|_| {
                let mut own = 0;
                while free > 0 && own < share(free, percent) {
                    (own, free) = (own + 1, free - 1);
                }
                own
            })
        }
        assert_eq!(taken(100, 90), [90, 9, 1]);
        assert_eq!(taken(100, HALF), [50, 25, 13]);
        assert_eq!(taken(3, 90), [3, 0], "of so few one may have all");
        assert_eq!(taken(8, 10), [1, 1, 1, 1], "anyone gets something as long as there is any");
        assert_eq!(taken(100, 100), [100, 0]);
    }

    #[test]
    fn what_is_divided_stays_in_proportion() {
        let mut shares = Shares::<String>::default();
        for (party, amount) in [("a", 100), ("b", 59), ("c", 9)] {
            shares.take(party, amount);
        }
        shares.divide(10);
        assert_eq!((shares.of("a"), shares.of("b"), shares.of("c"), shares.total()), (10, 5, 0, 15));
        assert_eq!(shares.by_party.len(), 2);
    }

    proptest! {
        /// Whatever is taken and given back: the sum is within the capacity, none has more than the rule allows, and one
        /// with nothing finds something as long as anything is left.
        #[test]
        fn all_shares_are_within_the_capacity(
            steps in proptest::collection::vec((0..6_u8, 0..40_usize, any::<bool>()), 1..200)
        ) {
            const CAPACITY: usize = 200;
            let mut shares = Shares::<u8>::default();
            for (party, amount, gives_back) in steps {
                let (own, free) = (shares.of(&party), CAPACITY - shares.total());
                if gives_back {
                    shares.give_back(&party, amount);
                    prop_assert_eq!(shares.of(&party), own.saturating_sub(amount));
                } else {
                    let is_taken = shares.try_take(&party, amount, CAPACITY);
                    prop_assert_eq!(is_taken, own + amount <= free);
                    prop_assert_eq!(shares.of(&party), own + if is_taken { amount } else { 0 });
                }
                prop_assert_eq!(shares.total(), shares.by_party.values().sum::<usize>());
                prop_assert!(shares.total() <= CAPACITY && shares.by_party.values().all(|own| *own > 0));
                if shares.total() < CAPACITY {
                    prop_assert!(shares.try_take(&u8::MAX, 1, CAPACITY));
                    shares.give_back(&u8::MAX, 1);
                }
            }
        }
    }
}
