//! What each client address has of something, such as its WebSockets.
//!
//! Only addresses that have one are kept, so there are never more of them than what is counted.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroUsize;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::permit::{Permit, PermitPool};

/// Bits of an IPv6 address that identify one customer of a provider, who has a whole network to choose addresses from.
const IPV6_NETWORK_BITS: u32 = 64;

/// Permits in use, by the address that holds them.
#[derive(Debug, Clone, Default)]
pub struct Addresses(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// Where the permits of one address are returned to.
struct AddressPool {
    addresses: Addresses,
    network: IpAddr,
}

impl Addresses {
    /// One more permit for `address`, if fewer than `max` are in use. Counted also without a maximum: a reload may set one
    /// later.
    pub fn acquire(&self, address: IpAddr, max: Option<NonZeroUsize>) -> Option<Permit> {
        let network = network(address);
        let mut addresses = self.0.lock();
        let used = addresses.get(&network).copied().unwrap_or_default();
        if max.is_some_and(|max| used >= max.get()) {
            return None;
        }
        addresses.insert(network, used + 1);
        drop(addresses);
        Some(Permit::of(Arc::new(AddressPool { addresses: self.clone(), network })))
    }
}

impl PermitPool for AddressPool {
    fn release(&self) {
        let mut addresses = self.addresses.0.lock();
        match addresses.get_mut(&self.network) {
            Some(used) if *used > 1 => *used -= 1,
            _ => drop(addresses.remove(&self.network)),
        }
        if addresses.is_empty() {
            // Returns the memory that many addresses needed.
            *addresses = HashMap::new();
        }
    }
}

/// What is counted as one address.
pub fn network(address: IpAddr) -> IpAddr {
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
    fn a_permit_is_available_again_once_its_connection_has_ended() {
        let (addresses, max) = (Addresses::default(), NonZeroUsize::new(2));
        let acquire = |text| addresses.acquire(address(text), max);
        let first = acquire("192.0.2.1").expect("the first");
        let second = acquire("192.0.2.1").expect("the second");
        assert!(acquire("192.0.2.1").is_none());
        let other = acquire("192.0.2.2").expect("another address");
        drop(first);
        drop((acquire("192.0.2.1").expect("the permit that was returned"), second, other));
        assert!(addresses.0.lock().is_empty(), "no address is remembered");
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_one() {
        let (addresses, max) = (Addresses::default(), NonZeroUsize::new(1));
        let _held = addresses.acquire(address("2001:db8::1"), max).expect("the first");
        assert!(addresses.acquire(address("2001:db8::ffff:2"), max).is_none());
        assert!(addresses.acquire(address("2001:db8:0:1::1"), max).is_some());
    }
}
