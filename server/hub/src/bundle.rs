//! Messages of one sender that are published together.
//!
//! Several messages of a client are often read from its socket at once. Concatenated, they cost each receiver
//! as much as one message: one pointer pushed, one slice written. The concatenation copies the bytes once,
//! however many members receive them.

use std::sync::Arc;

use crate::frame::{Dialect, Frame, FrameCache};
use crate::history::{History, HistoryBounds, Keep, KeptMessage};
use crate::topic::RoomKey;

/// A bundle is full with this many messages, or with `BYTES_MAX` bytes in any dialect.
const MESSAGES_MAX: u32 = 32;
const BYTES_MAX: usize = 64 * 1024;

/// Encoded messages in order, one sequence per dialect.
#[derive(Debug, Default)]
pub struct Bundle {
    parts: [Part; Dialect::COUNT],
    messages: u32,
    kept: Option<Box<KeptMessages>>,
    /// The messages one by one, once one of them has an id: a member to which one was replayed receives the others.
    single: Vec<SingleMessage>,
}

/// A message of a bundle, or several that precede the first one with an id.
#[derive(Debug)]
pub(crate) struct SingleMessage {
    pub(crate) id: Option<u128>,
    frames: [Option<Frame>; Dialect::COUNT],
}

impl SingleMessage {
    /// The frame for members of this dialect. Those of all groups are the same.
    pub(crate) fn frame(&self, dialect: Dialect) -> Option<&Frame> {
        self.frames[dialect.index()].as_ref()
    }

    /// The same message in a dialect in which it was not encoded. `None` if it is not kept, or cannot be expressed.
    pub(crate) fn encoded(&self, topic: &str, dialect: Dialect, encode: EncodeKept) -> Option<Self> {
        let frame = encode(self.frame(Dialect::RELAY)?, topic, dialect);
        let mut frames = [const { None }; Dialect::COUNT];
        frames[dialect.index()] = Some(frame?);
        Some(Self { id: self.id, frames })
    }
}

/// A bundle as it is published.
#[derive(Debug)]
pub(crate) struct BundleFrames {
    /// One frame per dialect, with all messages.
    pub(crate) frames: FrameCache,
    /// The messages that are kept.
    pub(crate) kept: Option<Box<KeptMessages>>,
    /// See [`Bundle::single`].
    pub(crate) single: Vec<SingleMessage>,
}

/// Those of the messages that the room is going to keep.
#[derive(Debug)]
pub(crate) struct KeptMessages {
    pub(crate) history: Arc<History>,
    pub(crate) messages: Vec<KeptMessage>,
    /// See [`Keep::encode`].
    pub(crate) encode: EncodeKept,
}

/// Encodes a message from its relay frame.
pub(crate) type EncodeKept = fn(&Frame, &str, Dialect) -> Option<Frame>;

impl KeptMessages {
    /// Keeps them as the next messages of a room. Returns the bounds, if messages are kept.
    pub(crate) fn keep(self, room: &Arc<RoomKey>) -> Option<HistoryBounds> {
        self.history.keep(room, self.messages)
    }
}

/// The messages in one dialect. A single message is not copied.
#[derive(Debug, Default)]
enum Part {
    #[default]
    Empty,
    One(Frame),
    Many(Vec<u8>),
}

impl Part {
    fn add(&mut self, frame: &Frame) {
        match self {
            Self::Empty => *self = Self::One(frame.clone()),
            Self::One(first) => *self = Self::Many([first.bytes(), frame.bytes()].concat()),
            Self::Many(bytes) => bytes.extend_from_slice(frame.bytes()),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Empty => 0,
            Self::One(frame) => frame.len(),
            Self::Many(bytes) => bytes.len(),
        }
    }

    fn to_frame(&self) -> Option<Frame> {
        match self {
            Self::Empty => None,
            Self::One(frame) => Some(frame.clone()),
            Self::Many(bytes) => Some(Frame::new(bytes.clone(), 0)),
        }
    }

    fn into_frame(self) -> Option<Frame> {
        match self {
            Self::Empty => None,
            Self::One(frame) => Some(frame),
            Self::Many(bytes) => Some(Frame::new(bytes, 0)),
        }
    }
}

impl Bundle {
    /// Appends one message. `kept` is its relay frame, if it is kept.
    pub(crate) fn add(&mut self, frames: &FrameCache, id: Option<u128>, kept: Option<Frame>) {
        if id.is_some() || !self.single.is_empty() {
            if self.single.is_empty() && self.messages > 0 {
                let before = self.parts.each_ref().map(Part::to_frame);
                self.single.push(SingleMessage { id: None, frames: before });
            }
            let mut frames = frames.iter().map(Option::<&Frame>::cloned);
            let mut frames: [_; Dialect::COUNT] = std::array::from_fn(|_dialect| frames.next().flatten());
            frames[Dialect::RELAY.index()] = kept;
            self.single.push(SingleMessage { id, frames });
        }
        self.messages += 1;
        for (part, frame) in self.parts.iter_mut().zip(frames.iter()) {
            if let Some(frame) = frame {
                part.add(frame);
            }
        }
    }

    /// The message that is added next is kept, as this relay frame. All messages of a bundle that are kept are so in one history.
    pub(crate) fn keep(&mut self, keep: Keep<'_>, frame: Frame) {
        let Keep { history, id, sent_at, encode } = keep;
        let message = KeptMessage { id, sent_at, frame };
        let kept = self.kept.get_or_insert_with(|| {
            Box::new(KeptMessages { history: Arc::clone(history), messages: Vec::new(), encode })
        });
        kept.messages.push(message);
    }

    /// The number of messages.
    pub fn messages(&self) -> u32 {
        self.messages
    }

    /// Whether the bundle should be published before more is added.
    pub fn is_full(&self) -> bool {
        self.messages >= MESSAGES_MAX || self.parts.iter().any(|part| part.len() >= BYTES_MAX)
    }

    /// What is published of it.
    pub(crate) fn into_frames(self) -> BundleFrames {
        let frames = FrameCache::from(self.parts.map(Part::into_frame));
        BundleFrames { frames, kept: self.kept, single: self.single }
    }
}
