//! One connection, as a future: write, read a little, repeat; close in order.
//!
//! What a slow or silent client costs is bounded here. It is pinged while silent, closed when silent too long, cut when
//! it accepts no byte. It is read only while its own outbox has room, so a client that does not read cannot make us queue
//! replies for it.

mod handler;
mod timer;

use std::future::Future;
use std::io;
use std::ops::ControlFlow;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use hub::{Begun, Disconnect, NextAction, Outbox, TimeSlice};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;
use tokio_tungstenite::tungstenite::error::{CapacityError, Error};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use self::handler::Handler;
use super::config::ConnectionConfig;
use super::readable::Readable;
use super::reader::{MessageReader, ReadOutcome};
use super::tap::Tap;
use super::writer::{WriteOutcome, Writer};
use crate::close_reason::CloseReason;
use crate::sessions::Session;
use crate::workers::Offload;

/// Messages read before what they caused is written and other connections get their turn: a batch.
const MESSAGES_PER_BATCH: usize = 128;

/// So many messages are read before it is looked at whether the time slice is used up, and after a message of so many
/// bytes that is looked at in any case: some messages cost far more than others.
const MESSAGES_PER_LOOK: usize = 16;
const LONG_MESSAGE: usize = 1_024;

/// The phase of the closing handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// Our close frame is queued or sent; the client's close frame is awaited until then.
    Closing(Instant),
    /// Everything is written. What the client still sends is discarded until it closes its side: closing ours with
    /// unread bytes would reset the connection, and the client might lose our close frame.
    Lingering(Instant),
}

/// One connection and its session; a future that ends when both are done.
///
/// The order of the fields is their order in memory: what a delivery touches is adjacent, because with thousands of
/// members every cache line is fetched anew for each message.
#[repr(C)]
pub struct Connection<S> {
    /// The outbox of the session.
    outbox: Arc<Outbox>,
    writer: Writer,
    phase: Phase,
    /// The timer was set and has to be polled to register its waker.
    timer_moved: bool,
    /// The last read found nothing, so the socket has registered the waker.
    read_armed: bool,
    /// Since when the socket has accepted no byte although some are queued.
    stalled: Option<Instant>,
    tap: Tap<S>,
    reader: MessageReader,
    /// Permits to read.
    time_slice: TimeSlice,
    handler: Handler,
    /// Wakes the outbox, which notifies the connection.
    timer: Pin<Box<Sleep>>,
    config: Arc<ConnectionConfig>,
    /// When bytes were last received.
    received_at: Instant,
    /// When the client was last pinged since then, if it was.
    pinged_at: Option<Instant>,
}

impl<S> Drop for Connection<S> {
    fn drop(&mut self) {
        if let Some(session) = self.handler.session() {
            session.count(0, self.writer.take_sent());
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Readable + Unpin> Connection<S> {
    /// Uses `stream` from the end of the handshake on; `early` are the bytes that were read beyond it.
    pub fn new(stream: S, early: &[u8], session: Box<dyn Session>, config: Arc<ConnectionConfig>) -> Self {
        let memory = Arc::clone(session.outbox().memory());
        let time_slice = TimeSlice::of(memory.party());
        let tap = Tap::new(stream, early, memory, Arc::clone(&config));
        let now = Instant::now();
        let first = now + config.ping_interval;
        let first = session.deadline().map_or(first, |deadline| deadline.min(first));
        Self {
            outbox: Arc::clone(session.outbox()),
            tap,
            reader: MessageReader::default(),
            time_slice,
            handler: Handler::new(session),
            writer: Writer::default(),
            config,
            phase: Phase::Open,
            timer: Box::pin(tokio::time::sleep_until(first.into())),
            timer_moved: true,
            received_at: now,
            pinged_at: None,
            read_armed: false,
            stalled: None,
        }
    }

    /// Writes, reads a little, writes what that caused. Without a time slice it only writes: for that it was woken by the
    /// schedule of its worker, or by its socket.
    fn poll_traffic(&mut self, cx: &mut Context<'_>) -> ControlFlow<()> {
        let Ok(is_ready) = self.poll_handler(cx) else { return ControlFlow::Break(()) };
        if is_ready
            && !matches!(self.phase, Phase::Lingering(_))
            && self.is_readable()
            && let Poll::Ready(begun) = self.time_slice.poll_begin(cx)
        {
            // What it reads is followed by a write, so its own replies need not wake it: that would give it another turn
            // before new input of others is looked for.
            let Ok(drained) = self.write(cx, Waker::noop()) else { return ControlFlow::Break(()) };
            if !matches!(self.phase, Phase::Lingering(_)) && self.may_read(drained) {
                let Ok(more) = self.read(&begun, cx) else { return ControlFlow::Break(()) };
                if more {
                    // There is more to read, but other connections get their turn first.
                    yield_to_others(cx);
                }
            }
            self.time_slice.end(begun);
        }
        let (idle, before) = (cx.waker().clone(), self.writer.sent());
        let Ok(drained) = self.write(cx, &idle) else { return ControlFlow::Break(()) };
        self.time_slice.wrote(self.writer.sent() - before);
        if drained && matches!(self.phase, Phase::Lingering(_)) {
            return self.linger(cx);
        }
        ControlFlow::Continue(())
    }

    /// Whether the session can handle what is read. When it has returned from a large message, does what was due meanwhile.
    fn poll_handler(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        if !self.handler.is_ready() {
            if self.handler.poll_returned(cx).is_pending() {
                return Ok(false);
            }
            self.on_timer(Instant::now())?;
        }
        Ok(true)
    }

    /// Whether there may be something to read. A connection that was woken to write does not try: in a fan-out that would
    /// cost every member more than the rest of its write.
    fn is_readable(&self) -> bool {
        !self.read_armed || self.tap.is_readable()
    }

    /// Whether to read now. A client that does not accept what is queued for it is not read.
    fn may_read(&self, drained: bool) -> bool {
        let tap = &self.tap;
        (drained || !self.outbox.is_backlogged()) && !tap.is_flooded()
    }

    /// Writes what is queued, and does what is due. `false` means that some is left, because the socket accepts no more for
    /// now or other connections get their turn. `idle` is woken when there is more to write or to do.
    fn write(&mut self, cx: &mut Context<'_>, idle: &Waker) -> io::Result<bool> {
        loop {
            let (stream, control) = self.tap.parts();
            let outcome = self.writer.poll_drain(stream, control, &self.outbox, cx, idle);
            match outcome {
                Poll::Pending => {
                    if self.writer.progressed() || self.stalled.is_none() {
                        let now = Instant::now();
                        self.stalled = Some(now);
                        self.wake_by(now + self.config.stall_timeout);
                        self.charge_blocked()?;
                    }
                    // Until there is no notification: only then is the waker registered.
                    while self.outbox.take_notified(idle) {
                        self.on_timer(Instant::now())?;
                    }
                    return Ok(false);
                }
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Ready(Ok(WriteOutcome::BatchWritten)) => {
                    self.stalled = None;
                    // There is more to write, but others get their turn first.
                    if !self.time_slice.wake_in_turn(cx.waker()) {
                        yield_to_others(cx);
                    }
                    return Ok(false);
                }
                Poll::Ready(Ok(WriteOutcome::Drained(NextAction::Notified))) => {
                    self.on_timer(Instant::now())?
                }
                Poll::Ready(Ok(WriteOutcome::Drained(NextAction::CaughtUp))) => self.handler.caught_up(),
                Poll::Ready(Ok(WriteOutcome::Drained(NextAction::Disconnect(disconnect))))
                    if self.phase == Phase::Open && self.handler.is_ready() =>
                {
                    self.close(disconnect)
                }
                Poll::Ready(Ok(WriteOutcome::Drained(_))) => {
                    self.stalled = None;
                    return Ok(true);
                }
            }
        }
    }

    /// Charges what waits for a socket that accepts nothing. Without memory for it the connection ends: what it holds in the
    /// kernel as well is there for clients that read.
    fn charge_blocked(&mut self) -> io::Result<()> {
        if self.outbox.charge_blocked(self.writer.burst()) {
            return Ok(());
        }
        if let (Phase::Open, Some(session)) = (self.phase, self.handler.session()) {
            let _no_close_frame = session.broken(CloseReason::OutOfMemory);
        }
        Err(io::ErrorKind::OutOfMemory.into())
    }

    /// Reads a batch of messages, which a large one ends. `Ok(true)` means that there may be more, an error that the connection
    /// has ended.
    fn read(&mut self, begun: &Begun, cx: &mut Context<'_>) -> Result<bool, ()> {
        self.read_armed = false;
        let (mut read, mut large) = (Ok(true), None);
        for number in 1..=MESSAGES_PER_BATCH {
            match self.reader.poll_next(&mut self.tap, &self.config, cx) {
                Poll::Ready(ReadOutcome::Message(message)) if Offload::is_large(message.len()) => {
                    large = Some(message);
                }
                Poll::Ready(ReadOutcome::Message(message)) => {
                    let is_looked_at = number % MESSAGES_PER_LOOK == 0 || message.len() >= LONG_MESSAGE;
                    self.message(&message);
                    if is_looked_at && begun.is_used_up() {
                        break;
                    }
                    continue;
                }
                Poll::Ready(ReadOutcome::Over) => {}
                Poll::Ready(ReadOutcome::Failed(error)) => read = self.fail(&error).map(|()| false),
                Poll::Ready(ReadOutcome::Ended) => {
                    self.linger_from_now();
                    read = Ok(false);
                }
                Poll::Pending => {
                    // Not if the task has merely used up its budget, or a message waits: then the socket was not polled.
                    self.read_armed = tokio::task::coop::has_budget_remaining() && !self.tap.is_held_back();
                    read = Ok(false);
                }
            }
            break;
        }
        if let Err(error) = self.reader.charge_kept(&self.tap, &self.config)
            && read.is_ok()
        {
            read = self.fail(&error.into()).map(|()| false);
        }
        self.end_batch();
        if let Some(message) = large.filter(|_| self.phase == Phase::Open) {
            self.handler.offload(message, self.tap.release(), self.outbox.memory().party());
        }
        read
    }

    /// Does what belongs to a batch of messages beside them.
    fn end_batch(&mut self) {
        let Some(session) = self.handler.session() else { return };
        if let Some(skipped) = self.tap.take_skipped() {
            session.skipped(&skipped.head());
        }
        // Also when the client has closed: what it sent before is delivered.
        session.flush();
        let received = self.tap.take_received();
        if received > 0 {
            session.count(received, self.writer.take_sent());
            self.received_at = Instant::now();
            self.pinged_at = None;
        }
        // Also when nothing was received: messages may have been in the buffer.
        if let Some(deadline) = session.deadline() {
            self.wake_by(deadline);
        }
        if let Some(due) = self.tap.due() {
            self.wake_by(due);
        }
    }

    fn message(&mut self, message: &Message) {
        if self.phase == Phase::Open {
            drop(self.tap.release());
            self.handler.message(message);
        }
    }

    /// Sends a close frame and waits for that of the client.
    fn close(&mut self, disconnect: Disconnect) {
        self.leave();
        self.send_close(disconnect);
        self.phase = Phase::Closing(self.closing_deadline());
    }

    /// Leaves every room, and writes nothing more than the frame that the socket has accepted in part. Before that the
    /// last messages of the client are delivered: many clients send and close at once.
    fn leave(&mut self) {
        if let Some(session) = self.handler.session() {
            session.flush();
            session.close();
        }
        self.outbox.close();
        self.writer.discard(&self.outbox);
    }

    /// Reading has failed: the client broke the protocol, or has gone.
    fn fail(&mut self, error: &Error) -> Result<(), ()> {
        use tokio_tungstenite::tungstenite::error::ProtocolError::ResetWithoutClosingHandshake;
        let reason = match error {
            Error::Protocol(ResetWithoutClosingHandshake) => return Err(()),
            Error::Protocol(_) => CloseReason::ProtocolError,
            Error::Utf8(_) => CloseReason::InvalidText,
            Error::Capacity(CapacityError::MessageTooLong { .. }) => {
                CloseReason::MessageTooLarge { max: self.config.max_message_size }
            }
            Error::Io(error) if error.kind() == io::ErrorKind::OutOfMemory => CloseReason::OutOfMemory,
            _ => return Err(()),
        };
        if self.phase == Phase::Open {
            let disconnect =
                self.handler.session().map_or_else(|| reason.into(), |session| session.broken(reason));
            self.send_close(disconnect);
        }
        self.linger_from_now();
        Ok(())
    }

    fn send_close(&mut self, disconnect: Disconnect) {
        let frame = CloseFrame { code: disconnect.code.into(), reason: Utf8Bytes::from(&*disconnect.reason) };
        self.reader.close(&mut self.tap, &self.config, frame);
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

    /// Closes our side, and in time slices discards what the client still sends.
    fn linger(&mut self, cx: &mut Context<'_>) -> ControlFlow<()> {
        let stream = self.tap.stream();
        let mut scratch = [0; 1024];
        match Pin::new(&mut *stream).poll_shutdown(cx) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(_closed)) => return ControlFlow::Break(()),
            // TLS has a last record to write.
            Poll::Pending => return ControlFlow::Continue(()),
        }
        let Poll::Ready(begun) = self.time_slice.poll_begin(cx) else { return ControlFlow::Continue(()) };
        let flow = loop {
            let mut buffer = ReadBuf::new(&mut scratch);
            match Pin::new(&mut *stream).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    if begun.is_used_up() {
                        yield_to_others(cx);
                        break ControlFlow::Continue(());
                    }
                }
                Poll::Ready(_) => break ControlFlow::Break(()),
                Poll::Pending => break ControlFlow::Continue(()),
            }
        };
        self.time_slice.end(begun);
        flow
    }
}

/// Has the connection polled again after new input was looked for. A wake would come before that: a few connections that
/// always have more to do would keep all others waiting for hundreds of their turns.
fn yield_to_others(cx: &mut Context<'_>) {
    // Its first poll hands the waker to the runtime for that time.
    let _pending = pin!(tokio::task::yield_now()).poll(cx);
}

impl<S: AsyncRead + AsyncWrite + Readable + Unpin> Future for Connection<S> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if this.poll_traffic(cx).is_break() {
            return Poll::Ready(());
        }
        if std::mem::take(&mut this.timer_moved) {
            let notify = Waker::from(Arc::clone(&this.outbox));
            if this.timer.as_mut().poll(&mut Context::from_waker(&notify)).is_ready() {
                notify.wake();
            }
        }
        Poll::Pending
    }
}
