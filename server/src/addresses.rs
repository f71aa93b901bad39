//! What each client address has of something, such as its WebSockets, or causes in a time.
//!
//! What counts as one address, and which addresses have no limit, is decided by `Node::client_network` alone: what is
//! called a network here is what that has returned.
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

/// Permits in use, by the network that holds them. Those of networks without limits per address are counted together.
#[derive(Debug, Clone, Default)]
pub struct Addresses(Arc<Mutex<Shares<Option<IpAddr>>>>);

/// Where the permits of one network are returned to.
struct AddressPool {
    addresses: Addresses,
    network: Option<IpAddr>,
}

impl Addresses {
    /// One more permit for `network`, if fewer than `max` are in use. Counted also without a maximum: a reload may set one
    /// later.
    pub fn acquire(&self, network: IpAddr, max: Option<NonZeroUsize>) -> Option<Permit> {
        let network = Some(network);
        self.acquire_if(network, |in_use| {
            let has_room = is_below(in_use.of(&network), max);
            if has_room {
                in_use.take(&network, 1);
            }
            has_room
        })
    }

    /// One more permit, if `network` is in its [share](Shares) of the `max` that all may have; without limits per address,
    /// if not all of them are in use.
    pub fn acquire_share(&self, network: Option<IpAddr>, max: usize) -> Option<Permit> {
        self.acquire_if(network, |in_use| {
            if network.is_some() {
                return in_use.try_take(&network, 1, max);
            }
            let has_room = in_use.total() < max;
            if has_room {
                in_use.take(&network, 1);
            }
            has_room
        })
    }

    /// Whether [`acquire`](Self::acquire) would return a permit.
    pub fn has_room(&self, network: IpAddr, max: Option<NonZeroUsize>) -> bool {
        max.is_none() || is_below(self.0.lock().of(&Some(network)), max)
    }

    fn acquire_if(
        &self,
        network: Option<IpAddr>,
        take: impl FnOnce(&mut Shares<Option<IpAddr>>) -> bool,
    ) -> Option<Permit> {
        let is_taken = take(&mut self.0.lock());
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
            let share = || addresses.acquire_share(Some(address(text)), 90);
            std::iter::from_fn(share).collect::<Vec<_>>()
        };
        let (first, second) = (all("192.0.2.1"), all("192.0.2.2"));
        assert_eq!((first.len(), second.len()), (45, 23));
        drop(first);
        assert_eq!(all("192.0.2.3").len(), 34);
        let unlimited: Vec<_> = std::iter::from_fn(|| addresses.acquire_share(None, 90)).collect();
        assert_eq!(unlimited.len(), 90 - 23, "all that the others leave");
        drop((second, unlimited));
        assert_eq!(addresses.0.lock().total(), 0);
    }
}
