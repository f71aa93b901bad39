//! Messages of one member that go out together.
//!
//! A client that is behind, or quick, has several messages read at once. Put end to end they cost each
//! receiver as much as one: one pointer pushed, one slice written. What is shared by a thousand members
//! is copied once.

use crate::frame::{Dialect, Frame, FrameCache};

/// A bundle is full with this many messages, or bytes in its largest spelling.
const MESSAGES_MAX: u32 = 32;
const BYTES_MAX: usize = 64 * 1024;

/// Encoded messages, in order, for each dialect.
#[derive(Debug, Default)]
pub struct Bundle {
    parts: [Part; Dialect::COUNT],
    messages: u32,
}

/// The messages in one dialect. A single one stays as it was encoded.
#[derive(Debug, Default)]
enum Part {
    #[default]
    Nothing,
    One(Frame),
    Many(Vec<u8>),
}

impl Part {
    fn add(&mut self, frame: &Frame) {
        match self {
            Self::Nothing => *self = Self::One(frame.clone()),
            Self::One(first) => *self = Self::Many([first.bytes(), frame.bytes()].concat()),
            Self::Many(bytes) => bytes.extend_from_slice(frame.bytes()),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::One(frame) => frame.len(),
            Self::Many(bytes) => bytes.len(),
        }
    }

    fn into_frame(self) -> Option<Frame> {
        match self {
            Self::Nothing => None,
            Self::One(frame) => Some(frame),
            Self::Many(bytes) => Some(Frame::new(bytes, 0)),
        }
    }
}

impl Bundle {
    /// Adds one message.
    pub(crate) fn add(&mut self, frames: &FrameCache) {
        self.messages += 1;
        for (part, frame) in self.parts.iter_mut().zip(frames.iter()) {
            if let Some(frame) = frame {
                part.add(frame);
            }
        }
    }

    /// How many messages are in it.
    pub fn messages(&self) -> u32 {
        self.messages
    }

    /// Whether it should be sent before more is added.
    pub fn is_full(&self) -> bool {
        self.messages >= MESSAGES_MAX || self.parts.iter().any(|part| part.len() >= BYTES_MAX)
    }

    /// One frame per dialect, holding all messages.
    pub(crate) fn into_frames(self) -> FrameCache {
        FrameCache::from(self.parts.map(Part::into_frame))
    }
}
