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

    /// The frame at `position`.
    pub(crate) fn get_mut(&mut self, position: usize) -> Option<&mut Frame> {
        match position.checked_sub(1) {
            None => self.first.as_mut(),
            Some(behind) => self.rest.get_mut(behind),
        }
    }

    /// Removes the frames at `positions`, which are in ascending order.
    pub(crate) fn remove(&mut self, positions: &[usize]) {
        let mut kept = Self::default();
        let mut positions = positions.iter().peekable();
        for position in 0..self.len() {
            let frame = self.pop();
            if positions.next_if_eq(&&position).is_none() {
                frame.into_iter().for_each(|frame| kept.push(frame));
            }
        }
        *self = kept;
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
