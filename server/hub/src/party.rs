//! The parties that share the time of workers: tenants with their WebSockets and their requests, client addresses with
//! requests whose token is not verified, and the node.

use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

/// A party that the time of a task is charged to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Party(u64);

impl Party {
    /// The node itself.
    pub const NODE: Self = Self(0);

    /// Another one than all before.
    pub fn new_tenant() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// That of a client address. `keys` is the same for all addresses.
    pub fn of_address(address: IpAddr, keys: &impl BuildHasher) -> Self {
        Self(keys.hash_one(address) | 1 << 63)
    }
}

/// Whom the time of a task is charged to, where that changes while it works.
#[derive(Debug)]
pub struct Payer {
    first: Party,
    party: AtomicU64,
}

impl Payer {
    /// `first`, until another one is named.
    pub fn new(first: Party) -> Self {
        Self { first, party: AtomicU64::new(first.0) }
    }

    /// Whom the time is charged to now.
    pub fn party(&self) -> Party {
        Party(self.party.load(Ordering::Relaxed))
    }

    /// Names another party.
    pub fn change_to(&self, party: Party) {
        self.party.store(party.0, Ordering::Relaxed);
    }

    /// Names the first one again.
    pub fn reset(&self) {
        self.change_to(self.first);
    }
}
