//! Messages that have arrived over a bus connection and wait for the link.
//!
//! Bounded by messages and bytes, which tenants [share](hub::FairQueue): they take turns, and what does not fit the
//! share of its tenant is dropped and counted. A node that is behind must not delay the responses that come over the same
//! connection. The link learns how much was dropped, and in which rooms, and reads the stored snapshots of those rooms
//! again.
//!
//! The messages of a tenant stay in order. A message to all nodes is a barrier: everything that has arrived before it is
//! taken before it, because it may tell that a node has stored everything, or has left.

mod affected_rooms;
mod arrivals;

use std::future::poll_fn;
use std::task::{Poll, Waker};

use bytes::Bytes;
use hub::Bounds;
use parking_lot::Mutex;

use super::Channel;
pub use affected_rooms::{AffectedRooms, TenantRooms};
use arrivals::Arrivals;

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

/// What the link takes.
#[derive(Debug, PartialEq, Eq)]
pub enum Arrival {
    /// A message.
    Message(ReceivedMessage),
    /// Messages that have arrived after those taken before were dropped.
    Overflow(InboxOverflow),
}

/// A queue with one consumer.
#[derive(Debug)]
pub struct Inbox {
    queue: Mutex<Queue>,
}

#[derive(Debug)]
struct Queue {
    arrivals: Arrivals,
    closed: bool,
    waker: Option<Waker>,
}

impl Inbox {
    /// An empty inbox.
    pub fn new(bounds: Bounds) -> Self {
        let queue = Queue { arrivals: Arrivals::new(bounds), closed: false, waker: None };
        Self { queue: Mutex::new(queue) }
    }

    /// Adds a message, or drops and counts it if it does not fit. Any message fits into an empty inbox.
    pub fn put(&self, received: ReceivedMessage) {
        let mut queue = self.queue.lock();
        let dropped = queue.arrivals.put(received);
        let waker = queue.waker.take();
        drop(queue);
        drop(dropped);
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

    /// Waits until something has arrived, and takes it, up to `max` unless a single message is larger.
    ///
    /// # Errors
    /// When the connection is lost and the inbox is empty.
    pub async fn take(&self, max: Bounds) -> Result<Vec<Arrival>, InboxClosed> {
        poll_fn(|cx| {
            let mut queue = self.queue.lock();
            let taken = queue.arrivals.take(max);
            if !taken.is_empty() {
                return Poll::Ready(Ok(taken));
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
mod tests;
