//! One connection's queue of outgoing frames.
//!
//! Bounded by frames and by bytes, because ten large documents cost as much memory as a thousand cursors.
//! Frames are counted until the socket has accepted them, not until they leave the queue, so there is no
//! hidden second queue. A full outbox is not an error: the room records what the member missed and continues.
//! What waits beyond [`UNCHARGED_BYTES`] is charged to the tenant's memory, and so is the queue itself if it is
//! long; without memory the outbox is as full as if its own bounds were reached.
//! Nothing here waits; the connection's task registers its waker and is woken.
//!
//! An entry may be *replaceable*: queued under a key, it is overwritten in place by a newer frame with the
//! same key, and the oldest of them are the first to be dropped when the outbox is full. So a slow reader receives only
//! the newest cursor of each sender, in its order among everything else.

mod replaceable;

use std::borrow::Cow;
use std::mem;
use std::sync::Arc;
use std::task::{Wake, Waker};

use parking_lot::Mutex;

use crate::bounds::Bounds;
use crate::burst::Burst;
use crate::frame::Frame;
use crate::memory::{MemoryCharge, MemoryKind, TenantMemory, UNCHARGED_BYTES};
use crate::wakers::Wakers;
use crate::worker::WorkerId;

use self::replaceable::{Excess, Positions};

pub use replaceable::ReplaceKey;

/// The frames whose handles take as much memory as is charged at once for a long queue.
const HANDLES_PER_CHARGE: usize = 512;

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

/// The queue, shared by all rooms of which the connection is a member.
///
/// The alignment and the order of the fields let offering and taking a frame touch one cache line only. With
/// thousands of members every line is a cache miss per message, and those dominate the cost of a fan-out.
#[derive(Debug)]
#[repr(align(64))]
pub struct Outbox {
    queue: Mutex<Queue>,
    memory: Arc<TenantMemory>,
}

#[derive(Debug)]
#[repr(C)]
struct Queue {
    max_bytes: usize,
    max_frames: u32,
    /// The worker whose task the waker wakes.
    worker: WorkerId,
    waker: Option<Waker>,
    /// Frames and bytes that are queued or taken by the connection, and not yet accepted by the socket.
    outstanding_bytes: usize,
    outstanding_frames: u32,
    /// Frames were dropped, or are to follow once the queue is empty.
    missed: bool,
    notified: bool,
    /// The socket accepts no bytes at the moment, so that new frames do not wake the connection.
    blocked: bool,
    /// The close frame is being sent, and nothing may follow it.
    closed: bool,
    frames: Burst,
    disconnect: Option<Box<Disconnect>>,
    /// For the handles of a long queue, and the positions of its replaceable entries.
    handles: Option<Box<MemoryCharge>>,
    /// Present once a replaceable entry was queued.
    replaceable: Option<Box<Positions>>,
}

// The lock before the queue has 8 bytes, and so has the first frame in it.
const _: () = assert!(8 + mem::offset_of!(Queue, frames) + 8 <= 64, "the first frame is in the first line");

impl Queue {
    fn register(&mut self, waker: &Waker) {
        if !self.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            self.waker = Some(waker.clone());
            self.worker = WorkerId::current();
        }
    }

    /// Collects the connection's waker, if it is registered.
    fn wake(&mut self, wakers: &mut Wakers) {
        if let Some(waker) = self.waker.take() {
            wakers.add(self.worker, waker);
        }
    }

    fn fits(&self, frames: u32, bytes: usize) -> bool {
        self.outstanding_frames == 0
            || (self.outstanding_frames + frames <= self.max_frames
                && self.outstanding_bytes + bytes <= self.max_bytes)
    }

    /// Whether there is memory for the frame to wait here, behind `ahead` more bytes than there are.
    fn has_memory(&mut self, ahead: usize, frame: &Frame, memory: &Arc<TenantMemory>) -> bool {
        self.outstanding_bytes + ahead + frame.len() <= UNCHARGED_BYTES || self.charge_for(frame, memory)
    }

    /// Charges the frame, and the queue in steps.
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
    fn make_room(&mut self, frames: u32, bytes: usize) -> Offer {
        if self.fits(frames, bytes) { Offer::Queued } else { self.evict_for(frames, bytes, None) }
    }

    /// Apart from the common path, which a fan-out runs for every member.
    #[cold]
    fn evict_for(&mut self, frames: u32, bytes: usize, superseded: Option<ReplaceKey>) -> Offer {
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
    fn replace(&mut self, key: ReplaceKey, frame: &Frame) -> bool {
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

    fn push(&mut self, frame: &Frame, wakers: &mut Wakers) {
        self.outstanding_frames += 1;
        self.outstanding_bytes += frame.len();
        self.frames.push(frame.clone());
        if !self.blocked {
            self.wake(wakers);
        }
    }
}

impl Outbox {
    /// An empty outbox of a client whose tenant has the account `memory`.
    pub fn new(bounds: Bounds, memory: Arc<TenantMemory>) -> Self {
        Self {
            memory,
            queue: Mutex::new(Queue {
                max_bytes: bounds.bytes,
                max_frames: bounds.frames,
                worker: WorkerId::NONE,
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
            }),
        }
    }

    /// The account of the client's tenant.
    pub fn memory(&self) -> &Arc<TenantMemory> {
        &self.memory
    }

    /// Queues a frame if it fits, and wakes the connection.
    pub fn offer(&self, frame: &Frame) -> Offer {
        let mut wakers = Wakers::collect();
        let offer = self.offer_deferred(frame, &mut wakers);
        wakers.wake_for(self.memory.party());
        offer
    }

    /// Like [`offer`](Self::offer), but the caller wakes the connection, after releasing its locks.
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
            if queue.outstanding_bytes + frame.len() > UNCHARGED_BYTES {
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

    /// Drops what is queued and rejects further frames: nothing is sent after a close frame (RFC 6455
    /// §5.5.1).
    pub fn close(&self) {
        let mut queue = self.queue.lock();
        queue.closed = true;
        let dropped = (mem::take(&mut queue.frames), queue.handles.take());
        queue.replaceable = None;
        drop(queue);
        drop(dropped);
    }

    /// Whether so much is outstanding that the connection should not read more requests.
    pub fn is_backlogged(&self) -> bool {
        let queue = self.queue.lock();
        let (frames, bytes) = (queue.max_frames, queue.max_bytes);
        queue.outstanding_frames > frames / 2
            || queue.outstanding_bytes > bytes / 2
            || (queue.outstanding_bytes > UNCHARGED_BYTES && !self.memory.has_room_for(1))
    }

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

    /// Records that the socket has accepted this much.
    pub fn written(&self, frames: u32, bytes: usize) {
        let mut queue = self.queue.lock();
        queue.outstanding_frames -= frames;
        queue.outstanding_bytes -= bytes;
    }

    /// Frees queue memory beyond what an idle connection keeps.
    pub fn shrink(&self) {
        let mut queue = self.queue.lock();
        queue.frames.shrink();
        if queue.frames.is_empty() {
            queue.replaceable = None;
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

#[cfg(test)]
mod tests;
