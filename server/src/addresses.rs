//! What each client address has of something, such as its WebSockets, or causes in a time.
//!
//! Of permits, only addresses that have one are kept, so there are never more of them than permits. Rates take constant
//! memory.

mod rates;

pub use rates::AddressRates;

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroUsize;
use std::sync::Arc;

use hub::Shares;
use parking_lot::Mutex;

use crate::permit::{Permit, PermitPool};

/// Bits of an IPv6 address that identify one customer of a provider, who has a whole network to choose addresses from.
const IPV6_NETWORK_BITS: u8 = 64;

/// Permits in use, by the address that holds them.
#[derive(Debug, Clone, Default)]
pub struct Addresses(Arc<Mutex<Shares<IpAddr>>>);

/// Where the permits of one address are returned to.
struct AddressPool {
    addresses: Addresses,
    network: IpAddr,
}

impl Addresses {
    /// One more permit for `address`, if fewer than `max` are in use. Counted also without a maximum: a reload may set one
    /// later.
    pub fn acquire(&self, address: IpAddr, max: Option<NonZeroUsize>) -> Option<Permit> {
        self.acquire_if(address, |in_use, network| {
            let has_room = is_below(in_use.of(network), max);
            if has_room {
                in_use.take(network, 1);
            }
            has_room
        })
    }

    /// One more permit for `address`, if that is in its [share](Shares) of the `max` that all may have.
    pub fn acquire_share(&self, address: IpAddr, max: usize) -> Option<Permit> {
        self.acquire_if(address, |in_use, network| in_use.try_take(network, 1, max))
    }

    /// Whether [`acquire`](Self::acquire) would return a permit.
    pub fn has_room(&self, address: IpAddr, max: Option<NonZeroUsize>) -> bool {
        max.is_none() || is_below(self.0.lock().of(&network(address)), max)
    }

    fn acquire_if(
        &self,
        address: IpAddr,
        take: impl FnOnce(&mut Shares<IpAddr>, &IpAddr) -> bool,
    ) -> Option<Permit> {
        let network = network(address);
        let is_taken = take(&mut self.0.lock(), &network);
        is_taken.then(|| Permit::of(Arc::new(AddressPool { addresses: self.clone(), network })))
    }
}

impl PermitPool for AddressPool {
    fn release(&self) {
        self.addresses.0.lock().give_back(&self.network, 1);
    }
}

fn is_below(used: usize, max: Option<NonZeroUsize>) -> bool {
    max.is_none_or(|max| used < max.get())
}

/// What is counted as one address.
fn network(address: IpAddr) -> IpAddr {
    prefix(address, IPV6_NETWORK_BITS)
}

/// The first bits of an IPv6 address (`server.ipv6_prefix_length`), or an IPv4 address. IPv4 through an IPv6 socket is
/// still IPv4.
pub fn prefix(address: IpAddr, ipv6_prefix_length: u8) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let host_bits = Ipv6Addr::BITS.saturating_sub(ipv6_prefix_length.into());
            let bits = v6.to_bits().checked_shr(host_bits).and_then(|bits| bits.checked_shl(host_bits));
            Ipv6Addr::from_bits(bits.unwrap_or_default()).into()
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
        assert_eq!(addresses.0.lock().total(), 0, "no address is remembered");
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_one() {
        let (addresses, max) = (Addresses::default(), NonZeroUsize::new(1));
        let _held = addresses.acquire(address("2001:db8::1"), max).expect("the first");
        assert!(addresses.acquire(address("2001:db8::ffff:2"), max).is_none());
        assert!(addresses.acquire(address("2001:db8:0:1::1"), max).is_some());
    }

    #[test]
    fn an_ipv6_address_has_a_prefix() {
        for (one, other, length, are_one) in [
            ("2001:db8::1", "2001:db8:0:1::1", 64, false),
            ("2001:db8::1", "2001:db8:0:1::1", 56, true),
            ("2001:db8::1", "2001:db8:0:100::1", 56, false),
            ("::ffff:192.0.2.1", "192.0.2.1", 64, true),
            ("::ffff:192.0.2.1", "::ffff:192.0.2.2", 16, false),
        ] {
            let prefix = |text| prefix(address(text), length);
            assert_eq!(prefix(one) == prefix(other), are_one, "{one} {other} /{length}");
        }
    }

    #[test]
    fn a_share_leaves_room_for_other_addresses() {
        let addresses = Addresses::default();
        let all = |text| {
            let share = || addresses.acquire_share(address(text), 90);
            std::iter::from_fn(share).collect::<Vec<_>>()
        };
        let (first, second) = (all("192.0.2.1"), all("192.0.2.2"));
        assert_eq!((first.len(), second.len()), (45, 23));
        drop(first);
        assert_eq!(all("192.0.2.3").len(), 34);
        drop(second);
        assert_eq!(addresses.0.lock().total(), 0);
    }
}
