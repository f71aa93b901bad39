//! Who may wait for keys that are being fetched.
//!
//! A token that waits is not verified, so anyone can let many of them wait. The waits of a node are bounded; tenants have
//! [shares](hub::share) of them, and so do addresses of those of a tenant. So there is always room for another tenant, and
//! for another address of the same tenant. Only addresses without limits may have all those of a tenant.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hub::{HALF, share};

use crate::addresses::Addresses;
use crate::permit::{Permit, Permits};
use crate::telemetry::codes::Code;

/// Further tokens of a tenant cannot wait for its keys now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TooManyWaiting {
    /// The tenant has as many as it may have (`auth.jwks_max_waiting`), or the address its share of them.
    #[error("too many tokens wait for the keys of this tenant")]
    OfTenant,
    /// The tenant or the address has its share of what the node has left (`server.max_waiting_for_keys`).
    #[error("too many tokens wait for keys")]
    OfServer,
}

impl TooManyWaiting {
    /// The operational code.
    pub fn code(self) -> Code {
        match self {
            Self::OfTenant => Code::JwksWaitLimitReached,
            Self::OfServer => Code::ServerJwksWaitLimitReached,
        }
    }
}

/// The waits of all tenants of a node.
#[derive(Debug)]
pub(super) struct NodeWaits {
    in_use: Permits,
    max: AtomicUsize,
}

/// The waits of one tenant.
#[derive(Debug)]
pub(super) struct TenantWaits {
    node: Arc<NodeWaits>,
    by_address: Addresses,
}

/// The right to wait.
#[derive(Debug)]
pub(super) struct Wait {
    _permits: [Permit; 2],
}

impl NodeWaits {
    pub(super) fn new(max: usize) -> Self {
        Self { in_use: Permits::default(), max: max.into() }
    }

    pub(super) fn set_max(&self, max: usize) {
        self.max.store(max, Ordering::Relaxed);
    }
}

impl TenantWaits {
    pub(super) fn new(node: Arc<NodeWaits>) -> Self {
        Self { node, by_address: Addresses::default() }
    }

    /// The right to wait for a token from `network`, in a tenant that may have `max` of them. `None` has no limit per address.
    pub(super) fn acquire(&self, network: Option<IpAddr>, max: usize) -> Result<Wait, TooManyWaiting> {
        let node_max = self.node.max.load(Ordering::Relaxed);
        let of_server = share(node_max.saturating_sub(self.node.in_use.in_use()), HALF);
        let error = if max <= of_server { TooManyWaiting::OfTenant } else { TooManyWaiting::OfServer };
        // The share of an address is within the lower of the two, so the tenant has no more than that.
        let of_address = self.by_address.acquire_share(network, max.min(of_server)).ok_or(error)?;
        let of_node = self.node.in_use.acquire(node_max).ok_or(TooManyWaiting::OfServer)?;
        Ok(Wait { _permits: [of_address, of_node] })
    }
}

#[cfg(test)]
mod tests {
    use std::iter;
    use std::net::Ipv4Addr;

    use super::*;

    fn address(n: u8) -> Option<IpAddr> {
        Some(Ipv4Addr::new(192, 0, 2, n).into())
    }

    /// As many waits as this address gets.
    fn all(tenant: &TenantWaits, n: u8, max: usize) -> Vec<Wait> {
        iter::from_fn(|| tenant.acquire(address(n), max).ok()).collect()
    }

    #[test]
    fn each_tenant_and_each_of_its_addresses_gets_a_share() {
        let node = Arc::new(NodeWaits::new(100));
        let (a, b) = (TenantWaits::new(Arc::clone(&node)), TenantWaits::new(Arc::clone(&node)));
        let first = all(&a, 1, usize::MAX);
        let second = all(&a, 2, usize::MAX);
        assert!(first.len() > 20 && !second.is_empty(), "{} {}", first.len(), second.len());
        let others: Vec<_> = (3..=254).flat_map(|n| all(&a, n, usize::MAX)).collect();
        let of_a = first.len() + second.len() + others.len();
        assert!((40..=50).contains(&of_a), "half of them: {of_a}");
        assert!(all(&b, 1, usize::MAX).len() > 10);
        drop((first, second, others));
        assert_eq!(node.in_use.in_use(), 0);
    }

    #[test]
    fn a_tenant_may_have_less_than_its_share() {
        let node = Arc::new(NodeWaits::new(100));
        let a = TenantWaits::new(Arc::clone(&node));
        let waits: Vec<_> = (0..=254).flat_map(|n| all(&a, n, 10)).collect();
        assert_eq!(waits.len(), 10);
        assert_eq!(a.acquire(None, 10).err(), Some(TooManyWaiting::OfTenant), "without a limit per address");
        assert_eq!(a.acquire(address(1), 10).err(), Some(TooManyWaiting::OfTenant));
        node.set_max(0);
        assert_eq!(TenantWaits::new(node).acquire(address(1), 10).err(), Some(TooManyWaiting::OfServer));
    }
}
