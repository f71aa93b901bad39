//! Wakers collected under a lock and woken after it is released.
//!
//! Waking runs the scheduler's code, and no foreign code runs under our locks. Each thread keeps its list
//! between uses, so a fan-out to a thousand members does not allocate.

use std::cell::Cell;
use std::task::Waker;

/// Capacity in wakers that a thread keeps between fan-outs (16 bytes each).
const KEPT: usize = 4_096;

thread_local! {
    static SPARE: Cell<Vec<Waker>> = const { Cell::new(Vec::new()) };
}

/// The tasks to wake once the locks are released.
pub(crate) struct Wakers(Vec<Waker>);

impl Wakers {
    pub(crate) fn collect() -> Self {
        Self(SPARE.take())
    }

    pub(crate) fn extend(&mut self, waker: Option<Waker>) {
        self.0.extend(waker);
    }

    /// Wakes them, in the order in which they were collected.
    pub(crate) fn wake(mut self) {
        self.0.drain(..).for_each(Waker::wake);
        self.0.shrink_to(KEPT);
        SPARE.set(self.0);
    }
}
