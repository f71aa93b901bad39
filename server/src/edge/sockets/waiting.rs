//! Connections that wait for a request, or that have one, and which of them is closed for another one.
//!
//! One of the address that has the most of them, so that an address with many closes its own and not those of others:
//! their numbers approach each other. Of that address, and of addresses with equally many, it is the one that has
//! waited the longest. Connections whose address is not known, or not limited, count as those of one address.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::Notify;

use super::Held;

/// The connections of one class that wait for a request.
#[derive(Default)]
pub(super) struct Waiting {
    next_position: u64,
    by_address: HashMap<Option<IpAddr>, OfAddress>,
    /// The addresses. The last one is that of the next to be closed.
    ranks: BTreeMap<Rank, Option<IpAddr>>,
}

/// Those of one address, in the order in which they began to wait.
type OfAddress = BTreeMap<u64, WaitingSocket>;

/// How many connections of an address wait, and the position of the first of them.
type Rank = (usize, Reverse<u64>);

struct WaitingSocket {
    held: Held,
    closing: Arc<Notify>,
}

/// Where a connection waits.
pub(super) struct Position {
    network: Option<IpAddr>,
    number: u64,
}

impl Waiting {
    /// Adds a connection behind the others. `closing` is notified if it is closed for another one.
    pub(super) fn push(&mut self, held: Held, closing: &Arc<Notify>) -> Position {
        let (network, number) = (held.network, self.next_position);
        self.next_position += 1;
        let socket = WaitingSocket { held, closing: Arc::clone(closing) };
        self.change(network, |of_address| of_address.insert(number, socket));
        Position { network, number }
    }

    /// Removes the connection at `position`, unless it has been closed.
    pub(super) fn take(&mut self, position: &Position) -> Option<Held> {
        self.remove(position.network, |_| Some(position.number)).map(|socket| socket.held)
    }

    /// Whether there are so many.
    pub(super) fn has(&self, count: usize) -> bool {
        let largest = self.ranks.keys().rev().map(|(number, _)| number).take(count);
        largest.sum::<usize>() >= count
    }

    /// Closes a connection of the address that has the most.
    pub(super) fn close_one(&mut self) -> Option<Held> {
        let network = *self.ranks.last_key_value()?.1;
        self.close_first_of(network)
    }

    /// Closes a connection of the address that has the most, if that has more than `network` would have with one more.
    /// Those whose address is not known, or not limited, stay.
    pub(super) fn close_one_of_more_than(&mut self, network: Option<IpAddr>) -> Option<Held> {
        let own = network.and_then(|_| self.by_address.get(&network)).map_or(0, BTreeMap::len);
        let ((number, _), greatest) = self.ranks.iter().rev().find(|(_, address)| address.is_some())?;
        if *number <= own + 1 {
            return None;
        }
        let greatest = *greatest;
        self.close_first_of(greatest)
    }

    /// Closes the connection of `network` that has waited the longest.
    pub(super) fn close_first_of(&mut self, network: Option<IpAddr>) -> Option<Held> {
        let first = |of_address: &OfAddress| of_address.first_key_value().map(|(number, _)| *number);
        let WaitingSocket { held, closing } = self.remove(network, first)?;
        closing.notify_one();
        Some(held)
    }

    fn remove(
        &mut self,
        network: Option<IpAddr>,
        which: impl FnOnce(&OfAddress) -> Option<u64>,
    ) -> Option<WaitingSocket> {
        self.change(network, |of_address| of_address.remove(&which(of_address)?))
    }

    /// Changes what `network` has, and its rank.
    fn change<T>(&mut self, network: Option<IpAddr>, change: impl FnOnce(&mut OfAddress) -> T) -> T {
        let of_address = self.by_address.entry(network).or_default();
        if let Some(rank) = rank(of_address) {
            self.ranks.remove(&rank);
        }
        let result = change(of_address);
        match rank(of_address) {
            Some(rank) => drop(self.ranks.insert(rank, network)),
            None => drop(self.by_address.remove(&network)),
        }
        result
    }
}

fn rank(of_address: &OfAddress) -> Option<Rank> {
    let first = of_address.first_key_value()?.0;
    Some((of_address.len(), Reverse(*first)))
}

#[cfg(test)]
mod tests {
    use super::super::Purpose;
    use super::*;
    use crate::permit::Permits;

    /// Adds a connection of `host`.
    fn push(waiting: &mut Waiting, host: u8) -> Position {
        let network = Some(IpAddr::from([192, 0, 2, host]));
        let of_server = Permits::default().acquire(1).expect("a permit");
        let held = Held { purpose: Purpose::Any, network, of_server, _of_address: None };
        waiting.push(held, &Arc::default())
    }

    #[test]
    fn addresses_with_many_lose_theirs_first_and_those_with_one_in_order() {
        let mut waiting = Waiting::default();
        let positions = [1, 2, 2, 3, 3, 3, 4].map(|host| push(&mut waiting, host));
        let of_host = |held: Held| match held.network {
            Some(IpAddr::V4(v4)) => v4.octets()[3],
            other => panic!("{other:?}"),
        };
        assert!(waiting.has(7) && !waiting.has(8));
        assert!(waiting.take(&positions[3]).is_some());
        assert!(waiting.take(&positions[3]).is_none(), "it does not wait any more");
        let closed = std::iter::from_fn(|| waiting.close_one().map(of_host)).collect::<Vec<_>>();
        assert_eq!(closed, [2, 3, 1, 2, 3, 4]);
        assert!(positions.iter().all(|position| waiting.take(position).is_none()));
        assert!(waiting.by_address.is_empty() && waiting.ranks.is_empty(), "no address is remembered");
    }
}
