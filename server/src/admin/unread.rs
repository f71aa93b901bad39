//! Responses with one page that clients have not received completely: how many there may be, and which is closed for a
//! further one.
//!
//! As with connections that wait for a request (`server/src/edge/sockets/waiting.rs`) it is the oldest of the address that
//! has the most. If the newcomer's address would then have as many itself, that one has to be a second old: one that a
//! client reads is received by then.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// Responses with one page.
const UNREAD_MAX: usize = 16;

/// How old a response is before it is closed for one of an address with as many.
const AGE_MIN: Duration = Duration::from_secs(1);

/// The responses with one page.
#[derive(Default)]
pub(super) struct Unread(Mutex<Responses>);

#[derive(Default)]
struct Responses {
    next: u64,
    /// The oldest first.
    open: Vec<Open>,
}

/// A response, and the connection that it is sent over.
struct Open {
    number: u64,
    network: IpAddr,
    since: Instant,
    closing: Arc<Notify>,
}

/// One of the responses; dropping it makes room for another.
pub(super) struct UnreadResponse {
    unread: Arc<Unread>,
    number: u64,
}

impl Unread {
    /// Room for one more response to `network`, for which another one may be closed.
    ///
    /// # Errors
    /// The time at which one of the others is old enough for that.
    pub(super) fn open(
        self: &Arc<Self>,
        network: IpAddr,
        closing: &Arc<Notify>,
        now: Instant,
    ) -> Result<UnreadResponse, Instant> {
        let mut responses = self.0.lock();
        if responses.open.len() >= UNREAD_MAX {
            let (index, until) = responses.first_to_close(network);
            if now < until {
                return Err(until);
            }
            responses.open.remove(index).closing.notify_one();
        }
        let number = responses.next;
        responses.next += 1;
        responses.open.push(Open { number, network, since: now, closing: Arc::clone(closing) });
        Ok(UnreadResponse { unread: Arc::clone(self), number })
    }
}

impl Responses {
    fn of(&self, network: IpAddr) -> usize {
        self.open.iter().filter(|response| response.network == network).count()
    }

    /// Which is closed for one of `network`, and from when on.
    fn first_to_close(&self, network: IpAddr) -> (usize, Instant) {
        let most = self.open.iter().map(|response| self.of(response.network)).max().unwrap_or_default();
        let has_most = |response: &Open| self.of(response.network) == most;
        let index = self.open.iter().position(has_most).unwrap_or_default();
        let since = self.open[index].since;
        (index, if most > self.of(network) + 1 { since } else { since + AGE_MIN })
    }
}

impl Drop for UnreadResponse {
    fn drop(&mut self) {
        self.unread.0.lock().open.retain(|response| response.number != self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(unread: &Arc<Unread>, host: u8, now: Instant) -> Result<UnreadResponse, Instant> {
        unread.open(IpAddr::from([192, 0, 2, host]), &Arc::default(), now)
    }

    /// How many each of these has.
    fn of<const HOSTS: usize>(unread: &Unread, hosts: [u8; HOSTS]) -> [usize; HOSTS] {
        hosts.map(|host| unread.0.lock().of(IpAddr::from([192, 0, 2, host])))
    }

    #[test]
    fn addresses_with_more_make_room_at_once_and_those_with_as_many_after_a_second() {
        let (unread, now) = (Arc::new(Unread::default()), Instant::now());
        let mut held: Vec<_> = (0..UNREAD_MAX).map(|_| open(&unread, 1, now).expect("room")).collect();
        let of_own = open(&unread, 1, now).err();
        assert_eq!(of_own, Some(now + AGE_MIN), "its own are not closed while they may be read");
        held.extend((0..8).map(|_| open(&unread, 2, now).expect("one of the first address is closed")));
        assert_eq!(of(&unread, [1, 2]), [8, 8]);
        assert!(open(&unread, 2, now).is_err());
        held.push(open(&unread, 2, now + AGE_MIN).expect("they are old enough"));
        assert_eq!(of(&unread, [1, 2]), [7, 9]);
        held.extend((3..=16).map(|host| open(&unread, host, now).expect("room")));
        assert_eq!(of(&unread, [1, 2, 3, 16]), [1; 4]);
        assert!(open(&unread, 17, now).is_err(), "each has one");
        held.push(open(&unread, 17, now + AGE_MIN).expect("the oldest is closed"));
        assert_eq!(of(&unread, [1, 2, 3, 17]), [0, 1, 1, 1]);
        drop(held);
        assert!(unread.0.lock().open.is_empty());
    }
}
