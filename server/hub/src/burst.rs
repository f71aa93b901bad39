//! Frames waiting in order. The first needs no memory of its own.
//!
//! Most of the time a connection has one frame waiting or none. Then neither the outbox nor the writer
//! touches anything but itself: no allocation, and one cache line less for every delivery.

use std::collections::VecDeque;
use std::mem;

use crate::frame::Frame;

/// Queue memory a quiet connection may keep, in frames.
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
    /// Adds a frame at the end.
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

    /// Takes the next frame out.
    pub fn pop(&mut self) -> Option<Frame> {
        let next = self.rest.pop_front();
        mem::replace(&mut self.first, next)
    }

    /// All frames in order.
    pub fn iter(&self) -> impl Iterator<Item = &Frame> {
        self.first.iter().chain(&self.rest)
    }

    /// How many frames wait.
    pub fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.rest.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Gives back memory that only a rush needs.
    pub fn shrink(&mut self) {
        if self.rest.is_empty() {
            self.rest.shrink_to(IDLE_CAPACITY);
        }
    }
}
