//! How the connection takes what is queued, and how it is woken.
//!
//! Its task takes everything at once, reports what the socket has accepted, and registers its waker when nothing is left.

use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use super::queue::OutboxQueue;
use super::{Disconnect, Outbox};
use crate::burst::Burst;
use crate::memory::{MemoryKind, UNCHARGED_BYTES};
use crate::wakers::Wakers;

/// What the connection does next, according to its outbox.
#[derive(Debug, PartialEq, Eq)]
pub enum NextAction {
    /// Write the frames taken.
    Write,
    /// Nothing is queued, and since the queue was last empty frames were dropped, or the rest of something too
    /// large for the queue was left for now: the session can make up for both.
    CaughtUp,
    /// Nothing is queued, and the connection was notified through the outbox's waker.
    Notified,
    /// Nothing is queued, and the connection must be closed.
    Disconnect(Disconnect),
    /// Nothing to do. The waker is registered.
    Idle,
}

/// What waits for a client, for those who may wait until it has read some.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backlog {
    /// No more than for one that reads as fast as it is written to, or nothing is sent any more.
    None,
    /// More.
    New,
    /// More, and it was more ever since a task has begun to wait for the client.
    AwaitedInVain,
}

impl Outbox {
    /// Moves everything queued into `burst`, which must be empty, or registers `waker`.
    ///
    /// The two buffers are swapped, so nothing is copied or allocated.
    pub fn take(&self, burst: &mut Burst, waker: &Waker) -> NextAction {
        debug_assert!(burst.is_empty(), "a burst is written before the next one is taken");
        let mut queue = self.queue.lock();
        queue.blocked = false;
        if !queue.frames.is_empty() {
            mem::swap(&mut queue.frames, burst);
            if let Some(positions) = &mut queue.replaceable {
                positions.clear();
            }
            return NextAction::Write;
        }
        if queue.handles.take().is_some() {
            // The buffers of a queue that was long.
            queue.frames.shrink();
            queue.replaceable = None;
            burst.shrink();
        }
        if mem::take(&mut queue.notified) {
            return NextAction::Notified;
        }
        if mem::take(&mut queue.missed) {
            return NextAction::CaughtUp;
        }
        queue.register(waker);
        match &queue.disconnect {
            Some(disconnect) => NextAction::Disconnect(Disconnect::clone(disconnect)),
            None => NextAction::Idle,
        }
    }

    /// Whether the connection was notified, for one whose socket accepts no bytes. If not, registers `waker`
    /// for notifications only: a new frame would find the socket as it is.
    pub fn take_notified(&self, waker: &Waker) -> bool {
        let mut queue = self.queue.lock();
        if mem::take(&mut queue.notified) {
            return true;
        }
        queue.blocked = true;
        queue.register(waker);
        false
    }

    /// Charges all that waits here and in `burst`, for a connection whose socket accepts no bytes. Returns whether there is
    /// memory for it. What is queued from now on is charged as well, until the next [`take`](Self::take).
    #[must_use]
    pub fn charge_blocked(&self, burst: &Burst) -> bool {
        let mut queue = self.queue.lock();
        queue.blocked = true;
        let mut ahead = 0;
        // A frame that ends beyond so many bytes was charged when it was queued: at least as many were ahead of it then. If
        // one ahead has been replaced by a larger one since, that one was charged.
        let mut waiting = burst.iter().chain(queue.frames.iter()).take_while(|frame| {
            ahead += frame.len();
            ahead <= UNCHARGED_BYTES
        });
        let is_charged = waiting.all(|frame| frame.try_charge(&self.memory));
        if !is_charged {
            self.memory.count_refusal(MemoryKind::Sending);
        }
        is_charged
    }

    /// Records that the socket has accepted this much.
    pub fn written(&self, frames: u32, bytes: usize) {
        let mut queue = self.queue.lock();
        queue.outstanding_frames -= frames;
        queue.outstanding_bytes -= bytes;
        let awaiting = queue.take_awaiting();
        drop(queue);
        if let Some(waker) = awaiting {
            waker.wake();
        }
    }

    /// Frees queue memory beyond what an idle connection keeps.
    pub fn shrink(&self) {
        let mut queue = self.queue.lock();
        queue.frames.shrink();
        if queue.frames.is_empty() {
            queue.replaceable = None;
        }
    }

    /// Whether so much is outstanding that the connection should not read more requests. Without memory that is what a blocked
    /// socket has left: replies to requests are charged whether or not there is any.
    pub fn is_backlogged(&self) -> bool {
        self.is_backlog(&self.queue.lock())
    }

    fn is_backlog(&self, queue: &OutboxQueue) -> bool {
        let is_charged = queue.blocked || queue.outstanding_bytes > UNCHARGED_BYTES;
        queue.exceeds(2) || (is_charged && !self.memory.has_room_for(1))
    }

    /// Ready when it is not [backlogged](Self::is_backlogged), or nothing is sent any more. Otherwise the task is woken when at most a
    /// quarter of what may be queued is outstanding, and not when there is memory again.
    pub(crate) fn poll_caught_up(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut queue = self.queue.lock();
        if !self.is_backlog(&queue) || queue.closed {
            return Poll::Ready(());
        }
        queue.is_awaited = true;
        queue.awaited_by = Some(Box::new(cx.waker().clone()));
        Poll::Pending
    }

    /// How the client reads, for a task that may [wait](Self::poll_caught_up) for it.
    pub(crate) fn backlog(&self) -> Backlog {
        let mut queue = self.queue.lock();
        if !self.is_backlog(&queue) || queue.closed {
            queue.is_awaited = false;
            return Backlog::None;
        }
        if queue.is_awaited { Backlog::AwaitedInVain } else { Backlog::New }
    }

    /// Drops what is queued and rejects further frames: nothing is sent after a close frame (RFC 6455
    /// §5.5.1).
    pub fn close(&self) {
        let mut queue = self.queue.lock();
        queue.closed = true;
        let dropped = (mem::take(&mut queue.frames), queue.handles.take());
        queue.replaceable = None;
        let awaiting = queue.take_awaiting();
        drop(queue);
        drop(dropped);
        if let Some(waker) = awaiting {
            waker.wake();
        }
    }
}

/// As a waker, an outbox notifies its connection. The notification is a flag in the queue and costs a
/// delivery nothing.
impl Wake for Outbox {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut queue = self.queue.lock();
        queue.notified = true;
        let mut wakers = Wakers::collect();
        queue.wake(&mut wakers);
        drop(queue);
        wakers.wake_for(self.memory.party());
    }
}
