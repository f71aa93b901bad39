//! The stream as tungstenite sees it: reading goes to the socket, writing into a small buffer.
//!
//! tungstenite answers pings and close frames by itself, whenever it reads. If it wrote to the socket, its bytes could end up
//! in the middle of a frame of ours that the socket took only half. So they are caught here, and the writer sends them
//! between two frames. What it reads is only what it may keep: the [`Intake`] decides.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use hub::{MemoryCharge, TenantMemory};
use tokio::io::{AsyncRead, ReadBuf};

use super::config::ConnectionConfig;
use super::intake::{Intake, SkippedMessage, Step};
use super::readable::Readable;

/// With more caught bytes than this the connection stops reading, and so stops causing pongs.
const CONTROL_HIGH_WATER: usize = 4 * 1024;

/// Bytes that are read before other connections get their turn, although the message is not complete: these are up to 5,000
/// frames, which take tungstenite half a millisecond.
pub(super) const BYTES_PER_READ: usize = 32 * 1024;

/// A stream whose writes are caught.
#[derive(Debug)]
pub(super) struct Tap<S> {
    stream: S,
    /// Control frames to be sent, in order.
    control: Vec<u8>,
    /// Bytes read since they were last taken.
    received: u64,
    /// Bytes that may still be passed on or skipped in this read.
    read_left: usize,
    intake: Intake,
    /// Bytes that were read, and that tungstenite may not have yet: an incomplete header, or what comes after a frame
    /// that is skipped or waits for memory.
    kept: Vec<u8>,
}

impl<S> Tap<S> {
    /// A tap on `stream`, from which `early` was read already. Large messages are charged to `memory`.
    pub(super) fn new(
        stream: S,
        early: &[u8],
        memory: Arc<TenantMemory>,
        config: Arc<ConnectionConfig>,
    ) -> Self {
        let intake = Intake::new(memory, config);
        Self { stream, control: Vec::new(), received: 0, read_left: 0, intake, kept: early.to_vec() }
    }

    /// The socket itself, for the writer.
    pub(super) fn stream(&mut self) -> &mut S {
        &mut self.stream
    }

    /// Socket and caught control frames, for the writer.
    pub(super) fn parts(&mut self) -> (&mut S, &mut Vec<u8>) {
        (&mut self.stream, &mut self.control)
    }

    /// Whether a read may return something.
    pub(super) fn is_readable(&self) -> bool
    where
        S: Readable,
    {
        self.intake.due().is_some_and(|due| due <= Instant::now()) || self.stream.is_readable()
    }

    /// The message that was read last is about to be handled. Returns its charge, if it is large.
    pub(super) fn release(&mut self) -> Option<MemoryCharge> {
        self.intake.release()
    }

    /// Gives up the memory of a large message that has taken too long.
    ///
    /// # Errors
    /// When it was being received, and others need its memory.
    pub(super) fn check_due(&mut self) -> io::Result<()> {
        self.intake.check_due()
    }

    /// When to read even if nothing has arrived, for a message that waits for memory or has taken long.
    pub(super) fn due(&self) -> Option<Instant> {
        self.intake.due()
    }

    /// Whether the last read ended because of a message that waits for memory, and not because of the socket.
    pub(super) fn is_held_back(&self) -> bool {
        self.intake.is_waiting()
    }

    /// Allows to read [`BYTES_PER_READ`], and the rest of what the socket returns with the last of them.
    pub(super) fn begin_read(&mut self) {
        self.read_left = BYTES_PER_READ;
    }

    /// Whether reading has ended because so much was read, or for a message that was skipped to be
    /// [taken](Self::take_skipped).
    pub(super) fn is_read_over(&self) -> bool {
        self.read_left == 0 || self.intake.has_skipped()
    }

    /// A message that was skipped, for lack of memory. Nothing is read until it is taken.
    pub(super) fn take_skipped(&mut self) -> Option<SkippedMessage> {
        self.intake.take_skipped()
    }

    /// Whether tungstenite has the beginning of a message, and not its end.
    pub(super) fn is_in_message(&self) -> bool {
        self.intake.is_in_message()
    }

    /// Whether a message is being received, or waits to be, whose memory is charged.
    pub(super) fn is_in_large_message(&self) -> bool {
        self.intake.is_in_large_message()
    }

    /// The account of the client's tenant.
    pub(super) fn memory(&self) -> &Arc<TenantMemory> {
        self.intake.memory()
    }

    /// Catches a part of a control frame.
    pub(super) fn write_control(&mut self, bytes: &[u8]) {
        self.control.extend_from_slice(bytes);
    }

    /// Whether so much is caught that nothing more should be read.
    pub(super) fn is_flooded(&self) -> bool {
        self.control.len() > CONTROL_HIGH_WATER
    }

    /// Bytes read since the last call.
    pub(super) fn take_received(&mut self) -> u64 {
        std::mem::take(&mut self.received)
    }

    /// Puts what is kept into `buffer`, as far as it has room for it.
    fn put_kept(&mut self, buffer: &mut ReadBuf<'_>) {
        if self.kept.is_empty() {
            return;
        }
        let part = self.kept.len().min(buffer.remaining());
        buffer.put_slice(&self.kept[..part]);
        self.kept.drain(..part);
        if self.kept.is_empty() {
            // Freed: most messages are not cut.
            self.kept = Vec::new();
        }
    }

    /// `bytes` are passed on or skipped.
    fn count(&mut self, bytes: usize) {
        self.read_left = self.read_left.saturating_sub(bytes);
    }

    /// Takes what is in `buffer` behind `end` out of it, and keeps it before what is kept already.
    fn keep(&mut self, buffer: &mut ReadBuf<'_>, end: usize) {
        self.kept.splice(..0, buffer.filled()[end..].iter().copied());
        buffer.set_filled(end);
    }
}

impl<S: AsyncRead + Unpin> Tap<S> {
    /// Reads what tungstenite may have. If it returns `Pending` because the read [is over](Self::is_read_over), no waker is
    /// registered.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.intake.resume()?;
        let begin = buffer.filled().len();
        while !self.is_read_over() {
            self.put_kept(buffer);
            let mut step = self.intake.step(&buffer.filled()[begin..], cx.waker())?;
            if step == Step::More {
                let before = buffer.filled().len();
                let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
                let read = buffer.filled().len() - before;
                if read == 0 {
                    self.keep(buffer, begin);
                    return polled;
                }
                self.received += read as u64;
                step = self.intake.step(&buffer.filled()[begin..], cx.waker())?;
            }
            match step {
                Step::Pass(bytes) => {
                    self.count(bytes);
                    self.keep(buffer, begin + bytes);
                    return Poll::Ready(Ok(()));
                }
                Step::Skip(bytes) => {
                    self.count(bytes);
                    self.keep(buffer, begin + bytes);
                    buffer.set_filled(begin);
                }
                Step::Wait => {
                    self.keep(buffer, begin);
                    return Poll::Pending;
                }
                Step::More => {}
            }
        }
        Poll::Pending
    }
}
