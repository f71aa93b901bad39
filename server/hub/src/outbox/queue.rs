//! What an outbox holds, under its lock: which frames fit, what is charged for them, and which entries make room.

use std::mem;
use std::sync::Arc;
use std::task::Waker;

use super::replaceable::{Excess, Positions};
use super::{Disconnect, Offer, ReplaceKey};
use crate::bounds::Bounds;
use crate::burst::Burst;
use crate::frame::Frame;
use crate::memory::{MemoryCharge, MemoryKind, TenantMemory, UNCHARGED_BYTES};
use crate::wakers::Wakers;
use crate::worker::WorkerId;

/// The frames whose handles take as much memory as is charged at once for a long queue.
const HANDLES_PER_CHARGE: usize = 512;

/// What is behind the lock, in this order in memory: what a delivery touches comes first.
#[derive(Debug)]
#[repr(C)]
pub(super) struct OutboxQueue {
    pub(super) max_bytes: usize,
    pub(super) max_frames: u32,
    /// The worker whose task the waker wakes.
    worker: WorkerId,
    /// A task waits in `awaited_by`.
    pub(super) is_awaited: bool,
    waker: Option<Waker>,
    /// Frames and bytes that are queued or taken by the connection, and not yet accepted by the socket.
    pub(super) outstanding_bytes: usize,
    pub(super) outstanding_frames: u32,
    /// Frames were dropped, or are to follow once the queue is empty.
    pub(super) missed: bool,
    pub(super) notified: bool,
    /// The socket accepts no bytes at the moment, so that new frames do not wake the connection.
    pub(super) blocked: bool,
    /// The close frame is being sent, and nothing may follow it.
    pub(super) closed: bool,
    pub(super) frames: Burst,
    pub(super) disconnect: Option<Box<Disconnect>>,
    /// For the handles of a long queue, and the positions of its replaceable entries.
    pub(super) handles: Option<Box<MemoryCharge>>,
    /// Present once a replaceable entry was queued.
    pub(super) replaceable: Option<Box<Positions>>,
    /// Waits until little is outstanding.
    pub(super) awaited_by: Option<Box<Waker>>,
}

// The lock before the queue has 8 bytes, and so has the first frame in it.
const _: () =
    assert!(8 + mem::offset_of!(OutboxQueue, frames) + 8 <= 64, "the first frame is in the first line");

impl OutboxQueue {
    /// An empty queue.
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            max_bytes: bounds.bytes,
            max_frames: bounds.frames,
            worker: WorkerId::NONE,
            is_awaited: false,
            waker: None,
            outstanding_bytes: 0,
            outstanding_frames: 0,
            missed: false,
            notified: false,
            blocked: false,
            closed: false,
            frames: Burst::default(),
            disconnect: None,
            handles: None,
            replaceable: None,
            awaited_by: None,
        }
    }

    /// Whether more than a part of what may be queued is outstanding: 2 for half of it.
    pub(super) fn exceeds(&self, part: u32) -> bool {
        self.outstanding_frames > self.max_frames / part
            || self.outstanding_bytes > self.max_bytes / part as usize
    }

    /// The task that waits, if so little is outstanding that it may continue.
    pub(super) fn take_awaiting(&mut self) -> Option<Box<Waker>> {
        if !self.is_awaited || (self.exceeds(4) && !self.closed) {
            return None;
        }
        self.is_awaited = false;
        self.awaited_by.take()
    }

    pub(super) fn register(&mut self, waker: &Waker) {
        if !self.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            self.waker = Some(waker.clone());
            self.worker = WorkerId::current();
        }
    }

    /// Collects the connection's waker, if it is registered.
    pub(super) fn wake(&mut self, wakers: &mut Wakers) {
        if let Some(waker) = self.waker.take() {
            wakers.add(self.worker, waker);
        }
    }

    pub(super) fn fits(&self, frames: u32, bytes: usize) -> bool {
        self.outstanding_frames == 0
            || (self.outstanding_frames + frames <= self.max_frames
                && self.outstanding_bytes + bytes <= self.max_bytes)
    }

    /// Whether there is memory for the frame to wait here, behind `ahead` more bytes than there are.
    #[inline]
    pub(super) fn has_memory(&mut self, ahead: usize, frame: &Frame, memory: &Arc<TenantMemory>) -> bool {
        self.passes_uncharged(ahead + frame.len()) || self.charge_for(frame, memory)
    }

    /// Whether so many bytes more are not charged.
    pub(super) fn passes_uncharged(&self, bytes: usize) -> bool {
        !self.blocked && self.outstanding_bytes + bytes <= UNCHARGED_BYTES
    }

    /// Charges the frame, and the queue in steps. Apart from the common path, as what follows.
    #[cold]
    fn charge_for(&mut self, frame: &Frame, memory: &Arc<TenantMemory>) -> bool {
        const STEP: usize = HANDLES_PER_CHARGE * size_of::<Frame>();
        let charged = self.handles.as_ref().map_or(0, |charge| charge.bytes());
        let positions = self.replaceable.as_ref().map_or(0, |positions| positions.memory());
        let taken = self.frames.len() * size_of::<Frame>() + positions;
        let is_charged = if taken < charged + STEP {
            frame.try_charge(memory)
        } else {
            let grown = match &mut self.handles {
                Some(charge) => charge.try_grow(taken - charged),
                none => {
                    *none = memory.try_charge(MemoryKind::Sending, taken).map(Box::new);
                    none.is_some()
                }
            };
            grown && frame.try_charge(memory)
        };
        if !is_charged {
            self.missed = true;
            memory.count_refusal(MemoryKind::Sending);
        }
        is_charged
    }

    /// Makes frames of so many bytes fit, by dropping replaceable entries if that is necessary and enough.
    pub(super) fn make_room(&mut self, frames: u32, bytes: usize) -> Offer {
        if self.fits(frames, bytes) { Offer::Queued } else { self.evict_for(frames, bytes, None) }
    }

    /// Apart from the common path, which a fan-out runs for every member.
    #[cold]
    pub(super) fn evict_for(&mut self, frames: u32, bytes: usize, superseded: Option<ReplaceKey>) -> Offer {
        self.missed = true;
        let (have_frames, have_bytes) =
            self.replaceable.as_ref().map_or((0, 0), |positions| positions.size());
        let frames_left = self.outstanding_frames - have_frames;
        let is_enough = frames_left == 0
            || (frames_left + frames <= self.max_frames
                && self.outstanding_bytes - have_bytes + bytes <= self.max_bytes);
        let Some(positions) = self.replaceable.as_mut().filter(|_| have_frames > 0 && is_enough) else {
            return Offer::Full;
        };
        let excess = Excess {
            frames: (self.outstanding_frames + frames).saturating_sub(self.max_frames),
            bytes: (self.outstanding_bytes + bytes).saturating_sub(self.max_bytes),
        };
        let (evicted, evicted_bytes) = positions.evict(superseded, excess, &mut self.frames);
        self.outstanding_frames -= evicted;
        self.outstanding_bytes -= evicted_bytes;
        Offer::Evicted(evicted)
    }

    /// Puts `frame` in the place of the entry with this key, if there is one and the frame fits there.
    pub(super) fn replace(&mut self, key: ReplaceKey, frame: &Frame) -> bool {
        let Some(positions) = &mut self.replaceable else { return false };
        let position = positions.get(key);
        let Some(queued) = position.and_then(|position| self.frames.get_mut(position)) else { return false };
        let bytes = self.outstanding_bytes - queued.len() + frame.len();
        let fits = bytes <= self.max_bytes || frame.len() <= queued.len() || self.outstanding_frames == 1;
        if fits {
            self.outstanding_bytes = bytes;
            positions.resize(queued.len(), frame.len());
            *queued = frame.clone();
        }
        fits
    }

    pub(super) fn push(&mut self, frame: &Frame, wakers: &mut Wakers) {
        self.outstanding_frames += 1;
        self.outstanding_bytes += frame.len();
        self.frames.push(frame.clone());
        if !self.blocked {
            self.wake(wakers);
        }
    }
}
