//! What has arrived over a cable and waits for the link.
//!
//! Bounded by messages and bytes. What does not fit is dropped and counted, never waited for: a node that is
//! behind must not hold up the answers that come over the same cable. The link hears how much is missing, and
//! where, and asks the others again for whatever cannot be missed.

use std::collections::HashSet;
use std::future::poll_fn;
use std::mem;
use std::task::{Poll, Waker};

use bytes::Bytes;
use hub::Bounds;
use parking_lot::Mutex;

use super::{Channel, RoomName};

/// Rooms whose names are kept when something of them was dropped; with more, it might be any.
const ROOMS_KEPT: usize = 1_024;

/// A message from the bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// Where it was published.
    pub channel: Channel,
    /// What was.
    pub message: Bytes,
}

/// The cable is lost, and everything that came over it has been taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lost;

/// What did not fit.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// How many messages.
    pub messages: u64,
    /// Where something is missing now.
    pub missing: Missing,
}

/// Where something is missing.
#[derive(Debug, PartialEq, Eq)]
pub enum Missing {
    /// In these rooms, if in any.
    In(HashSet<RoomName>),
    /// Nobody knows.
    Anywhere,
}

impl Default for Missing {
    fn default() -> Self {
        Self::In(HashSet::new())
    }
}

impl Missing {
    /// Whether nothing is.
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::In(rooms) if rooms.is_empty())
    }

    /// Something is missing there as well.
    pub fn extend(&mut self, more: Self) {
        match (&mut *self, more) {
            (Self::In(rooms), Self::In(more)) if rooms.len() + more.len() <= ROOMS_KEPT => rooms.extend(more),
            (_, more) if more.is_empty() => {}
            _ => *self = Self::Anywhere,
        }
    }

    fn add(&mut self, channel: Channel) {
        match channel {
            Channel::Room(room) => self.extend(Self::In(HashSet::from([room]))),
            // What is said to all nodes may be of consequence for any room.
            Channel::Nodes => *self = Self::Anywhere,
        }
    }
}

/// A queue with one taker.
#[derive(Debug)]
pub struct Inbox {
    bounds: Bounds,
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    messages: Vec<Heard>,
    bytes: usize,
    dropped: Dropped,
    lost: bool,
    waker: Option<Waker>,
}

impl Inbox {
    /// An empty inbox.
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds, queue: Mutex::default() }
    }

    /// A message has arrived. The first always fits.
    pub fn put(&self, heard: Heard) {
        let mut queue = self.queue.lock();
        let bytes = queue.bytes.saturating_add(heard.message.len());
        let fits = queue.messages.len() < self.bounds.frames as usize && bytes <= self.bounds.bytes;
        if queue.messages.is_empty() || fits {
            queue.bytes = bytes;
            queue.messages.push(heard);
        } else {
            queue.dropped.messages += 1;
            queue.dropped.missing.add(heard.channel);
        }
        let waker = queue.waker.take();
        drop(queue);
        waker.inspect(Waker::wake_by_ref);
    }

    /// Nothing will arrive any more.
    pub fn close(&self) {
        let mut queue = self.queue.lock();
        queue.lost = true;
        let waker = queue.waker.take();
        drop(queue);
        waker.inspect(Waker::wake_by_ref);
    }

    /// Waits until something has arrived and moves it into `messages`, which must be empty. Returns what has been
    /// dropped since the last time; it would have followed these.
    ///
    /// # Errors
    /// When the cable is lost and nothing is left.
    pub async fn take(&self, messages: &mut Vec<Heard>) -> Result<Dropped, Lost> {
        debug_assert!(messages.is_empty(), "messages are heard before the next are taken");
        poll_fn(|cx| {
            let mut queue = self.queue.lock();
            if !queue.messages.is_empty() {
                mem::swap(&mut queue.messages, messages);
                queue.bytes = 0;
                return Poll::Ready(Ok(mem::take(&mut queue.dropped)));
            }
            if queue.lost {
                return Poll::Ready(Err(Lost));
            }
            queue.waker = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(channel: Channel) -> Heard {
        Heard { channel, message: Bytes::new() }
    }

    fn room(number: usize) -> Channel {
        Channel::Room(number.to_string().into())
    }

    async fn dropped(channels: impl IntoIterator<Item = Channel>) -> Dropped {
        let inbox = Inbox::new(Bounds { frames: 1, bytes: 1 });
        inbox.put(heard(room(0)));
        channels.into_iter().for_each(|channel| inbox.put(heard(channel)));
        inbox.take(&mut Vec::new()).await.expect("it is not lost")
    }

    #[tokio::test]
    async fn whoever_is_too_slow_is_told_where_something_is_missing() {
        assert_eq!(dropped([]).await, Dropped::default());
        let missing = Missing::In(HashSet::from(["1".into(), "2".into()]));
        assert_eq!(dropped([room(1), room(2), room(1)]).await, Dropped { messages: 3, missing });
        let anywhere = Dropped { messages: 2, missing: Missing::Anywhere };
        assert_eq!(dropped([Channel::Nodes, room(1)]).await, anywhere);
        assert_eq!(dropped((0..2_000).map(room)).await.missing, Missing::Anywhere);
    }
}
