//! Messages that have arrived over a bus connection and wait for the link.
//!
//! Bounded by messages and bytes. What does not fit is dropped and counted: a node that is behind must not delay the
//! responses that come over the same connection. The link learns how much was dropped, and in which rooms, and reads
//! the stored snapshots of those rooms again.

use std::collections::HashSet;
use std::future::poll_fn;
use std::mem;
use std::task::{Poll, Waker};

use bytes::Bytes;
use hub::Bounds;
use parking_lot::Mutex;

use super::{Channel, RoomName};

/// Names of rooms that are kept when messages are dropped; beyond that, any room counts as affected.
const ROOMS_KEPT: usize = 1_024;

/// A message from the bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedMessage {
    /// The channel it was published on.
    pub channel: Channel,
    /// The content.
    pub message: Bytes,
}

/// The connection is lost, and all messages that came over it have been taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InboxClosed;

/// Messages that did not fit.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct InboxOverflow {
    /// How many.
    pub messages: u64,
    /// The rooms they were for.
    pub rooms: AffectedRooms,
}

/// Rooms in which messages are missing.
#[derive(Debug, PartialEq, Eq)]
pub enum AffectedRooms {
    /// These rooms.
    Only(HashSet<RoomName>),
    /// Possibly every room.
    All,
}

impl Default for AffectedRooms {
    fn default() -> Self {
        Self::Only(HashSet::new())
    }
}

impl AffectedRooms {
    /// Whether no room is affected.
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Only(rooms) if rooms.is_empty())
    }

    /// Adds rooms.
    pub fn extend(&mut self, more: Self) {
        match (&mut *self, more) {
            (Self::Only(rooms), Self::Only(more)) if rooms.len() + more.len() <= ROOMS_KEPT => {
                rooms.extend(more)
            }
            (_, more) if more.is_empty() => {}
            _ => *self = Self::All,
        }
    }

    fn add(&mut self, channel: Channel) {
        match channel {
            Channel::Room(room) => self.extend(Self::Only(HashSet::from([room]))),
            // A cluster message may concern any room.
            Channel::Nodes => *self = Self::All,
        }
    }
}

/// A queue with one consumer.
#[derive(Debug)]
pub struct Inbox {
    bounds: Bounds,
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    messages: Vec<ReceivedMessage>,
    bytes: usize,
    overflow: InboxOverflow,
    closed: bool,
    waker: Option<Waker>,
}

impl Inbox {
    /// An empty inbox.
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds, queue: Mutex::default() }
    }

    /// Adds a message, or drops and counts it if it does not fit. Any message fits into an empty inbox.
    pub fn put(&self, received: ReceivedMessage) {
        let mut queue = self.queue.lock();
        let bytes = queue.bytes.saturating_add(received.message.len());
        let fits = queue.messages.len() < self.bounds.frames as usize && bytes <= self.bounds.bytes;
        if queue.messages.is_empty() || fits {
            queue.bytes = bytes;
            queue.messages.push(received);
        } else {
            queue.overflow.messages += 1;
            queue.overflow.rooms.add(received.channel);
        }
        let waker = queue.waker.take();
        drop(queue);
        waker.inspect(Waker::wake_by_ref);
    }

    /// No more messages will arrive.
    pub fn close(&self) {
        let mut queue = self.queue.lock();
        queue.closed = true;
        let waker = queue.waker.take();
        drop(queue);
        waker.inspect(Waker::wake_by_ref);
    }

    /// Waits for messages and moves them into `messages`, which must be empty. Returns what has been dropped since the
    /// last call; it would have followed these.
    ///
    /// # Errors
    /// When the connection is lost and the inbox is empty.
    pub async fn take(&self, messages: &mut Vec<ReceivedMessage>) -> Result<InboxOverflow, InboxClosed> {
        debug_assert!(messages.is_empty(), "messages are processed before the next are taken");
        poll_fn(|cx| {
            let mut queue = self.queue.lock();
            if !queue.messages.is_empty() {
                mem::swap(&mut queue.messages, messages);
                queue.bytes = 0;
                return Poll::Ready(Ok(mem::take(&mut queue.overflow)));
            }
            if queue.closed {
                return Poll::Ready(Err(InboxClosed));
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

    fn message_in(channel: Channel) -> ReceivedMessage {
        ReceivedMessage { channel, message: Bytes::new() }
    }

    fn room(number: usize) -> Channel {
        Channel::Room(number.to_string().into())
    }

    /// What is dropped of messages on these channels when none of them fits.
    async fn overflow(channels: impl IntoIterator<Item = Channel>) -> InboxOverflow {
        let inbox = Inbox::new(Bounds { frames: 1, bytes: 1 });
        inbox.put(message_in(room(0)));
        channels.into_iter().for_each(|channel| inbox.put(message_in(channel)));
        inbox.take(&mut Vec::new()).await.expect("the inbox is open")
    }

    #[tokio::test]
    async fn an_overflow_names_the_rooms_in_which_messages_are_missing() {
        assert_eq!(overflow([]).await, InboxOverflow::default());
        let rooms = AffectedRooms::Only(HashSet::from(["1".into(), "2".into()]));
        assert_eq!(overflow([room(1), room(2), room(1)]).await, InboxOverflow { messages: 3, rooms });
        let all = InboxOverflow { messages: 2, rooms: AffectedRooms::All };
        assert_eq!(overflow([Channel::Nodes, room(1)]).await, all);
        assert_eq!(overflow((0..2_000).map(room)).await.rooms, AffectedRooms::All);
    }
}
