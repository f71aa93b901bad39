//! The stream as tungstenite sees it: reading goes to the socket, writing into a small buffer.
//!
//! tungstenite answers pings and close frames by itself, whenever it reads. If it wrote to the socket, its bytes could end up
//! in the middle of a frame of ours that the socket took only half. So they are caught here, and the writer sends them
//! between two frames. What it reads is only what it may keep: the [`Intake`] decides.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use hub::TenantMemory;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::config::ConnectionConfig;
use super::intake::{Intake, SkippedMessage, Step};
use super::readable::Readable;

/// With more caught bytes than this the connection stops reading, and so stops causing pongs.
const CONTROL_HIGH_WATER: usize = 4 * 1024;

/// A stream whose writes are caught.
#[derive(Debug)]
pub(super) struct Tap<S> {
    stream: S,
    /// Control frames to be sent, in order.
    control: Vec<u8>,
    /// Bytes read since they were last taken.
    received: u64,
    intake: Intake,
    /// Bytes that were read, and that tungstenite may not have yet: an incomplete header, or what comes after a frame
    /// that is skipped or waits for memory.
    kept: Vec<u8>,
    /// The task that reads. The library's own waker forgets the task when it is woken, although nothing was read: then the
    /// next bytes would wake no task.
    reader: Option<Waker>,
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
        Self { stream, control: Vec::new(), received: 0, intake, kept: early.to_vec(), reader: None }
    }

    /// The task to wake when there is something to read.
    pub(super) fn set_reader(&mut self, waker: &Waker) {
        if !self.reader.as_ref().is_some_and(|reader| reader.will_wake(waker)) {
            self.reader = Some(waker.clone());
        }
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

    /// The message that was read last is about to be handled.
    pub(super) fn release(&mut self) {
        self.intake.release();
    }

    /// When to read even if nothing has arrived, for a message that waits for memory or has taken long.
    pub(super) fn due(&self) -> Option<Instant> {
        self.intake.due()
    }

    /// Whether the last read ended because of a message for which there is no memory, and not because of the socket.
    pub(super) fn is_held_back(&self) -> bool {
        self.intake.is_waiting() || self.intake.has_skipped()
    }

    /// A message that was skipped, for lack of memory. Nothing is read until it is taken.
    pub(super) fn take_skipped(&mut self) -> Option<SkippedMessage> {
        self.intake.take_skipped()
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

    /// Takes what is in `buffer` behind `end` out of it, and keeps it before what is kept already.
    fn keep(&mut self, buffer: &mut ReadBuf<'_>, end: usize) {
        self.kept.splice(..0, buffer.filled()[end..].iter().copied());
        buffer.set_filled(end);
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Tap<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.intake.resume()?;
        let begin = buffer.filled().len();
        loop {
            this.put_kept(buffer);
            let mut step =
                this.intake.step(&buffer.filled()[begin..], this.reader.as_ref().unwrap_or(cx.waker()))?;
            if step == Step::More {
                let before = buffer.filled().len();
                let waker = this.reader.as_ref().unwrap_or(cx.waker());
                let polled = Pin::new(&mut this.stream).poll_read(&mut Context::from_waker(waker), buffer);
                let read = buffer.filled().len() - before;
                if read == 0 {
                    this.keep(buffer, begin);
                    return polled;
                }
                this.received += read as u64;
                step = this
                    .intake
                    .step(&buffer.filled()[begin..], this.reader.as_ref().unwrap_or(cx.waker()))?;
            }
            match step {
                Step::Pass(bytes) => {
                    this.keep(buffer, begin + bytes);
                    return Poll::Ready(Ok(()));
                }
                Step::Skip(bytes) => {
                    this.keep(buffer, begin + bytes);
                    buffer.set_filled(begin);
                }
                Step::Wait => {
                    this.keep(buffer, begin);
                    return Poll::Pending;
                }
                Step::More => {}
            }
            if this.intake.has_skipped() {
                // The connection takes it, and reads on.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
    }
}

impl<S: Unpin> AsyncWrite for Tap<S> {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.control.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
