//! The queue of lines that wait for the thread that writes them.
//!
//! Bounded by `telemetry.log_queue_lines` and `telemetry.log_queue_bytes`. A line that does not fit is dropped and
//! counted, so that a reader of the log that has stopped delays no part of the server. Lines that wait together are
//! written together.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use settings::Telemetry;
use tracing::Metadata;
use tracing_subscriber::fmt::MakeWriter;

use super::party;
use super::rate::{ByteRate, Cause};

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
    bytes_max: usize,
    state: Mutex<State>,
    changed: Condvar,
    rate: ByteRate,
}

#[derive(Debug, Default)]
struct State {
    lines: VecDeque<Vec<u8>>,
    /// Bytes of these lines and of those that are being written.
    bytes: usize,
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
    /// A queue with the bounds of `telemetry`, and the thread that writes its lines to `output`.
    ///
    /// # Panics
    /// When no thread can be started.
    pub(super) fn start(
        telemetry: &Telemetry,
        rate: ByteRate,
        output: impl Write + Send + 'static,
    ) -> (Self, FlushOnDrop) {
        let queue = Self(Arc::new(Shared {
            lines_max: telemetry.log_queue_lines.get(),
            bytes_max: usize::try_from(telemetry.log_queue_bytes.as_u64()).unwrap_or(usize::MAX),
            state: Mutex::default(),
            changed: Condvar::new(),
            rate,
        }));
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
            let bytes: usize = batch.iter().map(Vec::len).sum();
            let written: io::Result<()> = batch.drain(..).try_for_each(|line| output.write_all(&line));
            let _unwritten = written.and_then(|()| output.flush());
            let mut state = self.state.lock();
            state.bytes -= bytes;
            if state.closing && state.lines.is_empty() {
                state.finished = true;
                self.changed.notify_all();
                return;
            }
        }
    }

    /// Whether the lines should be written without waiting for more.
    fn must_write_now(&self, state: &State) -> bool {
        state.closing
            || state.lines.len() >= self.lines_max.div_ceil(2)
            || state.bytes >= self.bytes_max.div_ceil(2)
    }

    /// Whether a line of this length may wait. One that is longer than the bound may while it is the only one.
    fn fits(&self, state: &State, length: usize) -> bool {
        let bytes = state.bytes.saturating_add(length);
        state.lines.len() < self.lines_max && (bytes <= self.bytes_max || state.bytes == 0)
    }
}

/// Where one line is written.
#[derive(Debug)]
pub(super) struct LineWriter {
    queue: LogQueue,
    cause: Cause,
}

impl Write for LineWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let Shared { state, changed, rate, .. } = &*self.queue.0;
        let party = party::take_from_formatter();
        let mut state = state.lock();
        if !self.queue.0.fits(&state, line.len()) {
            DROPPED.fetch_add(1, Ordering::Relaxed);
        } else if self.cause == Cause::Node || rate.try_take(&party, line.len()) {
            let was_filling = self.queue.0.must_write_now(&state);
            state.lines.push_back(line.to_vec());
            state.bytes += line.len();
            // The first line wakes the thread, which then waits for more unless the queue fills.
            if state.lines.len() == 1 || self.queue.0.must_write_now(&state) != was_filling {
                changed.notify_one();
            }
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for LogQueue {
    type Writer = LineWriter;

    fn make_writer(&self) -> LineWriter {
        LineWriter { queue: self.clone(), cause: Cause::Client }
    }

    fn make_writer_for(&self, metadata: &Metadata<'_>) -> LineWriter {
        LineWriter { queue: self.clone(), cause: Cause::of(metadata) }
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

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;
    use std::sync::mpsc::{self, Receiver};

    use super::*;

    /// An output that accepts nothing until the other end of the channel is dropped, and then keeps lengths.
    struct Blocked {
        until_dropped: Receiver<()>,
        lengths: Arc<Mutex<Vec<usize>>>,
    }

    impl Write for Blocked {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            let _dropped = self.until_dropped.recv();
            self.lengths.lock().push(line.len());
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Queues lines of these lengths while nothing is written; returns those that were written, and how many were
    /// dropped.
    fn queue(lines_max: usize, bytes_max: u64, lengths: &[usize]) -> (Vec<usize>, u64) {
        let log_queue_lines = NonZeroUsize::new(lines_max).expect("not zero");
        let mut telemetry = Telemetry { log_queue_lines, ..Telemetry::default() };
        telemetry.log_queue_bytes.0 = bytes_max;
        let (blocked, until_dropped) = mpsc::channel();
        let written = Arc::default();
        let output = Blocked { until_dropped, lengths: Arc::clone(&written) };
        let before = dropped();
        let (queue, guard) = LogQueue::start(&telemetry, ByteRate::new(&telemetry), output);
        for length in lengths {
            queue.make_writer().write_all(&vec![b'x'; *length]).expect("it never fails");
        }
        let dropped = dropped() - before;
        drop((blocked, guard));
        (std::mem::take(&mut *written.lock()), dropped)
    }

    // One test, because the number of dropped lines is that of the process.
    #[test]
    fn lines_beyond_either_bound_are_dropped_and_counted() {
        let (written, dropped) = queue(1_000, 10_000, &[4_000, 4_000, 4_000, 2_000, 1]);
        assert_eq!(
            (written, dropped),
            (vec![4_000, 4_000, 2_000], 2),
            "by bytes, those being written included"
        );
        let (written, dropped) = queue(1_000, 10_000, &[20_000, 1, 1]);
        assert_eq!((written, dropped), (vec![20_000], 2), "an empty queue accepts any line");
        let (written, dropped) = queue(1, 10_000, &[1; 400]);
        // The thread may have taken some already, which are no longer counted as lines.
        assert!(
            written.len() <= 2 + BATCH_LINES && written.len() as u64 + dropped == 400,
            "by lines: {dropped}"
        );
        assert!(dropped > 0);
    }
}
