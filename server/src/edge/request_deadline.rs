//! A socket on which the head of a request has to arrive in time.
//!
//! hyper knows one time-out for both, the wait for a request and its head, and so a connection that is kept for the
//! next request could be kept only as long as a head may take. Here hyper's time-out is the longer one, for a
//! connection that is kept, and the head's begins with its first byte; for the first request, with the connection.

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
    /// Set while a head is awaited that has begun.
    deadline: Option<Pin<Box<Sleep>>>,
    serving: Serving,
    /// Heads that had arrived when the deadline was last looked at.
    heads_seen: usize,
}

/// How many requests have begun to be answered on a connection, and how many answers are complete. While there are more
/// of the former, what is read is a body, which has a time-out of its own. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Serving {
    begun: Arc<AtomicUsize>,
    complete: Arc<AtomicUsize>,
}

/// A request that is being answered, until this is dropped.
pub(super) struct Answering(Serving);

impl Serving {
    /// A head has arrived.
    pub(super) fn begin(&self) -> Answering {
        self.begun.fetch_add(1, Ordering::Relaxed);
        Answering(self.clone())
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.complete.fetch_add(1, Ordering::Relaxed);
    }
}

impl<S> RequestDeadline<S> {
    /// `stream`, whose first request has to arrive within `head_timeout`.
    pub(super) fn new(stream: S, head_timeout: Duration, serving: Serving) -> Self {
        let deadline = Some(Box::pin(tokio::time::sleep(head_timeout)));
        Self { stream, head_timeout, deadline, serving, heads_seen: 0 }
    }

    /// The stream itself.
    pub(super) fn into_inner(self) -> S {
        self.stream
    }

    /// Whether the deadline is over.
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
        let begun = this.serving.begun.load(Ordering::Relaxed);
        if std::mem::replace(&mut this.heads_seen, begun) != begun {
            // The head that the deadline was for is complete.
            this.deadline = None;
        }
        if this.serving.complete.load(Ordering::Relaxed) < begun {
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
