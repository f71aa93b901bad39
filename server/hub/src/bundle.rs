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
    /// Where it ends in the frame of the bundle for each dialect. It begins where the one before it ends.
    ends: [usize; Dialect::COUNT],
    /// Its relay frame, if it is kept.
    kept: Option<Frame>,
}

impl SingleMessage {
    /// The messages in `frame`, which is that of their bundle in `dialect`, with their ids. Only for members that do not
    /// receive all of them: each is copied, unless it is the only one.
    pub(crate) fn split(
        single: &[Self],
        frame: &Frame,
        dialect: Dialect,
    ) -> impl Iterator<Item = (Option<u128>, Frame)> {
        let mut end = 0;
        single.iter().filter_map(move |message| {
            let begin = std::mem::replace(&mut end, message.ends[dialect.index()]);
            let frame = match end - begin {
                0 => return None,
                all if all == frame.len() => frame.clone(),
                _some => Frame::new(frame.bytes()[begin..end].to_vec(), 0),
            };
            Some((message.id, frame))
        })
    }

    /// The same message alone, in a dialect in which it was not encoded. `None` if it is not kept, or cannot be expressed.
    pub(crate) fn encoded(&self, topic: &str, dialect: Dialect, encode: EncodeKept) -> Option<(Self, Frame)> {
        let frame = encode(self.kept.as_ref()?, topic, dialect)?;
        Some((Self { id: self.id, ends: [frame.len(); Dialect::COUNT], kept: None }, frame))
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
        let is_recorded = id.is_some() || !self.single.is_empty();
        if is_recorded && self.single.is_empty() && self.messages > 0 {
            self.record(None, None);
        }
        self.messages += 1;
        for (part, frame) in self.parts.iter_mut().zip(frames.iter()) {
            if let Some(frame) = frame {
                part.add(frame);
            }
        }
        if is_recorded {
            self.record(id, kept);
        }
    }

    /// Notes where the last message ends in each dialect. Apart from the path of messages without ids.
    #[inline(never)]
    fn record(&mut self, id: Option<u128>, kept: Option<Frame>) {
        let ends = self.parts.each_ref().map(Part::len);
        self.single.push(SingleMessage { id, ends, kept });
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
