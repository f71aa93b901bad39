//! Who is at the other end of a socket, and how many WebSockets each address has.
//!
//! Only addresses with a connection are remembered, so there are never more of them than connections.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroUsize;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::node::Permit;

/// Bits of an IPv6 address that tell one customer from another: each has a network of his own to choose from.
const IPV6_NETWORK_BITS: u32 = 64;

/// The other end of a socket.
#[derive(Debug)]
pub(super) struct Caller {
    /// Its address; that of the client where a load balancer has said it.
    pub(super) address: IpAddr,
    _place: Permit,
}

impl Caller {
    pub(super) fn new(address: IpAddr, place: Permit) -> Self {
        // Where IPv4 comes through an IPv6 socket, it is still IPv4.
        Self { address: address.to_canonical(), _place: place }
    }
}

/// WebSockets by the address they come from.
#[derive(Debug, Default)]
pub(super) struct Addresses(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// One WebSocket's place among those of its address; dropping it gives it back.
#[derive(Debug)]
pub(super) struct AddressPermit {
    addresses: Arc<Mutex<HashMap<IpAddr, usize>>>,
    network: IpAddr,
}

impl Addresses {
    /// A place for one more from `address`, while there are fewer than `bound`. Counted also without a
    /// bound: the settings may bring one later.
    pub(super) fn take(&self, address: IpAddr, bound: Option<NonZeroUsize>) -> Option<AddressPermit> {
        let network = network(address);
        let mut addresses = self.0.lock();
        let taken = addresses.get(&network).copied().unwrap_or_default();
        if bound.is_some_and(|bound| taken >= bound.get()) {
            return None;
        }
        addresses.insert(network, taken + 1);
        Some(AddressPermit { addresses: Arc::clone(&self.0), network })
    }
}

impl Drop for AddressPermit {
    fn drop(&mut self) {
        let mut addresses = self.addresses.lock();
        match addresses.get_mut(&self.network) {
            Some(taken) if *taken > 1 => *taken -= 1,
            _ => drop(addresses.remove(&self.network)),
        }
        if addresses.is_empty() {
            // The room of a rush is given back.
            *addresses = HashMap::new();
        }
    }
}

/// What is counted as one address.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => {
            let host_bits = Ipv6Addr::BITS - IPV6_NETWORK_BITS;
            Ipv6Addr::from_bits(v6.to_bits() >> host_bits << host_bits).into()
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_place_is_free_again_when_it_is_left() {
        let (addresses, bound) = (Addresses::default(), NonZeroUsize::new(2));
        let take = |text| addresses.take(address(text), bound);
        let first = take("192.0.2.1").expect("the first");
        let second = take("192.0.2.1").expect("the second");
        assert!(take("192.0.2.1").is_none());
        let other = take("192.0.2.2").expect("another address");
        drop(first);
        drop((take("192.0.2.1").expect("the place that was left"), second, other));
        assert!(addresses.0.lock().is_empty(), "nobody is remembered");
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_one() {
        let (addresses, bound) = (Addresses::default(), NonZeroUsize::new(1));
        let _held = addresses.take(address("2001:db8::1"), bound).expect("the first");
        assert!(addresses.take(address("2001:db8::ffff:2"), bound).is_none());
        assert!(addresses.take(address("2001:db8:0:1::1"), bound).is_some());
    }
}
