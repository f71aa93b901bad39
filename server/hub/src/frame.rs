//! Bytes ready for a socket, shared by all members that receive them.
//!
//! A frame is a *whole* WebSocket frame. Server frames are not masked, so its bytes are the same for
//! every member of a room, and a burst of frames goes out in one vectored write without a copy. The
//! handle is one pointer wide: a thousand outboxes hold a thousand pointers, not a thousand payloads. So a frame
//! is charged to its tenant once, by the first outbox in which it waits behind others, and until the last one
//! has sent it.

use std::fmt;
use std::sync::{Arc, OnceLock, Weak};

use crate::memory::{MemoryKind, TenantMemory};

/// Bytes that a frame takes beside its contents: counters, and what the allocator rounds up.
const FRAME_OVERHEAD: usize = 128;

/// The encoding a connection uses. An opaque index: only `wire` knows what it stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dialect(u8);

impl Dialect {
    /// The number of dialects; sizes the tables that hold one entry for each.
    pub const COUNT: usize = 5;

    /// The encoding between nodes: the form in which an event was received, from which every other node can
    /// encode it in the dialects of its own members. No member uses it. Its messages are self-delimiting,
    /// because a [`Bundle`](crate::Bundle) concatenates them.
    pub const RELAY: Self = Self(Self::COUNT as u8 - 1);

    /// The members' dialect with this index.
    ///
    /// # Panics
    /// If `index` is not below that of [`Dialect::RELAY`], which is the last. Dialects are constants, so this
    /// fails at compile time.
    pub const fn new(index: u8) -> Self {
        assert!(index < Self::RELAY.0, "a member's dialect comes before Dialect::RELAY");
        Self(index)
    }

    /// The index into a table of [`Dialect::COUNT`] entries.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// What the frames of some events depend on besides the dialect, such as the subscriptions of a member.
/// Chosen at join; the number has a meaning only to those who choose it and encode for it, and within one
/// room.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Group(u32);

impl Group {
    /// The group of members for whom no event is encoded differently.
    pub const DEFAULT: Self = Self(0);

    /// The group with this number, which is less than 2³⁰.
    ///
    /// # Panics
    /// If it is greater.
    pub const fn new(number: u32) -> Self {
        assert!(number < 1 << 30, "a member's group has 30 bits");
        Self(number)
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// One whole WebSocket frame, header included. Cloning shares the bytes.
#[derive(Clone)]
pub struct Frame(Arc<Contents>);

/// The header is written *before* the payload once the length is known, right-aligned against it, and begins
/// at `start`. So a payload of any size is encoded once and never moved.
struct Contents {
    bytes: Vec<u8>,
    start: u8,
    /// The account to which it is charged, if it is.
    charged_to: OnceLock<Arc<TenantMemory>>,
}

impl Contents {
    /// The bytes that it takes.
    fn size(&self) -> usize {
        self.bytes.capacity() + FRAME_OVERHEAD
    }
}

impl Drop for Contents {
    fn drop(&mut self) {
        if let Some(memory) = self.charged_to.get() {
            memory.subtract(MemoryKind::Sending, self.size());
        }
    }
}

impl Frame {
    /// The frame that begins at `start` in `bytes`; the bytes before it are unused header space.
    ///
    /// # Panics
    /// If `start` is greater than the length of `bytes`.
    pub fn new(bytes: Vec<u8>, start: u8) -> Self {
        assert!(usize::from(start) <= bytes.len(), "a frame begins inside its bytes");
        Self(Arc::new(Contents { bytes, start, charged_to: OnceLock::new() }))
    }

    /// Concatenates `frames` into one, in order.
    pub fn concat(frames: &[Self]) -> Self {
        match frames {
            [frame] => frame.clone(),
            frames => Self::new(frames.iter().map(Self::bytes).collect::<Vec<_>>().concat(), 0),
        }
    }

    /// The bytes to write to the socket.
    pub fn bytes(&self) -> &[u8] {
        &self.0.bytes[usize::from(self.0.start)..]
    }

    /// The number of [`bytes`](Self::bytes).
    pub fn len(&self) -> usize {
        self.0.bytes.len() - usize::from(self.0.start)
    }

    /// Charges the frame to `memory` if it is not charged yet. Returns whether there is memory for it.
    pub(crate) fn try_charge(&self, memory: &Arc<TenantMemory>) -> bool {
        if self.0.charged_to.get().is_some() {
            return true;
        }
        // Asked first without a write, because a room may have thousands of members that ask in vain.
        if !memory.has_room_for(self.0.size()) {
            return false;
        }
        self.charge(memory);
        true
    }

    /// Charges the frame to `memory` if it is not charged yet, whether or not there is memory for it.
    pub(crate) fn charge(&self, memory: &Arc<TenantMemory>) {
        if self.0.charged_to.get().is_some() {
            return;
        }
        memory.add(MemoryKind::Sending, self.0.size());
        if self.0.charged_to.set(Arc::clone(memory)).is_err() {
            // Another thread was faster.
            memory.subtract(MemoryKind::Sending, self.0.size());
        }
    }

    /// Whether the frame has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A frame that exists only while it is queued elsewhere.
#[derive(Clone)]
pub(crate) struct WeakFrame(Weak<Contents>);

impl Frame {
    /// A handle that does not keep the bytes.
    pub(crate) fn downgrade(&self) -> WeakFrame {
        WeakFrame(Arc::downgrade(&self.0))
    }
}

impl WeakFrame {
    /// The frame, if it still exists.
    pub(crate) fn upgrade(&self) -> Option<Frame> {
        self.0.upgrade().map(Frame)
    }
}

impl fmt::Debug for WeakFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WeakFrame({} in use)", self.0.strong_count())
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frame({} bytes)", self.len())
    }
}

/// An event that can be encoded in every dialect.
pub trait Encode {
    /// The frame that members of `dialect` receive in the room named `topic`. `None` when the dialect cannot
    /// express the event; those members receive nothing then.
    fn encode(&self, topic: &str, dialect: Dialect) -> Option<Frame>;

    /// Identifies it in its room, if it has an id: a member to which it was replayed does not receive it again.
    fn id(&self) -> Option<u128> {
        None
    }
}

/// An event whose frames depend on the delivery group as well as on the dialect.
pub trait EncodeByGroup {
    /// The frame that members of `dialect` and `group` receive in the room named `topic`; `None` if they
    /// receive nothing. In [`Dialect::RELAY`] it is asked for the [default](Group::DEFAULT) group only.
    fn encode(&self, topic: &str, dialect: Dialect, group: Group) -> Option<Frame>;
}

/// The frames of one event: at most one per dialect, or per dialect and delivery group, encoded before any
/// lock is taken.
#[derive(Debug, Default)]
pub struct FrameCache {
    by_dialect: [Option<Frame>; Dialect::COUNT],
    /// Sorted. Empty, and without memory of its own, for an event that is the same for all groups.
    by_group: Vec<((Group, Dialect), Frame)>,
}

impl FrameCache {
    /// Encodes `event` in every dialect for which `wanted` is true.
    pub fn encode(event: &impl Encode, topic: &str, wanted: impl Fn(Dialect) -> bool) -> Self {
        let by_dialect = std::array::from_fn(|index| {
            let dialect = Dialect(index as u8);
            if wanted(dialect) { event.encode(topic, dialect) } else { None }
        });
        by_dialect.into()
    }

    /// Encodes `event` for each of `receivers`, which are sorted. [`Dialect::RELAY`] may be among them.
    pub(crate) fn encode_by_group(
        event: &impl EncodeByGroup,
        topic: &str,
        receivers: impl IntoIterator<Item = (Group, Dialect)>,
    ) -> Self {
        let mut cache = Self::default();
        for (group, dialect) in receivers {
            let frame = event.encode(topic, dialect, group);
            if dialect == Dialect::RELAY {
                cache.by_dialect[dialect.index()] = frame;
            } else {
                cache.by_group.extend(frame.map(|frame| ((group, dialect), frame)));
            }
        }
        cache
    }

    /// Whether nothing was encoded.
    pub(crate) fn is_empty(&self) -> bool {
        self.by_group.is_empty() && self.iter().all(|frame| frame.is_none())
    }

    /// The frames in the order of their dialects' indices.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Option<&Frame>> {
        self.by_dialect.iter().map(Option::as_ref)
    }

    /// The frame for members of `dialect` and `group`, if there is one.
    pub fn get(&self, dialect: Dialect, group: Group) -> Option<&Frame> {
        if self.by_group.is_empty() {
            return self.by_dialect[dialect.index()].as_ref();
        }
        let found = self.by_group.binary_search_by_key(&(group, dialect), |(receivers, _)| *receivers);
        found.ok().map(|index| &self.by_group[index].1)
    }

    /// The frame in [`Dialect::RELAY`], if there is one.
    pub(crate) fn relay(&self) -> Option<&Frame> {
        self.by_dialect[Dialect::RELAY.index()].as_ref()
    }

    /// Removes the frame in [`Dialect::RELAY`].
    pub(crate) fn take_relay(&mut self) -> Option<Frame> {
        self.by_dialect[Dialect::RELAY.index()].take()
    }
}

impl From<[Option<Frame>; Dialect::COUNT]> for FrameCache {
    fn from(frames: [Option<Frame>; Dialect::COUNT]) -> Self {
        Self { by_dialect: frames, by_group: Vec::new() }
    }
}
