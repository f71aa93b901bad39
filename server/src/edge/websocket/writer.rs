//! From the outbox to the socket: whole bursts in one write. Small ones are copied together, which costs less than a list
//! of slices costs the kernel, and with TLS is one record; large ones are not copied.
//!
//! Control frames caught from tungstenite go between two frames, never into one: a frame of which the socket accepted a
//! part is finished first. Frames stay counted in the outbox until the socket has accepted them.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use hub::{Burst, Frame, NextAction, Outbox};
use tokio::io::AsyncWrite;

/// Frames per vectored write. More would make no write cheaper, and the list is on the stack.
const SLICES: usize = 64;

/// Bytes of frames that are copied together. The buffer is kept by each thread, and remains in the processor's cache.
const COPIED: usize = 16 * 1024;

/// Bytes that a connection writes before others get their turn: a batch. The kernel copies them in some ten microseconds.
const BYTES_PER_BATCH: usize = 256 * 1024;

thread_local! {
    static COPY: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// What writing has come to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum WriteOutcome {
    /// Everything queued is written; this is what to do next according to the outbox, and never [`NextAction::Write`].
    Drained(NextAction),
    /// [`BYTES_PER_BATCH`] are written, and there is more.
    BatchWritten,
}

/// What has been taken from the outbox and not yet been accepted by the socket.
#[derive(Debug, Default)]
#[repr(C)]
pub(super) struct Writer {
    burst: Burst,
    /// Bytes of the first frame, or of the control bytes, that the socket has accepted.
    offset: usize,
    /// Whether `offset` is in the control bytes.
    in_control: bool,
    /// Bytes that the socket has accepted.
    sent: u64,
    /// `sent` when it was last taken, and when its progress was last checked.
    sent_at_take: u64,
    sent_at_check: u64,
}

impl Writer {
    /// Writes until the outbox has nothing more to write or a batch is written; pending when the socket accepts no more.
    pub(super) fn poll_drain<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        control: &mut Vec<u8>,
        outbox: &Outbox,
        cx: &mut Context<'_>,
        idle: &Waker,
    ) -> Poll<io::Result<WriteOutcome>> {
        let mut left = BYTES_PER_BATCH;
        loop {
            if self.in_control || (self.offset == 0 && !control.is_empty()) {
                ready!(self.poll_control(stream, control, cx))?;
            } else if self.burst.is_empty() {
                // TLS buffers what the socket did not accept; a TCP socket has nothing to do here.
                ready!(Pin::new(&mut *stream).poll_flush(cx))?;
                match outbox.take(&mut self.burst, idle) {
                    NextAction::Write => {}
                    next => return Poll::Ready(Ok(WriteOutcome::Drained(next))),
                }
            } else if left == 0 {
                return Poll::Ready(Ok(WriteOutcome::BatchWritten));
            } else {
                // With control bytes waiting behind half a frame, only that frame is finished.
                let frames = if control.is_empty() { SLICES } else { 1 };
                let written = ready!(self.poll_burst(stream, frames, left, cx))?;
                left -= written;
                self.advance(written, outbox);
            }
        }
    }

    /// Bytes that the socket has accepted since the last call.
    pub(super) fn take_sent(&mut self) -> u64 {
        self.sent - std::mem::replace(&mut self.sent_at_take, self.sent)
    }

    /// Bytes that the socket has accepted.
    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    /// Whether the socket has accepted a byte since the last call.
    pub(super) fn progressed(&mut self) -> bool {
        std::mem::replace(&mut self.sent_at_check, self.sent) != self.sent
    }

    /// What was taken from the outbox and is not written.
    pub(super) fn burst(&self) -> &Burst {
        &self.burst
    }

    /// Drops what is not yet written; a frame of which the socket has accepted a part stays.
    pub(super) fn discard(&mut self, outbox: &Outbox) {
        let begun = if self.offset > 0 && !self.in_control { self.burst.pop() } else { None };
        let dropped = std::mem::take(&mut self.burst);
        outbox.written(dropped.len() as u32, dropped.iter().map(Frame::len).sum());
        if let Some(frame) = begun {
            self.burst.push(frame);
        }
    }

    /// Frees memory that only a burst needs.
    pub(super) fn shrink(&mut self) {
        self.burst.shrink();
    }

    fn poll_control<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        control: &mut Vec<u8>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let written = ready!(Pin::new(stream).poll_write(cx, &control[self.offset..]))?;
        ready!(not_closed(written))?;
        self.sent += written as u64;
        self.offset += written;
        self.in_control = self.offset < control.len();
        if !self.in_control {
            self.offset = 0;
            // Freed, not cleared: most connections never write a control frame again.
            *control = Vec::new();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_burst<S: AsyncWrite + Unpin>(
        &self,
        stream: &mut S,
        frames: usize,
        max: usize,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let Some(first) = self.burst.first() else { return Poll::Ready(Ok(0)) };
        let first = &first.bytes()[self.offset..];
        if frames == 1 || self.burst.len() == 1 || first.len() >= max {
            let written = ready!(Pin::new(stream).poll_write(cx, &first[..first.len().min(max)]))?;
            return not_closed(written);
        }
        let mut slices = [IoSlice::new(&[]); SLICES];
        slices[0] = IoSlice::new(first);
        let (mut used, mut bytes) = (1, first.len());
        for (slice, frame) in slices[1..].iter_mut().zip(self.burst.iter().skip(1).take(frames - 1)) {
            if bytes == max {
                break;
            }
            let part = &frame.bytes()[..frame.len().min(max - bytes)];
            *slice = IoSlice::new(part);
            bytes += part.len();
            used += 1;
        }
        let slices = &slices[..used];
        let polled = if bytes <= COPIED {
            poll_copy(stream, slices, cx)
        } else {
            Pin::new(stream).poll_write_vectored(cx, slices)
        };
        not_closed(ready!(polled)?)
    }

    fn advance(&mut self, written: usize, outbox: &Outbox) {
        self.sent += written as u64;
        let mut left = self.offset + written;
        let (mut frames, mut bytes) = (0, 0);
        while let Some(frame) = self.burst.first().filter(|frame| frame.len() <= left) {
            left -= frame.len();
            bytes += frame.len();
            frames += 1;
            self.burst.pop();
        }
        self.offset = left;
        outbox.written(frames, bytes);
    }
}

/// Writes the slices as one.
fn poll_copy<S: AsyncWrite + Unpin>(
    stream: &mut S,
    slices: &[IoSlice<'_>],
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    COPY.with_borrow_mut(|copy| {
        copy.clear();
        slices.iter().for_each(|slice| copy.extend_from_slice(slice));
        Pin::new(stream).poll_write(cx, copy)
    })
}

/// A socket that accepts no byte of a non-empty write is closed.
fn not_closed(written: usize) -> Poll<io::Result<usize>> {
    Poll::Ready(if written == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(written) })
}

#[cfg(test)]
mod tests {
    use hub::Bounds;

    use super::*;

    /// Buffers every byte at once, as TLS does, but its socket accepts none of them until `open`.
    #[derive(Default)]
    struct BufferingStream {
        buffered: Vec<u8>,
        open: bool,
    }

    impl AsyncWrite for BufferingStream {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, b: &[u8]) -> Poll<io::Result<usize>> {
            self.buffered.extend_from_slice(b);
            Poll::Ready(Ok(b.len()))
        }

        fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            if !self.open && !self.buffered.is_empty() {
                return Poll::Pending;
            }
            self.buffered.clear();
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn what_the_stream_buffers_is_flushed_before_the_writer_is_idle() {
        let outbox = Outbox::new(Bounds { frames: 8, bytes: 1_000 }, hub::TenantMemory::unlimited());
        let (mut writer, mut stream, mut control) =
            (Writer::default(), BufferingStream::default(), Vec::new());
        let mut drain = |stream: &mut BufferingStream| {
            writer.poll_drain(
                stream,
                &mut control,
                &outbox,
                &mut Context::from_waker(Waker::noop()),
                Waker::noop(),
            )
        };
        outbox.offer(&Frame::new(vec![7; 10], 0));
        assert!(drain(&mut stream).is_pending(), "the frame is in the stream, not in the socket");
        stream.open = true;
        assert!(matches!(drain(&mut stream), Poll::Ready(Ok(WriteOutcome::Drained(NextAction::Idle)))));
        assert!(stream.buffered.is_empty());
    }

    #[test]
    fn a_batch_ends_after_some_bytes() {
        let outbox = Outbox::new(Bounds { frames: 8, bytes: 10 << 20 }, hub::TenantMemory::unlimited());
        let (mut writer, mut control) = (Writer::default(), Vec::new());
        let mut stream = BufferingStream { open: true, ..BufferingStream::default() };
        let mut cx = Context::from_waker(Waker::noop());
        outbox.offer(&Frame::new(vec![7; 10], 0));
        outbox.offer(&Frame::new(vec![8; 2 * BYTES_PER_BATCH], 0));
        let mut batches = Vec::new();
        loop {
            let before = writer.sent;
            let Poll::Ready(Ok(outcome)) =
                writer.poll_drain(&mut stream, &mut control, &outbox, &mut cx, Waker::noop())
            else {
                panic!("the stream accepts everything")
            };
            batches.push((writer.sent - before) as usize);
            if outcome != WriteOutcome::BatchWritten {
                break;
            }
        }
        assert_eq!(batches, [BYTES_PER_BATCH, BYTES_PER_BATCH, 10]);
    }
}
