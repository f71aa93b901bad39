//! Work on large messages and large pages, on threads beside the workers.
//!
//! A poll cannot be interrupted, and parsing or writing a few megabytes takes longer than the other connections of a worker should
//! wait. The system does interrupt threads, and these have a lower priority than the workers: a worker that has something to
//! do would otherwise wait for the end of a thread's slice, some milliseconds, where both share a processor. So little of
//! this work is done at once that the workers keep half of the processors; the rest of it waits in a queue in which tenants
//! take turns by the time that they use.

use std::io;
use std::num::NonZeroUsize;
use std::panic;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use hub::{Bounds, FairQueue, Party, Quantum};
use parking_lot::Mutex;
use rustix::process::{getpriority_process, setpriority_process};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;
use tokio::task::JoinError;
use tracing::warn;

/// A message of more bytes is large. A smaller one is parsed within about one time slice.
const LARGE: usize = 64 * 1024;

/// In microseconds.
const QUANTUM: Quantum = Quantum { per_turn: 1_000, per_item: 20 };

/// How much nicer its threads are than the workers (nice(2)): they get a tenth of a processor that a worker uses up, and all
/// of it that none does.
const NICER: i32 = 10;

/// Where a node works on large messages.
#[derive(Debug)]
pub struct Offload {
    turns: Mutex<Turns>,
    /// Its threads. It runs no tasks. `None` once it is dropped.
    threads: Option<Runtime>,
}

#[derive(Debug)]
struct Turns {
    /// How much more work may be done at once.
    free: usize,
    waiting: FairQueue<Party, (Party, oneshot::Sender<Turn>)>,
}

/// The permission to do one piece of work. When it is dropped, the next one is given.
#[derive(Debug)]
struct Turn {
    offload: Arc<Offload>,
    party: Party,
    begun: Option<Instant>,
}

impl Offload {
    /// With half as many threads as there are `workers` (by default one for each processor), and at least one.
    pub fn beside(workers: Option<NonZeroUsize>) -> Arc<Self> {
        let workers = workers.or_else(|| thread::available_parallelism().ok()).map_or(1, usize::from);
        Self::with_threads((workers / 2).max(1))
    }

    fn with_threads(free: usize) -> Arc<Self> {
        // What waits is bounded otherwise: each of it is done for a connection that waits for it.
        let waiting = FairQueue::new(Bounds { frames: 0, bytes: 0 }, QUANTUM);
        // Without a driver for sockets and timers nothing of it can fail but the memory.
        let threads = Builder::new_current_thread()
            .max_blocking_threads(free)
            .thread_name("offload")
            .on_thread_start(lower_priority)
            .build()
            .expect("it opens nothing");
        Arc::new(Self { turns: Mutex::new(Turns { free, waiting }), threads: Some(threads) })
    }

    /// Whether a message of this size is to be worked on here.
    pub fn is_large(bytes: usize) -> bool {
        bytes > LARGE
    }

    /// Does `work` for a message of `bytes`: [beside the workers](Self::run_beside) if it is large, else at once.
    ///
    /// # Panics
    /// If `work` does.
    pub async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        party: Party,
        bytes: usize,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        if Self::is_large(bytes) { self.run_beside(party, work).await } else { work() }
    }

    /// Does `work` on a thread beside the workers, when it is the turn of `party`.
    ///
    /// # Panics
    /// If `work` does.
    pub async fn run_beside<T: Send + 'static>(
        self: &Arc<Self>,
        party: Party,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        let turn = self.turn(party).await;
        // Tasks that the work starts belong to the caller's worker.
        let worker = Handle::current();
        let thread = self.threads().spawn_blocking(move || {
            let _context = worker.enter();
            turn.use_for(work)
        });
        match thread.await.map_err(JoinError::try_into_panic) {
            Ok(result) => result,
            Err(Ok(panic)) => panic::resume_unwind(panic),
            // The runtime ends, and the caller with it.
            Err(Err(_cancelled)) => std::future::pending().await,
        }
    }

    fn threads(&self) -> &Runtime {
        self.threads.as_ref().expect("it is there until the drop")
    }

    async fn turn(self: &Arc<Self>, party: Party) -> Turn {
        let given = self.turns.lock().take(party);
        match given {
            None => self.turn_of(party),
            Some(given) => given.await.expect("a turn is given to each that waits"),
        }
    }

    fn turn_of(self: &Arc<Self>, party: Party) -> Turn {
        Turn { offload: Arc::clone(self), party, begun: None }
    }
}

impl Drop for Offload {
    fn drop(&mut self) {
        // Not awaited: this may be a worker.
        self.threads.take().into_iter().for_each(Runtime::shutdown_background);
    }
}

/// Of the calling thread.
fn lower_priority() {
    let lowered = getpriority_process(None).and_then(|nice| setpriority_process(None, nice + NICER));
    if let Err(error) = lowered.map_err(io::Error::from) {
        warn!("Large messages are parsed with the priority of the workers: {error}");
    }
}

impl Turn {
    fn use_for<T>(mut self, work: impl FnOnce() -> T) -> T {
        self.begun = Some(Instant::now());
        work()
    }
}

impl Turns {
    /// Takes a turn now, or else waits for one.
    fn take(&mut self, party: Party) -> Option<oneshot::Receiver<Turn>> {
        if self.free > 0 {
            self.free -= 1;
            return None;
        }
        let (give, given) = oneshot::channel();
        self.waiting.insert(&party, (party, give));
        Some(given)
    }

    /// Whose turn is next, of those that still wait.
    fn next(&mut self) -> Option<(Party, oneshot::Sender<Turn>)> {
        let next = std::iter::from_fn(|| self.waiting.pop()).find(|(_, give)| !give.is_closed());
        self.free += usize::from(next.is_none());
        next
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let taken = self.begun.map_or(0, |begun| begun.elapsed().as_micros());
        let mut turns = self.offload.turns.lock();
        turns.waiting.charge(&self.party, usize::try_from(taken).unwrap_or(usize::MAX));
        let next = turns.next();
        drop(turns);
        if let Some((party, give)) = next {
            // If it has stopped waiting since, the turn is dropped here, and given to the next one.
            let _unused = give.send(self.offload.turn_of(party));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use tokio::task::JoinSet;

    use super::*;

    #[tokio::test]
    async fn parties_take_turns_and_those_that_have_gone_get_none() {
        let offload = Offload::with_threads(1);
        let (busy, quiet) = (Party::new_tenant(), Party::new_tenant());
        let (begin, may_begin) = mpsc::channel::<()>();
        let mut tasks = JoinSet::new();
        let start = |tasks: &mut JoinSet<&'static str>, party, name, work: Box<dyn FnOnce() + Send>| {
            let offload = Arc::clone(&offload);
            tasks.spawn(async move {
                offload.run(party, LARGE + 1, work).await;
                name
            })
        };
        start(&mut tasks, busy, "first", Box::new(move || may_begin.recv().expect("the test goes on")));
        tokio::task::yield_now().await;
        let mut gone = JoinSet::new();
        start(&mut gone, busy, "gone", Box::new(|| panic!("its caller has gone")));
        for _ in 0..4 {
            start(&mut tasks, busy, "busy", Box::new(|| thread::sleep(Duration::from_millis(2))));
        }
        tokio::task::yield_now().await;
        start(&mut tasks, quiet, "quiet", Box::new(|| {}));
        tokio::task::yield_now().await;
        gone.shutdown().await;
        begin.send(()).expect("it has begun");
        let mut order = Vec::new();
        while let Some(ended) = tasks.join_next().await {
            order.push(ended.expect("it does not panic"));
        }
        assert_eq!(order.len(), 6);
        assert!(order[..3].contains(&"quiet"), "{order:?}");
        assert_eq!(offload.turns.lock().free, 1);
    }

    #[tokio::test]
    async fn its_threads_have_a_lower_priority_and_start_tasks_on_the_worker() {
        let offload = Offload::with_threads(1);
        let nice = || getpriority_process(None).expect("the priority of a thread is known");
        let work = move || (nice(), tokio::spawn(async move { (nice(), thread::current().id()) }));
        let (of_work, task) = offload.run(Party::NODE, LARGE + 1, work).await;
        let here = (nice(), thread::current().id());
        assert_eq!((of_work, task.await.expect("it does not panic")), ((here.0 + NICER).min(19), here));
    }

    #[tokio::test]
    #[should_panic(expected = "on purpose")]
    async fn a_panic_is_that_of_the_caller() {
        Offload::with_threads(1).run(Party::NODE, LARGE + 1, || panic!("on purpose")).await;
    }
}
