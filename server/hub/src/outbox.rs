//! One connection's queue of outgoing frames.
//!
//! Bounded twice, by frames and by bytes, because ten large documents hurt as much as a thousand
//! cursors. Frames count until the socket has accepted them, not until they leave the queue, so there
//! is no hidden second one. A full outbox is a verdict, not an error: the room notes what the member
//! missed and moves on. Nothing here waits; the connection's task leaves its waker and is woken.

use std::borrow::Cow;
use std::mem;
use std::sync::Arc;
use std::task::{Wake, Waker};

use parking_lot::Mutex;

use crate::burst::Burst;
use crate::frame::Frame;
use crate::wakers::Wakers;

/// How much one connection may have outstanding. A single frame always fits an empty outbox.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Most bytes.
    pub bytes: usize,
    /// Most frames.
    pub frames: u32,
}

/// Why the server ends a connection: a WebSocket close code and a short text (RFC 6455 §7.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disconnect {
    /// The close code.
    pub code: u16,
    /// At most 123 bytes, as a close frame allows.
    pub reason: Cow<'static, str>,
}

/// What became of a frame.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub enum Offer {
    /// It is in the queue.
    Queued,
    /// There was no room, and the connection has been marked as having missed something; or it is closed.
    Full,
}

/// What the connection finds when it looks into its outbox.
#[derive(Debug, PartialEq, Eq)]
pub enum Turn {
    /// There are frames to write.
    Write,
    /// Nothing is queued, and after a time of being too slow the connection has just caught up: whoever
    /// missed something can be told now.
    CaughtUp,
    /// Nothing is queued, and the connection's timer has gone off.
    Notified,
    /// Nothing is queued and the connection is to be closed.
    Disconnect(Disconnect),
    /// Nothing to do; the waker is registered.
    Idle,
}

/// The queue itself, shared by every room the connection is a member of.
///
/// Aligned, and its fields in this order, so that offering a frame and taking it touch one cache line: with
/// thousands of members each line is fetched anew for each message, and they are what a fan-out costs.
#[derive(Debug)]
#[repr(align(64))]
pub struct Outbox {
    queue: Mutex<Queue>,
}

#[derive(Debug)]
#[repr(C)]
struct Queue {
    bounds: Bounds,
    waker: Option<Waker>,
    /// Frames and bytes that are queued or handed to the connection but not yet accepted by the socket.
    outstanding_bytes: usize,
    outstanding_frames: u32,
    missed: bool,
    notified: bool,
    /// The socket takes nothing: a new frame is no reason to wake the connection.
    blocked: bool,
    /// The close frame is on its way: nothing may follow it.
    closed: bool,
    frames: Burst,
    disconnect: Option<Box<Disconnect>>,
}

impl Queue {
    fn leave(&mut self, waker: &Waker) {
        if !self.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            self.waker = Some(waker.clone());
        }
    }

    fn fits(&self, frame: &Frame) -> bool {
        self.outstanding_frames == 0
            || (self.outstanding_frames < self.bounds.frames
                && self.outstanding_bytes + frame.len() <= self.bounds.bytes)
    }

    fn push(&mut self, frame: &Frame) -> Option<Waker> {
        self.outstanding_frames += 1;
        self.outstanding_bytes += frame.len();
        self.frames.push(frame.clone());
        if self.blocked { None } else { self.waker.take() }
    }
}

impl Outbox {
    /// An empty outbox.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            queue: Mutex::new(Queue {
                bounds,
                waker: None,
                outstanding_bytes: 0,
                outstanding_frames: 0,
                missed: false,
                notified: false,
                blocked: false,
                closed: false,
                frames: Burst::default(),
                disconnect: None,
            }),
        }
    }

    /// Queues a frame if there is room for it, and wakes the connection.
    pub fn offer(&self, frame: &Frame) -> Offer {
        let mut wakers = Wakers::collect();
        let offer = self.offer_deferred(frame, &mut wakers);
        wakers.wake();
        offer
    }

    /// Like [`offer`](Self::offer), but leaves the waking to the caller, who may hold a lock.
    pub(crate) fn offer_deferred(&self, frame: &Frame, wakers: &mut Wakers) -> Offer {
        let mut queue = self.queue.lock();
        if queue.closed {
            return Offer::Full;
        }
        if queue.fits(frame) {
            wakers.extend(queue.push(frame));
            Offer::Queued
        } else {
            queue.missed = true;
            Offer::Full
        }
    }

    /// Queues the answer to something this connection asked, whatever the bounds say.
    ///
    /// The bound holds all the same: a connection stops reading while it is
    /// [backlogged](Self::is_backlogged), so at most one burst of questions is answered beyond it.
    pub fn reply(&self, frame: &Frame) {
        let mut wakers = Wakers::collect();
        self.reply_deferred(frame, &mut wakers);
        wakers.wake();
    }

    /// Like [`answer`](Self::answer), but leaves the waking to the caller, who may hold a lock.
    pub(crate) fn reply_deferred(&self, frame: &Frame, wakers: &mut Wakers) {
        let mut queue = self.queue.lock();
        if !queue.closed {
            wakers.extend(queue.push(frame));
        }
    }

    /// Asks the connection to close once everything queued has been written. The first reason stays.
    pub fn disconnect(&self, disconnect: Disconnect) {
        let mut queue = self.queue.lock();
        queue.disconnect.get_or_insert_with(|| Box::new(disconnect));
        let waker = queue.waker.take();
        drop(queue);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Drops what is queued and takes nothing any more: after a close frame nothing is sent (RFC 6455
    /// §5.5.1).
    pub fn close(&self) {
        let mut queue = self.queue.lock();
        queue.closed = true;
        let dropped = mem::take(&mut queue.frames);
        drop(queue);
        drop(dropped);
    }

    /// Whether so much is outstanding that the connection should not take on more work.
    pub fn is_backlogged(&self) -> bool {
        let queue = self.queue.lock();
        let Bounds { frames, bytes } = queue.bounds;
        queue.outstanding_frames > frames / 2 || queue.outstanding_bytes > bytes / 2
    }

    /// Moves everything queued into `burst`, which must be empty, or leaves `waker` to be woken by.
    ///
    /// The two buffers are exchanged, so nothing is copied and no memory is asked for.
    pub fn take(&self, burst: &mut Burst, waker: &Waker) -> Turn {
        debug_assert!(burst.is_empty(), "a burst is written before the next is taken");
        let mut queue = self.queue.lock();
        queue.blocked = false;
        if !queue.frames.is_empty() {
            mem::swap(&mut queue.frames, burst);
            return Turn::Write;
        }
        if mem::take(&mut queue.notified) {
            return Turn::Notified;
        }
        if mem::take(&mut queue.missed) {
            return Turn::CaughtUp;
        }
        queue.leave(waker);
        match &queue.disconnect {
            Some(disconnect) => Turn::Disconnect(Disconnect::clone(disconnect)),
            None => Turn::Idle,
        }
    }

    /// For a connection that cannot get to its queue because the socket takes nothing: whether the alarm has
    /// gone off. If not, `waker` is woken by it, and not by frames, which would find the socket as it is.
    pub fn take_notified(&self, waker: &Waker) -> bool {
        let mut queue = self.queue.lock();
        if mem::take(&mut queue.notified) {
            return true;
        }
        queue.blocked = true;
        queue.leave(waker);
        false
    }

    /// Notes that the socket has accepted this much.
    pub fn written(&self, frames: u32, bytes: usize) {
        let mut queue = self.queue.lock();
        queue.outstanding_frames -= frames;
        queue.outstanding_bytes -= bytes;
    }

    /// Gives back queue memory beyond what an idle connection keeps. Called when it has been quiet.
    pub fn shrink(&self) {
        self.queue.lock().frames.shrink();
    }
}

/// As a waker an outbox notifies its connection: what wakes it is found in the queue, and so costs a delivery nothing.
impl Wake for Outbox {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut queue = self.queue.lock();
        queue.notified = true;
        let waker = queue.waker.take();
        drop(queue);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(len: usize) -> Frame {
        Frame::new(vec![0; len], 0)
    }

    fn taken(outbox: &Outbox) -> usize {
        let mut burst = Burst::default();
        while !matches!(outbox.take(&mut burst, Waker::noop()), Turn::Write) {}
        burst.len()
    }

    #[test]
    fn one_frame_always_fits_an_empty_outbox() {
        let outbox = Outbox::new(Bounds { bytes: 10, frames: 1 });
        assert_eq!(outbox.offer(&frame(1_000)), Offer::Queued);
        assert_eq!(outbox.offer(&frame(1)), Offer::Full);
    }

    #[test]
    fn frames_count_until_the_socket_has_them() {
        let outbox = Outbox::new(Bounds { frames: 2, bytes: 100 });
        outbox.offer(&frame(10));
        outbox.offer(&frame(10));
        assert_eq!(taken(&outbox), 2);
        assert_eq!(outbox.offer(&frame(10)), Offer::Full, "taken is not written");
        outbox.written(1, 10);
        assert_eq!(outbox.offer(&frame(10)), Offer::Queued);
    }

    #[test]
    fn a_connection_that_missed_something_is_told_when_it_has_caught_up() {
        let outbox = Outbox::new(Bounds { frames: 1, bytes: 100 });
        outbox.offer(&frame(10));
        outbox.offer(&frame(10));
        let mut burst = Burst::default();
        assert_eq!(outbox.take(&mut burst, Waker::noop()), Turn::Write);
        burst = Burst::default();
        outbox.written(1, 10);
        assert_eq!(outbox.take(&mut burst, Waker::noop()), Turn::CaughtUp);
        assert_eq!(outbox.take(&mut burst, Waker::noop()), Turn::Idle);
    }

    #[test]
    fn goodbye_comes_after_everything_queued_and_keeps_its_first_reason() {
        let outbox = Outbox::new(Bounds { frames: 4, bytes: 100 });
        outbox.disconnect(Disconnect { code: 1012, reason: "first".into() });
        outbox.disconnect(Disconnect { code: 1013, reason: "second".into() });
        outbox.reply(&frame(1));
        let mut burst = Burst::default();
        assert_eq!(outbox.take(&mut burst, Waker::noop()), Turn::Write);
        burst = Burst::default();
        let first = Disconnect { code: 1012, reason: "first".into() };
        assert_eq!(outbox.take(&mut burst, Waker::noop()), Turn::Disconnect(first));
    }
}
