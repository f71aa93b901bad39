//! What has arrived over a cable and waits for the link.
//!
//! Bounded by messages and bytes. What does not fit is dropped and counted, never waited for: a node that is
//! behind must not hold up the answers that come over the same cable. The link hears how much is missing, and
//! asks the others again for whatever cannot be missed.

use std::future::poll_fn;
use std::mem;
use std::task::{Poll, Waker};

use bytes::Bytes;
use hub::Bounds;
use parking_lot::Mutex;

use super::Channel;

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
    dropped: u64,
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
            queue.dropped += 1;
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

    /// Waits until something has arrived and moves it into `messages`, which must be empty. Returns how many
    /// messages have been dropped since the last time; they would have followed these.
    ///
    /// # Errors
    /// When the cable is lost and nothing is left.
    pub async fn take(&self, messages: &mut Vec<Heard>) -> Result<u64, Lost> {
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
