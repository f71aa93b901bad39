//! The life of one connection, as a future: write, read a little, repeat; close in order.
//!
//! What a slow or silent client costs is bounded here. It is pinged while silent, closed when silent too
//! long, cut when it accepts no byte. It is read only while its own outbox has room, so a client that does
//! not read cannot make us queue answers for it.

mod config;

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::Bytes;
use futures_util::{Sink, Stream};
use hub::{Disconnect, Outbox, Turn};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::{CapacityError, Error};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

pub use self::config::ConnectionConfig;
use super::readable::Readable;
use super::tap::Tap;
use super::writer::Writer;
use crate::close_reason::CloseReason;
use crate::sessions::Session;

/// Messages read before what they caused is written and others get their turn.
const MESSAGES_PER_TURN: usize = 32;

/// A message larger than this is kept until the next one is read, because tungstenite would otherwise
/// reuse, and so keep, the buffer that grew for it.
const LARGE_MESSAGE: usize = 16 * 1024;

/// Where the connection is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// Our close frame is on its way; the client's answer is awaited until then.
    Closing(Instant),
    /// Everything is said. What the client still sends is thrown away until it hangs up: closing with
    /// unread bytes would reset the connection and take our close frame with it.
    Lingering(Instant),
}

/// Whether the connection lives on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Alive,
    Over,
}

/// One connection and its session; a future that ends when both are done.
///
/// The order of the fields is their order in memory: what a delivery touches stands together, because with
/// thousands of members every cache line is fetched anew for each message.
#[repr(C)]
pub struct Connection<S> {
    /// That of the session.
    outbox: Arc<Outbox>,
    writer: Writer,
    phase: Phase,
    /// The timer was set anew and has to be polled to know whom to wake.
    timer_moved: bool,
    /// The last attempt to read found nothing, so the socket knows whom to wake.
    read_armed: bool,
    /// Since when the socket has taken no byte although some are waiting.
    stalled: Option<Instant>,
    socket: WebSocketStream<Tap<S>>,
    session: Box<dyn Session>,
    /// Rings the outbox as its alarm.
    timer: Pin<Box<Sleep>>,
    config: Arc<ConnectionConfig>,
    /// When the client was last heard.
    heard: Instant,
    /// When it was last pinged since then, if it was.
    pinged: Option<Instant>,
    /// See [`LARGE_MESSAGE`].
    large: Option<Bytes>,
}

impl<S> Drop for Connection<S> {
    fn drop(&mut self) {
        self.session.count(0, self.writer.take_sent());
    }
}

impl<S: AsyncRead + AsyncWrite + Readable + Unpin> Connection<S> {
    /// Takes over `stream` right after the upgrade; `early` is what was read beyond it.
    pub async fn new(
        stream: S,
        early: &[u8],
        session: Box<dyn Session>,
        config: Arc<ConnectionConfig>,
    ) -> Self {
        let socket_config = WebSocketConfig::default()
            .read_buffer_size(config.read_buffer_size)
            .max_message_size(Some(config.max_message_size))
            .max_frame_size(Some(config.max_message_size));
        let (tap, early) = (Tap::new(stream), early.to_vec());
        let socket =
            WebSocketStream::from_partially_read(tap, early, Role::Server, Some(socket_config)).await;
        let heard = Instant::now();
        let first = heard + config.ping_interval;
        let first = session.deadline().map_or(first, |deadline| deadline.min(first));
        Self {
            outbox: Arc::clone(session.outbox()),
            socket,
            session,
            writer: Writer::default(),
            config,
            phase: Phase::Open,
            timer: Box::pin(tokio::time::sleep_until(first.into())),
            timer_moved: true,
            heard,
            pinged: None,
            read_armed: false,
            stalled: None,
            large: None,
        }
    }

    /// Writes, reads a little, writes what that caused.
    fn poll_traffic(&mut self, cx: &mut Context<'_>) -> Verdict {
        let mut drained = match self.write(cx) {
            Ok(drained) => drained,
            Err(_hung_up) => return Verdict::Over,
        };
        if !matches!(self.phase, Phase::Lingering(_)) && self.may_read(drained) {
            let heard = self.read(cx);
            let Ok(more) = heard else { return Verdict::Over };
            drained = match self.write(cx) {
                Ok(drained) => drained,
                Err(_hung_up) => return Verdict::Over,
            };
            if more {
                // There is more to read, but others want their turn, if only to write what they got.
                cx.waker().wake_by_ref();
            }
        }
        if drained && matches!(self.phase, Phase::Lingering(_)) {
            return self.linger(cx);
        }
        Verdict::Alive
    }

    /// A client that does not take what we have for it is not asked for more. And a connection woken to
    /// write does not try to read: in a fan-out that would cost every member more than its write's rest.
    fn may_read(&self, drained: bool) -> bool {
        let tap = self.socket.get_ref();
        if self.read_armed && !tap.is_readable() {
            return false;
        }
        (drained || !self.outbox.is_backlogged()) && !tap.is_flooded()
    }

    /// Writes everything there is, and does what is due. `false` means that the socket takes no more for
    /// now.
    fn write(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        loop {
            let (stream, control) = self.socket.get_mut().parts();
            let turn = self.writer.poll_drain(stream, control, &self.outbox, cx);
            match turn {
                Poll::Pending => {
                    if self.writer.progressed() || self.stalled.is_none() {
                        let now = Instant::now();
                        self.stalled = Some(now);
                        self.wake_by(now + self.config.stall_timeout);
                    }
                    // Until the alarm is silent: only then does it know whom to wake next time.
                    while self.outbox.take_notified(cx.waker()) {
                        self.on_timer(Instant::now())?;
                    }
                    return Ok(false);
                }
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Ready(Ok(Turn::Notified)) => self.on_timer(Instant::now())?,
                Poll::Ready(Ok(Turn::CaughtUp)) => self.session.caught_up(),
                Poll::Ready(Ok(Turn::Disconnect(goodbye))) if self.phase == Phase::Open => {
                    self.close(goodbye)
                }
                Poll::Ready(Ok(_)) => {
                    self.stalled = None;
                    return Ok(true);
                }
            }
        }
    }

    /// Reads a few messages. `Ok(true)` means that there may be more, an error that nobody is there.
    fn read(&mut self, cx: &mut Context<'_>) -> Result<bool, ()> {
        self.read_armed = false;
        let mut read = Ok(true);
        for _ in 0..MESSAGES_PER_TURN {
            match Pin::new(&mut self.socket).poll_next(cx) {
                Poll::Ready(Some(Ok(message))) => {
                    self.message(message);
                    continue;
                }
                Poll::Ready(Some(Err(error))) => read = self.fail(&error).map(|()| false),
                // Both close frames are exchanged.
                Poll::Ready(None) => {
                    self.linger_from_now();
                    read = Ok(false);
                }
                Poll::Pending => {
                    // Not if the task has merely used up its turn: then the socket was never asked.
                    self.read_armed = tokio::task::coop::has_budget_remaining();
                    // tungstenite has made room for the next message, not in this one's buffer.
                    self.large = None;
                    read = Ok(false);
                }
            }
            break;
        }
        // Also when the client has gone: what it said before is said.
        self.session.flush();
        let received = self.socket.get_mut().take_received();
        if received > 0 {
            self.session.count(received, self.writer.take_sent());
            self.heard = Instant::now();
            self.pinged = None;
        }
        // Also when nothing new came: messages may have been waiting in the buffer.
        if let Some(deadline) = self.session.deadline() {
            self.wake_by(deadline);
        }
        read
    }

    fn message(&mut self, message: Message) {
        if self.phase != Phase::Open {
            return;
        }
        let payload: Bytes = match message {
            Message::Text(text) => {
                self.session.text(&text);
                text.into()
            }
            Message::Binary(bytes) => {
                self.session.binary(&bytes);
                bytes
            }
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_) => return,
        };
        self.large = (payload.len() > LARGE_MESSAGE).then_some(payload);
    }

    /// Says goodbye and waits for the client to say it too.
    fn close(&mut self, goodbye: Disconnect) {
        self.leave();
        self.send_close(goodbye);
        self.phase = Phase::Closing(self.closing_deadline());
    }

    /// Leaves every room, and sends nothing any more but what the socket has taken half. What the client said
    /// last is said first: many send and hang up in one breath.
    fn leave(&mut self) {
        self.session.flush();
        self.session.close();
        self.outbox.close();
        self.writer.discard(&self.outbox);
    }

    /// The client broke the protocol, or is gone.
    fn fail(&mut self, error: &Error) -> Result<(), ()> {
        use tokio_tungstenite::tungstenite::error::ProtocolError::ResetWithoutClosingHandshake;
        let why = match error {
            Error::Protocol(ResetWithoutClosingHandshake) => return Err(()),
            Error::Protocol(_) => CloseReason::ProtocolError,
            Error::Utf8(_) => CloseReason::InvalidText,
            Error::Capacity(CapacityError::MessageTooLong { .. }) => {
                CloseReason::MessageTooLarge { max: self.config.max_message_size }
            }
            _ => return Err(()),
        };
        if self.phase == Phase::Open {
            self.session.broken(&why.text());
            self.send_close(why.into());
        }
        self.linger_from_now();
        Ok(())
    }

    fn send_close(&mut self, goodbye: Disconnect) {
        let frame = CloseFrame { code: goodbye.code.into(), reason: Utf8Bytes::from(&*goodbye.reason) };
        // Goes into the tap, which takes everything; refused only if a close frame was sent before.
        let _already_closing = Pin::new(&mut self.socket).start_send(Message::Close(Some(frame)));
    }

    fn linger_from_now(&mut self) {
        self.leave();
        self.phase = Phase::Lingering(self.closing_deadline());
    }

    fn closing_deadline(&mut self) -> Instant {
        let deadline = Instant::now() + self.config.close_timeout;
        self.wake_by(deadline);
        deadline
    }

    /// Hangs up our side and throws away what the client still sends.
    fn linger(&mut self, cx: &mut Context<'_>) -> Verdict {
        let stream = self.socket.get_mut().stream();
        let mut scratch = [0; 1024];
        match Pin::new(&mut *stream).poll_shutdown(cx) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(_hung_up)) => return Verdict::Over,
            // TLS has something to say at the end.
            Poll::Pending => return Verdict::Alive,
        }
        loop {
            let mut buffer = ReadBuf::new(&mut scratch);
            match Pin::new(&mut *stream).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {}
                Poll::Ready(_) => return Verdict::Over,
                Poll::Pending => return Verdict::Alive,
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Readable + Unpin> Future for Connection<S> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if this.poll_traffic(cx) == Verdict::Over {
            return Poll::Ready(());
        }
        if std::mem::take(&mut this.timer_moved) {
            let alarm = Waker::from(Arc::clone(&this.outbox));
            if this.timer.as_mut().poll(&mut Context::from_waker(&alarm)).is_ready() {
                alarm.wake();
            }
        }
        Poll::Pending
    }
}
