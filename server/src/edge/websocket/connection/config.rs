//! How long a connection waits for its client: pings, silence, stalls, closing.
//!
//! One timer serves all of it, and it is lazy: traffic never touches it. When it fires, it looks at what
//! has happened meanwhile and is set anew.

use std::io;
use std::time::{Duration, Instant};

use settings::{ByteSize, Settings};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Connection, Phase};
use crate::close_reason::CloseReason;
use crate::edge::websocket::Readable;

/// How long a connection waits for its client, and how much it takes from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionConfig {
    /// Silence after which the client is pinged, and again each time it passes without an answer.
    pub ping_interval: Duration,
    /// Silence after which the connection is closed (1013).
    pub idle_timeout: Duration,
    /// How long the client may accept no byte before it is cut (1013).
    pub stall_timeout: Duration,
    /// How long the client may take to answer a close frame.
    pub close_timeout: Duration,
    /// Most bytes of one message (1009).
    pub max_message_size: usize,
    /// Bytes of the read buffer.
    pub read_buffer_size: usize,
}

impl ConnectionConfig {
    /// What `settings` say.
    pub fn by(settings: &Settings) -> Self {
        let (server, outbox) = (&settings.server, &settings.outbox);
        let bytes = |size: ByteSize| usize::try_from(size.as_u64()).unwrap_or(usize::MAX);
        Self {
            ping_interval: server.ping_interval,
            idle_timeout: server.idle_timeout,
            stall_timeout: outbox.stall_timeout,
            close_timeout: server.close_timeout,
            max_message_size: bytes(server.max_frame_size),
            read_buffer_size: bytes(server.read_buffer_size),
        }
    }
}

/// A ping without a payload, as a whole frame (RFC 6455 §5.5.2).
const PING: [u8; 2] = [0x89, 0x00];

impl<S: AsyncRead + AsyncWrite + Readable + Unpin> Connection<S> {
    /// Sets the timer to fire at `deadline`, if that is earlier than it would.
    pub(super) fn wake_by(&mut self, deadline: Instant) {
        if self.timer.deadline() > deadline.into() {
            self.timer.as_mut().reset(deadline.into());
            self.timer_moved = true;
        }
    }

    /// The timer has fired: does what is due and sets it again. An error means that the connection is over.
    pub(super) fn on_timer(&mut self, now: Instant) -> io::Result<()> {
        let over = || io::Error::from(io::ErrorKind::TimedOut);
        let next = match self.phase {
            Phase::Closing(until) | Phase::Lingering(until) if until <= now => return Err(over()),
            Phase::Closing(until) | Phase::Lingering(until) => until,
            Phase::Open => {
                self.session.count(0, self.writer.take_sent());
                self.session.tick(now);
                let next = self.check_stall(now).ok_or_else(over)?;
                next.min(self.check_silence(now))
            }
        };
        let next =
            self.session.deadline().filter(|_| self.phase == Phase::Open).map_or(next, |d| d.min(next));
        self.timer.as_mut().reset(next.into());
        self.timer_moved = true;
        Ok(())
    }

    /// When to look again at whether the client accepts bytes; `None` means that it is cut now.
    fn check_stall(&mut self, now: Instant) -> Option<Instant> {
        let Some(stalled) = self.stalled else { return Some(now + self.config.idle_timeout) };
        let closed_at = stalled + self.config.stall_timeout;
        if now < closed_at {
            return Some(closed_at);
        }
        // If it wakes up after all, it is told why; the socket has no room for that now.
        self.outbox.disconnect(CloseReason::ReadsTooSlowly.into());
        let cut_at = closed_at + self.config.close_timeout;
        (now < cut_at).then_some(cut_at)
    }

    /// Pings or closes a silent client. Returns when to look again.
    fn check_silence(&mut self, now: Instant) -> Instant {
        let ConnectionConfig { ping_interval, idle_timeout, close_timeout, .. } = *self.config;
        let idle_at = self.heard + idle_timeout;
        if now >= idle_at {
            self.outbox.disconnect(CloseReason::Idle.into());
            return now + close_timeout;
        }
        let ping_at = self.pinged.unwrap_or(self.heard) + ping_interval;
        if now < ping_at {
            return ping_at.min(idle_at);
        }
        self.pinged = Some(now);
        self.socket.get_mut().parts().1.extend_from_slice(&PING);
        self.outbox.shrink();
        self.writer.shrink();
        (now + ping_interval).min(idle_at)
    }
}
