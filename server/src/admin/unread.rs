//! Responses with one page that clients have not received completely: how many there may be and with how many texts, and
//! which is closed for a further one.
//!
//! Memory has each text once, however many responses have it. So there may be many responses, more than an attacker has
//! addresses, and few texts. As with connections that wait for a request (`server/src/edge/sockets/waiting.rs`) it is the oldest of the address that
//! has the most. If the newcomer's address would then have as many itself, that one has to be a second old: one that a
//! client reads is received by then, unless the node is very busy.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// Responses with one page.
const UNREAD_MAX: usize = 256;

/// Texts that they have.
const TEXTS_MAX: usize = 16;

/// How old the newest text is at least before the responses with the oldest are closed for another one.
const TEXT_AGE_MIN: Duration = Duration::from_secs(5);

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
    /// How many each address has.
    by_address: HashMap<IpAddr, usize>,
}

/// A response, and the connection that it is sent over.
struct Open {
    number: u64,
    network: IpAddr,
    since: Instant,
    closing: Arc<Notify>,
    /// The number of its text, once it has one.
    text: Option<u64>,
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
            responses.remove(index).closing.notify_one();
        }
        let number = responses.next;
        responses.next += 1;
        *responses.by_address.entry(network).or_default() += 1;
        responses.open.push(Open { number, network, since: now, closing: Arc::clone(closing), text: None });
        Ok(UnreadResponse { unread: Arc::clone(self), number })
    }

    /// Whether there may be one more text, for which the responses with the oldest may be closed; `newest` is when the newest
    /// one was rendered.
    pub(super) fn make_room_for_text(&self, newest: Instant, now: Instant) -> bool {
        let mut responses = self.0.lock();
        let texts: BTreeSet<_> = responses.open.iter().filter_map(|response| response.text).collect();
        if texts.len() < TEXTS_MAX {
            return true;
        }
        let is_due = now >= newest + TEXT_AGE_MIN;
        if is_due {
            let has_oldest = |response: &Open| response.text == texts.first().copied();
            while let Some(index) = responses.open.iter().position(has_oldest) {
                responses.remove(index).closing.notify_one();
            }
        }
        is_due
    }
}

impl UnreadResponse {
    /// It has the text of this number.
    pub(super) fn is_of(&self, text: u64) {
        let mut responses = self.unread.0.lock();
        if let Some(response) = responses.open.iter_mut().find(|response| response.number == self.number) {
            response.text = Some(text);
        }
    }
}

impl Responses {
    fn of(&self, network: IpAddr) -> usize {
        self.by_address.get(&network).copied().unwrap_or_default()
    }

    fn remove(&mut self, index: usize) -> Open {
        let removed = self.open.remove(index);
        if let Some(of_address) = self.by_address.get_mut(&removed.network) {
            *of_address -= 1;
            if *of_address == 0 {
                self.by_address.remove(&removed.network);
            }
        }
        removed
    }

    /// Which is closed for one of `network`, and from when on.
    fn first_to_close(&self, network: IpAddr) -> (usize, Instant) {
        let most = self.by_address.values().copied().max().unwrap_or_default();
        let has_most = |response: &Open| self.of(response.network) == most;
        let index = self.open.iter().position(has_most).unwrap_or_default();
        let since = self.open[index].since;
        (index, if most > self.of(network) + 1 { since } else { since + AGE_MIN })
    }
}

impl Drop for UnreadResponse {
    fn drop(&mut self) {
        let mut responses = self.unread.0.lock();
        let index = responses.open.iter().position(|response| response.number == self.number);
        drop(index.map(|index| responses.remove(index)));
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use futures_util::FutureExt as _;

    use super::*;

    fn open(unread: &Arc<Unread>, host: u32, now: Instant) -> Result<UnreadResponse, Instant> {
        unread.open(address(host), &Arc::default(), now)
    }

    fn address(host: u32) -> IpAddr {
        Ipv4Addr::from(0x0a00_0000 + host).into()
    }

    /// How many each of these has.
    fn of<const HOSTS: usize>(unread: &Unread, hosts: [u32; HOSTS]) -> [usize; HOSTS] {
        hosts.map(|host| unread.0.lock().of(address(host)))
    }

    #[test]
    fn addresses_with_more_make_room_at_once_and_those_with_as_many_after_a_second() {
        let (unread, now) = (Arc::new(Unread::default()), Instant::now());
        let mut held: Vec<_> = (0..UNREAD_MAX).map(|_| open(&unread, 1, now).expect("room")).collect();
        let of_own = open(&unread, 1, now).err();
        assert_eq!(of_own, Some(now + AGE_MIN), "its own are not closed while they may be read");
        held.extend(
            (0..UNREAD_MAX / 2).map(|_| open(&unread, 2, now).expect("one of the first address is closed")),
        );
        assert_eq!(of(&unread, [1, 2]), [UNREAD_MAX / 2; 2]);
        assert!(open(&unread, 2, now).is_err());
        held.push(open(&unread, 2, now + AGE_MIN).expect("they are old enough"));
        assert_eq!(of(&unread, [1, 2]), [UNREAD_MAX / 2 - 1, UNREAD_MAX / 2 + 1]);
        let last = u32::try_from(UNREAD_MAX).expect("some hundred");
        held.extend((3..=last).map(|host| open(&unread, host, now).expect("room")));
        assert_eq!(of(&unread, [1, 2, 3, last]), [1; 4]);
        assert!(open(&unread, last + 1, now).is_err(), "each has one");
        held.push(open(&unread, last + 1, now + AGE_MIN).expect("the oldest is closed"));
        assert_eq!(of(&unread, [1, 2, 3, last + 1]), [0, 1, 1, 1]);
        drop(held);
        let responses = unread.0.lock();
        assert!(responses.open.is_empty() && responses.by_address.is_empty());
    }

    #[test]
    fn few_texts_are_kept_and_those_with_the_oldest_are_closed_only_when_the_newest_is_old() {
        let (unread, now) = (Arc::new(Unread::default()), Instant::now());
        let closing: Arc<Notify> = Arc::default();
        let mut held = Vec::new();
        for text in 0..TEXTS_MAX as u64 {
            assert!(unread.make_room_for_text(now, now));
            for host in [1, 2] {
                let response = unread.open(address(host), &closing, now).expect("room");
                response.is_of(text);
                held.push(response);
            }
        }
        assert!(!unread.make_room_for_text(now, now), "the newest is sent again");
        assert_eq!(of(&unread, [1, 2]), [TEXTS_MAX; 2]);
        assert!(unread.make_room_for_text(now, now + TEXT_AGE_MIN));
        assert_eq!(of(&unread, [1, 2]), [TEXTS_MAX - 1; 2], "those with the oldest are closed");
        assert!(closing.notified().now_or_never().is_some());
    }
}
