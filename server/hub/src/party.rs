//! The parties that share the time of workers: tenants with their WebSockets, client addresses with HTTP, and the node.

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
