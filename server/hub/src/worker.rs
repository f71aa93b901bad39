//! Threads that poll connections, and how they are woken from other threads.
//!
//! Each worker runs the tasks of its own connections. A wake from another thread costs that thread a lock of the
//! worker's scheduler and a system call. A fan-out that wakes hundreds of connections of another worker would pay
//! this for each of them, so it hands their wakers over as one list and notifies the worker once. The worker wakes
//! them when it is through with what it has to do already, and shares its time between tenants (`worker/schedule.rs`).

mod schedule;

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

pub use self::schedule::{Begun, TimeSlice};
use crate::party::Party;

/// Workers in one process. Further threads may poll connections too; these are woken one by one.
const MAX: usize = 256;

static LISTS: [WakeList; MAX] = [const { WakeList::new() }; MAX];

thread_local! {
    static CURRENT: Cell<WorkerId> = const { Cell::new(WorkerId::NONE) };
}

/// The worker that polls a task, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WorkerId(u16);

impl WorkerId {
    /// For a task of a thread that is no worker.
    pub(crate) const NONE: Self = Self(u16::MAX);

    /// The worker that runs the calling code.
    pub(crate) fn current() -> Self {
        CURRENT.get()
    }

    /// Hands `wakers` over to this worker, for connections of `party`.
    pub(crate) fn hand_over(self, party: Party, wakers: impl Iterator<Item = Waker>) {
        match LISTS.get(usize::from(self.0)) {
            Some(list) => list.extend(party, wakers),
            None => wakers.for_each(Waker::wake),
        }
    }

    /// Wakes connections of `party` that the calling thread polls.
    pub(crate) fn wake_here(party: Party, wakers: impl ExactSizeIterator<Item = Waker>) {
        schedule::wake(party, wakers);
    }
}

/// What other threads have handed over to one worker. A connection has one waker, so this is bounded by their number.
#[derive(Debug)]
struct WakeList {
    is_used: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    wakers: Vec<(Party, Waker)>,
    /// Wakes the task that polls [`Worker::poll_wakes`]. Taken when the list gets its first waker.
    worker: Option<Waker>,
}

impl WakeList {
    const fn new() -> Self {
        Self {
            is_used: AtomicBool::new(false),
            state: Mutex::new(State { wakers: Vec::new(), worker: None }),
        }
    }

    fn extend(&self, party: Party, wakers: impl Iterator<Item = Waker>) {
        let mut state = self.state.lock();
        state.wakers.extend(wakers.map(|waker| (party, waker)));
        let worker = state.worker.take();
        let is_used = self.is_used.load(Ordering::Relaxed);
        let orphans = if is_used { Vec::new() } else { std::mem::take(&mut state.wakers) };
        drop(state);
        worker.into_iter().chain(orphans.into_iter().map(|(_, waker)| waker)).for_each(Waker::wake);
    }
}

/// Makes the calling thread a worker while it exists.
#[derive(Debug)]
pub struct Worker {
    list: &'static WakeList,
    /// Kept from one call to the next, for its memory.
    taken: Vec<(Party, Waker)>,
    woken: Vec<Waker>,
    /// Something waits, and new input was looked for since.
    may_grant: bool,
}

impl Worker {
    /// Makes the calling thread a worker. `None` if it is one already, or the process has too many.
    pub fn enter() -> Option<Self> {
        if WorkerId::current() != WorkerId::NONE {
            return None;
        }
        let number = LISTS.iter().position(|list| !list.is_used.swap(true, Ordering::Relaxed))?;
        CURRENT.set(WorkerId(number as u16));
        schedule::switch_on();
        Some(Self { list: &LISTS[number], taken: Vec::new(), woken: Vec::new(), may_grant: false })
    }

    /// The calling thread has nothing more to do: the next time slice is a new one.
    pub fn note_idle() {
        schedule::note_idle();
    }

    /// Wakes the connections that other threads have handed over, and grants a time slice to what waits for one. To be
    /// polled by a task of the worker's runtime as long as the worker exists; when it is ready, after new input was looked
    /// for.
    pub fn poll_wakes(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.list.state.lock();
        std::mem::swap(&mut state.wakers, &mut self.taken);
        drop(state);
        self.wake_taken();
        if self.may_grant {
            schedule::grant(&mut self.woken);
        }
        self.may_grant = schedule::has_waiting(cx.waker());
        if self.may_grant {
            return Poll::Ready(());
        }
        let mut state = self.list.state.lock();
        if !state.wakers.is_empty() {
            cx.waker().wake_by_ref();
        }
        state.worker = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Wakes what other threads have handed over, each party's connections together.
    fn wake_taken(&mut self) {
        let mut taken = self.taken.drain(..).peekable();
        while let Some((party, waker)) = taken.next() {
            self.woken.push(waker);
            while let Some((_, waker)) = taken.next_if(|(next, _)| *next == party) {
                self.woken.push(waker);
            }
            schedule::wake(party, self.woken.drain(..));
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Not reset for the thread: a task that is polled later must not become one of the next worker's.
        let mut state = self.list.state.lock();
        self.list.is_used.store(false, Ordering::Relaxed);
        let rest = std::mem::take(&mut state.wakers);
        state.worker = None;
        drop(state);
        rest.into_iter().for_each(|(_, waker)| waker.wake());
        schedule::switch_off();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Count {
        fn waker(self: &Arc<Self>) -> Waker {
            Waker::from(Arc::clone(self))
        }

        fn get(&self) -> usize {
            self.0.load(Ordering::SeqCst)
        }
    }

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_worker_is_notified_once_and_wakes_what_was_handed_over() {
        let thread = std::thread::spawn(|| {
            let (task, connection) = (Arc::new(Count::default()), Arc::new(Count::default()));
            let mut worker = Worker::enter().expect("a worker");
            let id = WorkerId::current();
            assert!(worker.poll_wakes(&mut Context::from_waker(&task.waker())).is_pending());
            id.hand_over(Party::NODE, [connection.waker(), connection.waker()].into_iter());
            id.hand_over(Party::NODE, [connection.waker()].into_iter());
            assert_eq!((task.get(), connection.get()), (1, 0));
            assert!(worker.poll_wakes(&mut Context::from_waker(&task.waker())).is_pending());
            assert_eq!((task.get(), connection.get()), (1, 3));
            id.hand_over(Party::NODE, [connection.waker()].into_iter());
            drop(worker);
            assert_eq!((task.get(), connection.get()), (2, 4), "what is left is woken at the end");
            id.hand_over(Party::NODE, [connection.waker()].into_iter());
            assert_eq!(connection.get(), 5, "and what comes later");
        });
        thread.join().expect("the assertions");
    }
}
