//! Wakers collected under a lock and woken after it is released.
//!
//! Waking runs the scheduler's code, and no foreign code runs under our locks. Each thread keeps its lists
//! between uses, so a fan-out to a thousand members does not allocate. Connections of other workers are handed over
//! to these in one list each.

use std::cell::Cell;
use std::task::Waker;

use crate::party::Party;
use crate::worker::WorkerId;

/// Capacity in wakers that a thread keeps between fan-outs (16 to 24 bytes each).
const KEPT: usize = 4_096;

thread_local! {
    static SPARE: Cell<Lists> = const { Cell::new(Lists { tasks: Vec::new(), local: Vec::new(), remote: Vec::new() }) };
}

#[derive(Default)]
struct Lists {
    /// Those of no connection.
    tasks: Vec<Waker>,
    local: Vec<Waker>,
    remote: Vec<(WorkerId, Waker)>,
}

/// The tasks to wake once the locks are released.
pub(crate) struct Wakers {
    here: WorkerId,
    lists: Lists,
}

impl Wakers {
    pub(crate) fn collect() -> Self {
        Self { here: WorkerId::current(), lists: SPARE.take() }
    }

    /// Adds the waker of a task that is not a connection.
    pub(crate) fn extend(&mut self, waker: Option<Waker>) {
        self.lists.tasks.extend(waker);
    }

    /// Adds the waker of a connection that is polled by `worker`.
    pub(crate) fn add(&mut self, worker: WorkerId, waker: Waker) {
        if worker == self.here || worker == WorkerId::NONE {
            self.lists.local.push(waker);
        } else {
            self.lists.remote.push((worker, waker));
        }
    }

    /// Wakes them, where there are no connections of a tenant among them.
    pub(crate) fn wake(self) {
        self.wake_for(Party::NODE);
    }

    /// Wakes connections of `party`, those of each worker in the order in which they were collected.
    pub(crate) fn wake_for(mut self, party: Party) {
        let Lists { tasks, local, remote } = &mut self.lists;
        // First, so that other workers begin while this one wakes its own.
        while let Some((worker, _)) = remote.first() {
            let worker = *worker;
            worker.hand_over(party, remote.extract_if(.., |(of, _)| *of == worker).map(|(_, waker)| waker));
        }
        tasks.drain(..).for_each(Waker::wake);
        if !local.is_empty() {
            WorkerId::wake_here(party, local.drain(..));
        }
        local.shrink_to(KEPT);
        remote.shrink_to(KEPT);
        SPARE.set(self.lists);
    }
}
