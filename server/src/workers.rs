//! The threads that serve connections: one runtime each, and a connection stays on the runtime it was given to.
//!
//! A runtime of one thread polls its tasks in the order in which they were woken, and looks for input when it has polled
//! them. So all messages that have come in are read before the frames that they caused are written, in one write per
//! connection, and no room is served before others that wait longer. A runtime with several threads keeps queues of
//! bounded length and moves what exceeds them to one that it looks at rarely.

mod offload;

pub use offload::Offload;

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::Arc;
use std::task::ready;
use std::thread;
use std::time::Instant;

use hub::{Party, Payer, TimeSlice};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tracing::warn;

/// Tasks that are polled before input is looked for, if as many are waiting. Time slices end earlier where much is to be
/// done; a smaller number would cost a system call for less.
const EVENT_INTERVAL: u32 = 1_024;

/// A runtime for one worker, and for the main thread.
///
/// # Errors
/// When the system provides no event queue.
pub fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread()
        .enable_all()
        .event_interval(EVENT_INTERVAL)
        .on_thread_park(hub::Worker::note_idle)
        .build()
}

/// The runtimes that serve connections.
#[derive(Debug)]
pub struct Workers {
    /// That of the caller, which accepts the connections, is the first.
    runtimes: Vec<Handle>,
    _stop: DropGuard,
}

impl Workers {
    /// The calling runtime alone.
    pub fn current() -> Self {
        Self { runtimes: vec![Handle::current()], _stop: CancellationToken::new().drop_guard() }
    }

    /// The calling runtime, which should be a [`runtime`] and the main thread's, and as many more threads as are
    /// missing from `count`. They end when this is dropped.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn start(count: NonZeroUsize) -> io::Result<Self> {
        let stop = CancellationToken::new();
        if let Some(wakes) = wakes() {
            tokio::spawn(until(stop.clone(), wakes));
        }
        let mut runtimes = vec![Handle::current()];
        for number in 1..count.get() {
            let (runtime, stop) = (runtime()?, stop.clone());
            runtimes.push(runtime.handle().clone());
            let run = move || {
                if let Some(wakes) = wakes() {
                    runtime.block_on(until(stop, wakes));
                } else {
                    runtime.block_on(stop.cancelled());
                }
                runtime.shutdown_background();
            };
            thread::Builder::new().name(format!("worker-{number}")).spawn(run)?;
        }
        Ok(Self { runtimes, _stop: stop.drop_guard() })
    }

    /// Serves `stream` on the runtime with the fewest tasks; each connection is one.
    pub fn serve<F>(
        &self,
        tasks: &TaskTracker,
        stream: TcpStream,
        serve: impl FnOnce(TcpStream) -> F + Send + 'static,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let least = self.runtimes.iter().enumerate().min_by_key(|(_, it)| it.metrics().num_alive_tasks());
        let Some((_, runtime)) = least.filter(|(number, _)| *number > 0) else {
            tasks.spawn(serve(stream));
            return;
        };
        // A stream is known to the runtime that accepted it, and has to become known to that which serves it.
        let stream = stream.into_std();
        let serve = async move {
            match stream.and_then(TcpStream::from_std) {
                Ok(stream) => serve(stream).await,
                Err(error) => warn!("A connection was closed, because its worker cannot watch it: {error}"),
            }
        };
        tasks.spawn_on(serve, runtime);
    }
}

/// Wakes the connections of this thread that other threads have handed over. `None` if the thread cannot be a worker:
/// then they are woken one by one.
fn wakes() -> Option<impl Future<Output = ()>> {
    let mut worker = hub::Worker::enter()?;
    Some(async move {
        loop {
            poll_fn(|cx| worker.poll_wakes(cx)).await;
            // Until new input was looked for.
            tokio::task::yield_now().await;
        }
    })
}

thread_local! {
    /// When the time slice of the task that is polled is used up.
    static SLICE_END: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// A future that works in time slices, charged to whom `payer` names at the time.
pub fn in_time_slices<T>(payer: Arc<Payer>, work: impl Future<Output = T>) -> impl Future<Output = T> {
    let mut time_slice = TimeSlice::of(payer.party());
    async move {
        let mut work = pin!(work);
        poll_fn(|cx| {
            time_slice.charge_to(payer.party());
            let begun = ready!(time_slice.poll_begin(cx));
            SLICE_END.set(begun.end());
            let polled = work.as_mut().poll(cx);
            SLICE_END.set(None);
            time_slice.end(begun);
            polled
        })
        .await
    }
}

/// Has `payer` pay for all that the calling task does from now on, when it is the turn of `party`.
pub async fn continue_for(party: Party, payer: &Payer) {
    payer.change_to(party);
    tokio::task::yield_now().await;
}

/// Waits for the next time slice if the present one is used up. For work [in time slices](in_time_slices) that has many
/// parts, between two of them.
pub async fn pause_if_used_up() {
    if is_used_up() {
        tokio::task::yield_now().await;
    }
}

/// Whether the present time slice is used up. Not outside of one.
pub fn is_used_up() -> bool {
    SLICE_END.get().is_some_and(|end| Instant::now() >= end)
}

async fn until(stop: CancellationToken, work: impl Future<Output = ()>) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = work => {}
    }
}
