//! The queue of lines that wait for the thread that writes them.
//!
//! Bounded by `telemetry.log_queue_lines`. A line that does not fit is dropped and counted, so that a reader of the
//! log that has stopped delays no part of the server. Lines that wait together are written together.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tracing_subscriber::fmt::MakeWriter;

/// How long the process waits at its end for the remaining lines.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// How long the thread waits for more lines after the first: waking it costs more than queueing a line.
const GATHER_TIME: Duration = Duration::from_millis(2);

/// Lines that are written at once, in addition to `telemetry.log_queue_lines` that may wait.
const BATCH_LINES: usize = 256;

/// Lines dropped by this process.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// How many lines this process has dropped because the queue was full.
pub fn dropped() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

/// The queue; clones are the same one.
#[derive(Debug, Clone)]
pub(super) struct LogQueue(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    lines_max: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: VecDeque<Vec<u8>>,
    /// The process is about to end; the thread ends when the queue is empty.
    closing: bool,
    /// Everything has been written.
    finished: bool,
}

/// Waits, when dropped, until the lines in the queue have been written, for a second at most.
#[derive(Debug)]
#[must_use = "lines that are not written yet are lost without it"]
pub struct FlushOnDrop(LogQueue);

impl LogQueue {
    /// A queue of at most `lines_max` lines, and the thread that writes them to `output`.
    ///
    /// # Panics
    /// When no thread can be started.
    pub(super) fn start(lines_max: NonZeroUsize, output: impl Write + Send + 'static) -> (Self, FlushOnDrop) {
        let (state, changed) = (Mutex::default(), Condvar::new());
        let queue = Self(Arc::new(Shared { lines_max: lines_max.get(), state, changed }));
        let shared = Arc::clone(&queue.0);
        let run = move || shared.write_all(output);
        thread::Builder::new().name("log".into()).spawn(run).expect("a thread for the log can be started");
        (queue.clone(), FlushOnDrop(queue))
    }
}

impl Shared {
    /// Writes lines until the process ends. A line that cannot be written is lost: there is nowhere to report it.
    fn write_all(&self, mut output: impl Write) {
        let mut batch = Vec::new();
        loop {
            let mut state = self.state.lock();
            self.changed.wait_while(&mut state, |state| state.lines.is_empty() && !state.closing);
            if !self.must_write_now(&state) {
                self.changed.wait_while_for(&mut state, |state| !self.must_write_now(state), GATHER_TIME);
            }
            let lines = state.lines.len().min(BATCH_LINES);
            batch.extend(state.lines.drain(..lines));
            drop(state);
            let written: io::Result<()> = batch.drain(..).try_for_each(|line| output.write_all(&line));
            let _unwritten = written.and_then(|()| output.flush());
            let mut state = self.state.lock();
            if state.closing && state.lines.is_empty() {
                state.finished = true;
                self.changed.notify_all();
                return;
            }
        }
    }

    /// Whether the lines should be written without waiting for more.
    fn must_write_now(&self, state: &State) -> bool {
        state.closing || state.lines.len() >= self.lines_max.div_ceil(2)
    }
}

impl Write for LogQueue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let Shared { lines_max, state, changed } = &*self.0;
        let mut state = state.lock();
        if state.lines.len() < *lines_max {
            state.lines.push_back(line.to_vec());
            // The first line wakes the thread, which then waits for more unless the queue fills.
            if state.lines.len() == 1 || state.lines.len() == lines_max.div_ceil(2) {
                changed.notify_one();
            }
        } else {
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for LogQueue {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

impl Drop for FlushOnDrop {
    fn drop(&mut self) {
        let Shared { state, changed, .. } = &*self.0.0;
        let deadline = Instant::now() + FLUSH_TIMEOUT;
        let mut state = state.lock();
        state.closing = true;
        changed.notify_all();
        // If the reader of the log has stopped, the remaining lines are lost.
        let _timed_out = changed.wait_while_until(&mut state, |state| !state.finished, deadline);
    }
}
