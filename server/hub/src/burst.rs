//! A queue of frames that stores the first one inline.
//!
//! Most of the time a connection has at most one frame queued. Then neither the outbox nor the writer touches
//! memory outside itself: no allocation, and one cache line less per delivery.

use std::collections::VecDeque;
use std::mem;

use crate::frame::Frame;

/// Capacity in frames that an idle connection keeps.
const IDLE_CAPACITY: usize = 8;

/// A queue of frames.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Burst {
    /// Empty only if `rest` is empty too.
    first: Option<Frame>,
    rest: VecDeque<Frame>,
}

impl Burst {
    /// Appends a frame.
    pub fn push(&mut self, frame: Frame) {
        if self.first.is_none() {
            self.first = Some(frame);
        } else {
            self.rest.push_back(frame);
        }
    }

    /// The next frame.
    pub fn first(&self) -> Option<&Frame> {
        self.first.as_ref()
    }

    /// Removes the next frame.
    pub fn pop(&mut self) -> Option<Frame> {
        let next = self.rest.pop_front();
        mem::replace(&mut self.first, next)
    }

    /// All frames in order.
    pub fn iter(&self) -> impl Iterator<Item = &Frame> {
        self.first.iter().chain(&self.rest)
    }

    /// The number of frames.
    pub fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.rest.len()
    }

    /// Whether there are no frames.
    pub fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Frees memory beyond what an idle connection keeps.
    pub fn shrink(&mut self) {
        if self.rest.is_empty() {
            self.rest.shrink_to(IDLE_CAPACITY);
        }
    }
}
