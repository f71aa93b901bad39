//! A stream on which the head of each request must arrive in time.
//!
//! hyper has one timeout for two waits: for the next request, and for the rest of its head. With it alone, a connection
//! could be kept alive only as long as a head may take. So hyper gets the keep-alive timeout, and the head has a
//! deadline here, which starts with its first byte; for the first request it starts with the connection.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// A stream with a deadline for each request's head.
pub(super) struct RequestDeadline<S> {
    stream: S,
    head_timeout: Duration,
    /// Set while a head is incomplete.
    deadline: Option<Pin<Box<Sleep>>>,
    requests: RequestCounts,
    /// Requests that had started at the last read.
    started_before: usize,
}

/// How many requests have started on a connection, and how many have a response. While more have started, the bytes that
/// are read belong to a body, which has a timeout of its own. Clones share their counts.
#[derive(Debug, Clone, Default)]
pub(super) struct RequestCounts {
    started: Arc<AtomicUsize>,
    finished: Arc<AtomicUsize>,
}

/// A request without a response; finished when this is dropped.
pub(super) struct StartedRequest(RequestCounts);

impl RequestCounts {
    /// The head of a request is complete.
    pub(super) fn start(&self) -> StartedRequest {
        self.started.fetch_add(1, Ordering::Relaxed);
        StartedRequest(self.clone())
    }
}

impl Drop for StartedRequest {
    fn drop(&mut self) {
        self.0.finished.fetch_add(1, Ordering::Relaxed);
    }
}

impl<S> RequestDeadline<S> {
    /// A deadline for each head on `stream`. The first request must arrive within `head_timeout` from now.
    pub(super) fn new(stream: S, head_timeout: Duration, requests: RequestCounts) -> Self {
        let deadline = Some(Box::pin(tokio::time::sleep(head_timeout)));
        Self { stream, head_timeout, deadline, requests, started_before: 0 }
    }

    /// The stream itself.
    pub(super) fn into_inner(self) -> S {
        self.stream
    }

    /// Ready when the deadline has passed.
    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.deadline {
            Some(deadline) => deadline.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for RequestDeadline<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let started = this.requests.started.load(Ordering::Relaxed);
        if std::mem::replace(&mut this.started_before, started) != started {
            // The head is complete.
            this.deadline = None;
        }
        if this.requests.finished.load(Ordering::Relaxed) < started {
            return Pin::new(&mut this.stream).poll_read(cx, buffer);
        }
        if this.poll_deadline(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut this.stream).poll_read(cx, buffer);
        if this.deadline.is_none() && buffer.filled().len() > before {
            this.deadline = Some(Box::pin(tokio::time::sleep_until(Instant::now() + this.head_timeout)));
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for RequestDeadline<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
