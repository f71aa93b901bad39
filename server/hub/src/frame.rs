//! Bytes ready for a socket, shared by all members that receive them.
//!
//! A frame is a *whole* WebSocket frame. Server frames are not masked, so its bytes are the same for
//! every member of a room, and a burst of frames goes out in one vectored write without a copy. The
//! handle is one pointer wide: a thousand outboxes hold a thousand pointers, not a thousand payloads.

use std::fmt;
use std::sync::Arc;

/// The encoding a connection uses. An opaque index: only `wire` knows what it stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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

/// One whole WebSocket frame, header included. Cloning shares the bytes.
#[derive(Clone)]
pub struct Frame(Arc<Contents>);

/// The header is written *before* the payload once the length is known, right-aligned against it, and begins
/// at `start`. So a payload of any size is encoded once and never moved.
struct Contents {
    bytes: Vec<u8>,
    start: u8,
}

impl Frame {
    /// The frame that begins at `start` in `bytes`; the bytes before it are unused header space.
    ///
    /// # Panics
    /// If `start` is greater than the length of `bytes`.
    pub fn new(bytes: Vec<u8>, start: u8) -> Self {
        assert!(usize::from(start) <= bytes.len(), "a frame begins inside its bytes");
        Self(Arc::new(Contents { bytes, start }))
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

    /// Whether the frame has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
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
}

/// The frames of one event: at most one per dialect, encoded before any lock is taken.
#[derive(Debug, Default)]
pub struct FrameCache([Option<Frame>; Dialect::COUNT]);

impl FrameCache {
    /// Encodes `event` in every dialect for which `wanted` is true.
    pub fn encode(event: &impl Encode, topic: &str, wanted: impl Fn(Dialect) -> bool) -> Self {
        Self(std::array::from_fn(|index| {
            let dialect = Dialect(index as u8);
            if wanted(dialect) { event.encode(topic, dialect) } else { None }
        }))
    }

    /// Whether nothing was encoded.
    pub(crate) fn is_empty(&self) -> bool {
        self.iter().all(|frame| frame.is_none())
    }

    /// The frames in the order of their dialects' indices.
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
