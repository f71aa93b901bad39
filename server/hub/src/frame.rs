//! Bytes ready for a socket, shared by everyone who is to receive them.
//!
//! A frame is a *whole* WebSocket frame. Server frames are not masked, so its bytes are the same for
//! every member of a room, and a burst of frames goes out in one vectored write without a copy. The
//! handle is one pointer wide: a thousand outboxes hold a thousand pointers, not a thousand payloads.

use std::fmt;
use std::sync::Arc;

/// How a connection spells events. An opaque index: what it stands for is known to `wire` alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Dialect(u8);

impl Dialect {
    /// How many dialects there may be; sizes the tables that hold one entry for each.
    pub const COUNT: usize = 5;

    /// How nodes spell events among themselves: the form an event came in, so that every other node can say
    /// it in all the dialects of its own members. No member speaks it. What it stands for is delimited by
    /// itself, as messages are put end to end in a [`Bundle`](crate::Bundle).
    pub const RELAY: Self = Self(Self::COUNT as u8 - 1);

    /// The members' dialect with this index.
    ///
    /// # Panics
    /// If `index` is not below that of [`Dialect::RELAY`], the last: dialects are constants, so this fails at
    /// compile time.
    pub const fn new(index: u8) -> Self {
        assert!(index < Self::RELAY.0, "a member's dialect comes before Dialect::RELAY");
        Self(index)
    }

    /// Its place in a table of [`Dialect::COUNT`] entries.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// One whole WebSocket frame, header included. Cloning shares the bytes.
#[derive(Clone)]
pub struct Frame(Arc<Contents>);

/// The header is written *before* the payload once the length is known, right-aligned against it;
/// `start` is where it begins. So a payload of any size is encoded once and never moved.
struct Contents {
    bytes: Vec<u8>,
    start: u8,
}

impl Frame {
    /// The frame that begins at `start` in `bytes` (what lies before is unused header space).
    ///
    /// # Panics
    /// If `start` lies beyond the bytes.
    pub fn new(bytes: Vec<u8>, start: u8) -> Self {
        assert!(usize::from(start) <= bytes.len(), "a frame begins inside its bytes");
        Self(Arc::new(Contents { bytes, start }))
    }

    /// `frames` end to end, to be sent as if they were one.
    pub fn concat(frames: &[Self]) -> Self {
        match frames {
            [frame] => frame.clone(),
            frames => Self::new(frames.iter().map(Self::bytes).collect::<Vec<_>>().concat(), 0),
        }
    }

    /// What goes over the wire.
    pub fn bytes(&self) -> &[u8] {
        &self.0.bytes[usize::from(self.0.start)..]
    }

    /// Length on the wire, in bytes.
    pub fn len(&self) -> usize {
        self.0.bytes.len() - usize::from(self.0.start)
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frame({} bytes)", self.len())
    }
}

/// Something that happened, able to say itself in every dialect.
pub trait Encode {
    /// The frame members of `dialect` receive in the room called `topic`; `None` when the dialect cannot
    /// express the event, in which case those members receive nothing.
    fn encode(&self, topic: &str, dialect: Dialect) -> Option<Frame>;
}

/// The frames of one event: at most one per dialect, encoded before any lock is taken.
#[derive(Debug, Default)]
pub struct FrameCache([Option<Frame>; Dialect::COUNT]);

impl FrameCache {
    /// Encodes `event` for every dialect that `wanted` says has members.
    pub fn encode(event: &impl Encode, topic: &str, wanted: impl Fn(Dialect) -> bool) -> Self {
        Self(std::array::from_fn(|index| {
            let dialect = Dialect(index as u8);
            if wanted(dialect) { event.encode(topic, dialect) } else { None }
        }))
    }

    /// The frames by the index of their dialect.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Option<&Frame>> {
        self.0.iter().map(Option::as_ref)
    }

    /// The frame for members of `dialect`, if there is one.
    pub fn get(&self, dialect: Dialect) -> Option<&Frame> {
        self.0[dialect.index()].as_ref()
    }
}

impl From<[Option<Frame>; Dialect::COUNT]> for FrameCache {
    fn from(frames: [Option<Frame>; Dialect::COUNT]) -> Self {
        Self(frames)
    }
}
