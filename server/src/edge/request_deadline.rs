//! A stream on which the head of each request must arrive in time and be unambiguous, and whose peer must read.
//!
//! hyper has one timeout for two waits: for the next request, and for the rest of its head. With it alone, a connection
//! could be kept alive only as long as a head may take. So hyper gets the keep-alive timeout, and the head has a
//! deadline here, which starts with its first byte; for the first request it starts with the connection. The bytes after a
//! head are held back until its request has begun, because only then it is known whether they are a body or the next head
//! ([`HeadScanner`]).

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::head_scanner::{Following, HeadScanner};
use super::sockets::{BusySocket, Socket};
use crate::response::UNAVAILABLE;

/// Bytes that hyper gets at once; what was read beyond them is held back. With 8 KiB, which fill its buffer, it would have a
/// larger one from then on.
const READ_BYTES: usize = 4 * 1024;

/// A stream with a deadline for each request's head.
pub(super) struct RequestDeadline<S> {
    stream: S,
    timeouts: RequestTimeouts,
    /// Set while a head is incomplete.
    deadline: Option<Pin<Box<Sleep>>>,
    /// Set while the peer accepts no byte of a response.
    write_deadline: Option<Pin<Box<Sleep>>>,
    /// Set while the peer has not accepted the whole of what it did not accept at once.
    response_deadline: Option<Pin<Box<Sleep>>>,
    scanner: HeadScanner,
    /// Bytes that were received together with others that hyper gets first, such as the end of a head.
    held_back: Vec<u8>,
    progress: RequestProgress,
    socket: Arc<Socket>,
    /// Whether there was nothing to read once.
    has_waited: bool,
}

/// Times that a peer has.
#[derive(Debug, Clone, Copy)]
pub(super) struct RequestTimeouts {
    /// For the head of a request.
    pub(super) head: Duration,
    /// To accept some byte of a response.
    pub(super) stall: Duration,
    /// To accept a whole response, or those to requests that were sent at once.
    pub(super) response: Duration,
}

/// Whether a request of a connection has begun, and has a response. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct RequestProgress(Arc<Mutex<Progress>>);

#[derive(Debug, Default)]
struct Progress {
    /// What follows the head of a request that has begun since the last read.
    begun: Option<Following>,
    is_without_response: bool,
    /// Until the peer has accepted the whole response: before that the connection does not wait for a request.
    sending: Option<BusySocket>,
}

/// A request without a response; it has one when this is dropped.
pub(super) struct BegunRequest(RequestProgress);

impl RequestProgress {
    /// The head of a request is complete, and `following` comes after it.
    pub(super) fn begin(&self, following: Following) -> BegunRequest {
        *self.0.lock() = Progress { begun: Some(following), is_without_response: true, sending: None };
        BegunRequest(self.clone())
    }

    /// Everything that hyper had was accepted.
    fn note_sent(&self) {
        let sent = self.0.lock().sending.take();
        drop(sent);
    }
}

impl BegunRequest {
    /// The request has a response, which is sent on `socket`.
    pub(super) fn respond(self, socket: BusySocket) {
        self.0.0.lock().sending = Some(socket);
    }
}

impl Drop for BegunRequest {
    fn drop(&mut self) {
        self.0.0.lock().is_without_response = false;
    }
}

impl<S> RequestDeadline<S> {
    /// A deadline for each head on `stream`. The first request must arrive within that time from now.
    pub(super) fn new(
        stream: S,
        timeouts: RequestTimeouts,
        progress: RequestProgress,
        socket: Arc<Socket>,
    ) -> Self {
        let deadline = Some(Box::pin(tokio::time::sleep(timeouts.head)));
        let (scanner, held_back) = (HeadScanner::new(), Vec::new());
        Self {
            stream,
            timeouts,
            deadline,
            write_deadline: None,
            response_deadline: None,
            scanner,
            held_back,
            progress,
            socket,
            has_waited: false,
        }
    }

    /// The stream itself, and bytes received from it that hyper has not read.
    pub(super) fn into_inner(self) -> (S, Vec<u8>) {
        (self.stream, self.held_back)
    }

    /// Ready when the deadline has passed. It is not enforced before the response to the previous request.
    fn poll_deadline(&mut self, cx: &mut Context<'_>, is_without_response: bool) -> Poll<()> {
        match &mut self.deadline {
            Some(deadline) if !is_without_response => deadline.as_mut().poll(cx),
            _ => Poll::Pending,
        }
    }

    /// The result of a write, which fails once the peer has accepted nothing, or not all, for too long.
    fn unless_stalled<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.write_deadline = None;
            return written;
        }
        let RequestTimeouts { stall, response, .. } = self.timeouts;
        let begin = |time| move || Box::pin(tokio::time::sleep(time));
        let of_write = self.write_deadline.get_or_insert_with(begin(stall)).as_mut().poll(cx);
        let of_response = self.response_deadline.get_or_insert_with(begin(response)).as_mut().poll(cx);
        if of_write.is_pending() && of_response.is_pending() {
            return Poll::Pending;
        }
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Reads `bytes` as heads and bodies. Returns how many of them hyper may read now.
    fn scan(&mut self, bytes: &mut [u8]) -> usize {
        let scanned = self.scanner.read(bytes);
        if !self.scanner.is_in_head() {
            self.deadline = None;
        } else if self.deadline.is_none() && scanned > 0 {
            self.deadline = Some(Box::pin(tokio::time::sleep(self.timeouts.head)));
        }
        scanned
    }
}

impl<S: AsyncWrite + Unpin> RequestDeadline<S> {
    /// Responds instead of hyper, unless the response to an earlier request has not been accepted yet.
    fn refuse(&mut self, cx: &mut Context<'_>) -> io::Error {
        if self.write_deadline.is_none() {
            let _best_effort = Pin::new(&mut self.stream).poll_write(cx, UNAVAILABLE);
            let _best_effort = Pin::new(&mut self.stream).poll_flush(cx);
        }
        io::ErrorKind::OutOfMemory.into()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for RequestDeadline<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let (begun, is_without_response) = {
            let mut progress = this.progress.0.lock();
            (progress.begun.take(), progress.is_without_response)
        };
        if let Some(following) = begun {
            this.scanner.begin(following);
        }
        if this.poll_deadline(cx, is_without_response).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        if this.scanner.is_after_head() {
            // hyper expects more of a head that is complete.
            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
        }
        let start = buffer.filled().len();
        if this.held_back.is_empty() {
            let read = Pin::new(&mut this.stream).poll_read(cx, buffer);
            if read.is_pending() && !std::mem::replace(&mut this.has_waited, true) {
                this.socket.wait_for_request();
            }
            ready!(read)?;
        } else {
            let length = this.held_back.len().min(buffer.remaining()).min(READ_BYTES);
            buffer.put_slice(&this.held_back[..length]);
            this.held_back.drain(..length);
        }
        let end = buffer.filled().len().min(start + READ_BYTES);
        let scanned = start + this.scan(&mut buffer.filled_mut()[start..end]);
        // In front of what is held back already.
        this.held_back.splice(..0, buffer.filled()[scanned..].iter().copied());
        buffer.set_filled(scanned);
        if !this.socket.charge_head(this.scanner.head_length()) {
            return Poll::Ready(Err(this.refuse(cx)));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for RequestDeadline<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.unless_stalled(cx, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        if flushed.is_ready() {
            // hyper flushes when it has written all that it has.
            self.response_deadline = None;
            self.progress.note_sent();
        }
        self.unless_stalled(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.unless_stalled(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
