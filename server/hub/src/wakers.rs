//! Wakers collected under a lock, to be woken after it.
//!
//! Waking runs the scheduler's code, and nobody else's code runs under our locks. The list is kept by
//! the thread between uses, so a fan-out to a thousand members asks for no memory.

use std::cell::Cell;
use std::task::Waker;

/// How many wakers a thread keeps room for between fan-outs (16 bytes each).
const KEPT: usize = 4_096;

thread_local! {
    static SPARE: Cell<Vec<Waker>> = const { Cell::new(Vec::new()) };
}

/// The connections to wake once the locks are released.
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
