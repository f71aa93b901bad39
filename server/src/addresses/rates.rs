//! A rate for each client address, in constant memory.
//!
//! The addresses share a fixed number of buckets; each has two of them, by a hash with a random key. An address is over
//! its rate when both are empty. So it takes thousands of addresses at their limit to affect another one, and no client
//! can choose which.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::time::Instant;

use crate::token_bucket::TokenBucket;

/// 128 KiB.
const BUCKETS: usize = 4_096;

/// Token buckets of one rate, by address.
#[derive(Debug)]
pub struct AddressRates {
    buckets: Box<[TokenBucket]>,
    hasher: RandomState,
}

impl AddressRates {
    /// Full buckets of `events` per second.
    pub fn per_second(events: u64) -> Self {
        let buckets = (0..BUCKETS).map(|_| TokenBucket::per_second(events)).collect();
        Self { buckets, hasher: RandomState::new() }
    }

    /// Changes the rate of every address.
    pub fn set_rate(&self, events: u64) {
        self.buckets.iter().for_each(|bucket| bucket.set_rate(events));
    }

    /// Counts an event that `network` has caused.
    pub fn count(&self, network: IpAddr, now: Instant) {
        for bucket in self.of(network) {
            let _was_left = bucket.take(1, now);
        }
    }

    /// Whether `network` is below its rate.
    pub fn has_any(&self, network: IpAddr, now: Instant) -> bool {
        self.of(network).into_iter().any(|bucket| bucket.has_any(now))
    }

    fn of(&self, network: IpAddr) -> [&TokenBucket; 2] {
        let hash = self.hasher.hash_one(network);
        // Two halves of one hash are as good as two hashes.
        let [first, second] = [hash as u32, (hash >> 32) as u32].map(|half| half as usize % BUCKETS);
        let second = if first == second { (second + 1) % BUCKETS } else { second };
        [&self.buckets[first], &self.buckets[second]]
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn v4(n: u32) -> IpAddr {
        Ipv4Addr::from_bits(n).into()
    }

    #[test]
    fn an_address_is_over_its_rate_alone() {
        let (rates, now) = (AddressRates::per_second(1), Instant::now());
        for n in 0..10 {
            assert!(rates.has_any(v4(7), now), "{n}");
            rates.count(v4(7), now);
        }
        assert!(!rates.has_any(v4(7), now));
        assert!(rates.has_any(v4(8), now));
    }

    #[test]
    fn a_hundred_addresses_over_their_rate_affect_no_other() {
        let (rates, now) = (AddressRates::per_second(1), Instant::now());
        (0..100).for_each(|n| (0..10).for_each(|_| rates.count(v4(n), now)));
        let affected = (1_000..11_000).filter(|n| !rates.has_any(v4(*n), now)).count();
        // One in 430 is expected.
        assert!(affected < 100, "{affected} of 10,000");
    }
}
