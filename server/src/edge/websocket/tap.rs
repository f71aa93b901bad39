//! The stream as tungstenite sees it: reading goes to the socket, writing into a small buffer.
//!
//! tungstenite answers pings and close frames by itself, whenever it reads. If it wrote to the socket, its bytes could end up
//! in the middle of a frame of ours that the socket took only half. So they are caught here, and the writer sends them
//! between two frames.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

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
}

impl<S> Tap<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, control: Vec::new(), received: 0 }
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
        self.stream.is_readable()
    }

    /// Whether so much is caught that nothing more should be read.
    pub(super) fn is_flooded(&self) -> bool {
        self.control.len() > CONTROL_HIGH_WATER
    }

    /// Bytes read since the last call.
    pub(super) fn take_received(&mut self) -> u64 {
        std::mem::take(&mut self.received)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Tap<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.received += (buffer.filled().len() - before) as u64;
        polled
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
