//! Messages of one sender that are published together.
//!
//! Several messages of a client are often read from its socket at once. Concatenated, they cost each receiver
//! as much as one message: one pointer pushed, one slice written. The concatenation copies the bytes once,
//! however many members receive them.

use crate::frame::{Dialect, Frame, FrameCache};

/// A bundle is full with this many messages, or with `BYTES_MAX` bytes in any dialect.
const MESSAGES_MAX: u32 = 32;
const BYTES_MAX: usize = 64 * 1024;

/// Encoded messages in order, one sequence per dialect.
#[derive(Debug, Default)]
pub struct Bundle {
    parts: [Part; Dialect::COUNT],
    messages: u32,
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
    /// Appends one message.
    pub(crate) fn add(&mut self, frames: &FrameCache) {
        self.messages += 1;
        for (part, frame) in self.parts.iter_mut().zip(frames.iter()) {
            if let Some(frame) = frame {
                part.add(frame);
            }
        }
    }

    /// The number of messages.
    pub fn messages(&self) -> u32 {
        self.messages
    }

    /// Whether the bundle should be published before more is added.
    pub fn is_full(&self) -> bool {
        self.messages >= MESSAGES_MAX || self.parts.iter().any(|part| part.len() >= BYTES_MAX)
    }

    /// One frame per dialect that contains all messages.
    pub(crate) fn into_frames(self) -> FrameCache {
        FrameCache::from(self.parts.map(Part::into_frame))
    }
}
