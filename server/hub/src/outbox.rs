//! One connection's queue of outgoing frames.
//!
//! Bounded by frames and by bytes, because ten large documents cost as much memory as a thousand cursors.
//! Frames are counted until the socket has accepted them, not until they leave the queue, so there is no
//! hidden second queue. A full outbox is not an error: the room records what the member missed and continues.
//! What waits beyond [`UNCHARGED_BYTES`](crate::UNCHARGED_BYTES), and all of it while the socket accepts nothing, is charged
//! to the tenant's memory, and so is the queue itself if it is long; without memory the outbox is as full as if its own
//! bounds were reached.
//! Nothing here waits; the connection's task registers its waker and is woken.
//!
//! An entry may be *replaceable*: queued under a key, it is overwritten in place by a newer frame with the
//! same key, and the oldest of them are the first to be dropped when the outbox is full. So a slow reader receives only
//! the newest cursor of each sender, in its order among everything else.

mod consumer;
mod queue;
mod replaceable;

use std::borrow::Cow;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::bounds::Bounds;
use crate::frame::Frame;
use crate::memory::TenantMemory;
use crate::wakers::Wakers;

use self::queue::OutboxQueue;

pub use consumer::{Backlog, NextAction};
pub use replaceable::ReplaceKey;

/// Why the server closes a connection: a WebSocket close code and a short text (RFC 6455 §7.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disconnect {
    /// The close code.
    pub code: u16,
    /// At most 123 bytes, as a close frame allows.
    pub reason: Cow<'static, str>,
}

/// The result of offering a frame.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub enum Offer {
    /// The frame is queued.
    Queued,
    /// The frame is queued, and this many replaceable entries were dropped to make it fit. The connection is
    /// marked as having missed something.
    Evicted(u32),
    /// The frame did not fit and the connection is marked as having missed something, or the outbox is
    /// closed.
    Full,
}

/// The queue, shared by all rooms of which the connection is a member.
///
/// The alignment and the order of the fields let offering and taking a frame touch one cache line only. With
/// thousands of members every line is a cache miss per message, and those dominate the cost of a fan-out.
#[derive(Debug)]
#[repr(align(64))]
pub struct Outbox {
    queue: Mutex<OutboxQueue>,
    memory: Arc<TenantMemory>,
}

impl Outbox {
    /// An empty outbox of a client whose tenant has the account `memory`.
    pub fn new(bounds: Bounds, memory: Arc<TenantMemory>) -> Self {
        Self { queue: Mutex::new(OutboxQueue::new(bounds)), memory }
    }

    /// The account of the client's tenant.
    pub fn memory(&self) -> &Arc<TenantMemory> {
        &self.memory
    }

    /// What may be queued.
    pub fn bounds(&self) -> Bounds {
        let queue = self.queue.lock();
        Bounds { bytes: queue.max_bytes, frames: queue.max_frames }
    }

    /// Queues a frame if it fits, and wakes the connection.
    pub fn offer(&self, frame: &Frame) -> Offer {
        let mut wakers = Wakers::collect();
        let offer = self.offer_deferred(frame, &mut wakers);
        wakers.wake_for(self.memory.party());
        offer
    }

    /// Like [`offer`](Self::offer), but the caller wakes the connection, after releasing its locks.
    // Inlined, because a fan-out calls it for every member: a call costs each 50 instructions of 240.
    #[inline(always)]
    pub(crate) fn offer_deferred(&self, frame: &Frame, wakers: &mut Wakers) -> Offer {
        let mut queue = self.queue.lock();
        if queue.closed {
            return Offer::Full;
        }
        if !queue.has_memory(0, frame, &self.memory) {
            return Offer::Full;
        }
        let offer = queue.make_room(1, frame.len());
        if offer != Offer::Full {
            queue.push(frame, wakers);
        }
        offer
    }

    /// Queues the frames of one message, all of them or none.
    pub(crate) fn offer_message_deferred(&self, frames: &[Frame], wakers: &mut Wakers) -> Offer {
        let mut queue = self.queue.lock();
        if queue.closed {
            return Offer::Full;
        }
        let mut bytes = 0;
        for frame in frames {
            if !queue.has_memory(bytes, frame, &self.memory) {
                return Offer::Full;
            }
            bytes += frame.len();
        }
        let offer = queue.make_room(frames.len() as u32, bytes);
        if offer != Offer::Full {
            frames.iter().for_each(|frame| queue.push(frame, wakers));
        }
        offer
    }

    /// Tells the connection that it has [caught up](NextAction::CaughtUp) when the queue is empty: there is more for it.
    pub(crate) fn continue_when_empty(&self, wakers: &mut Wakers) {
        let mut queue = self.queue.lock();
        queue.missed = true;
        queue.wake(wakers);
    }

    /// Queues a frame under `key`. If an entry with this key is still queued, the frame takes its place;
    /// otherwise it is queued at the end, if it fits.
    ///
    /// Only for frames on which no later frame depends. The presence state is not one of them: the diffs
    /// queued after it apply to that state and no other, so it must neither be overwritten nor dropped.
    pub fn offer_replaceable(&self, key: ReplaceKey, frame: &Frame) -> Offer {
        let mut queue = self.queue.lock();
        if queue.closed {
            return Offer::Full;
        }
        if !queue.has_memory(0, frame, &self.memory) {
            return Offer::Full;
        }
        if queue.replace(key, frame) {
            return Offer::Queued;
        }
        let offer = if queue.fits(1, frame.len()) {
            Offer::Queued
        } else {
            // An entry under this key is still queued if it could not be replaced in its place.
            queue.evict_for(1, frame.len(), Some(key))
        };
        if offer == Offer::Full {
            return offer;
        }
        let position = queue.frames.len();
        queue.replaceable.get_or_insert_default().insert(key, position, frame.len());
        let mut wakers = Wakers::collect();
        queue.push(frame, &mut wakers);
        drop(queue);
        wakers.wake_for(self.memory.party());
        offer
    }

    /// Queues a reply to a request of this connection, whether or not it fits.
    ///
    /// The queue is bounded all the same: a connection stops reading while it is
    /// [backlogged](Self::is_backlogged), so at most one burst of replies exceeds the bounds.
    pub fn reply(&self, frame: &Frame) {
        let mut wakers = Wakers::collect();
        self.reply_deferred(frame, &mut wakers);
        wakers.wake_for(self.memory.party());
    }

    /// Like [`reply`](Self::reply), but the caller wakes the connection, after releasing its locks.
    pub(crate) fn reply_deferred(&self, frame: &Frame, wakers: &mut Wakers) {
        let mut queue = self.queue.lock();
        if !queue.closed {
            if !queue.passes_uncharged(frame.len()) {
                frame.charge(&self.memory);
            }
            queue.push(frame, wakers);
        }
    }

    /// Closes the connection once everything queued has been written. The first reason stays.
    pub fn disconnect(&self, disconnect: Disconnect) {
        let mut queue = self.queue.lock();
        queue.disconnect.get_or_insert_with(|| Box::new(disconnect));
        let mut wakers = Wakers::collect();
        queue.wake(&mut wakers);
        drop(queue);
        wakers.wake_for(self.memory.party());
    }
}

#[cfg(test)]
mod tests;
