//! The timer of a connection: pings, silence, stalls, closing, and what its session has to do later.
//!
//! One timer serves all of it, and traffic never sets it: when it fires, it looks at what has happened since and is set
//! again.

use std::io;
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::tungstenite::error::Error;

use super::{Connection, Phase};
use crate::close_reason::CloseReason;
use crate::edge::websocket::config::ConnectionConfig;
use crate::edge::websocket::readable::Readable;

/// A ping without a payload, as a whole frame (RFC 6455 §5.5.2).
const PING: [u8; 2] = [0x89, 0x00];

impl<S: AsyncRead + AsyncWrite + Readable + Unpin> Connection<S> {
    /// Sets the timer to fire at `deadline`, unless it fires earlier already.
    pub(super) fn wake_by(&mut self, deadline: Instant) {
        if self.timer.deadline() > deadline.into() {
            self.timer.as_mut().reset(deadline.into());
            self.timer_moved = true;
        }
    }

    /// The timer has fired or the connection was notified: does what is due and sets the timer. An error ends the connection.
    pub(super) fn on_timer(&mut self, now: Instant) -> io::Result<()> {
        let ended = || io::Error::from(io::ErrorKind::TimedOut);
        // Here as well as by a read: a client that does not read is not read either.
        if self.phase == Phase::Open
            && let Err(error) = self.tap.check_due()
        {
            self.fail(&Error::Io(error)).map_err(|()| ended())?;
        }
        let next = match self.phase {
            Phase::Closing(until) | Phase::Lingering(until) if until <= now => return Err(ended()),
            Phase::Closing(until) | Phase::Lingering(until) => until,
            Phase::Open => {
                if let Some(session) = self.handler.session() {
                    session.count(0, self.writer.take_sent());
                    session.tick(now);
                }
                let next = self.check_stall(now).ok_or_else(ended)?;
                next.min(self.check_silence(now))
            }
        };
        let next =
            self.handler.deadline().filter(|_| self.phase == Phase::Open).map_or(next, |d| d.min(next));
        // What has passed is left to the next read.
        let next = self.tap.due().filter(|due| *due > now).map_or(next, |due| due.min(next));
        self.timer.as_mut().reset(next.into());
        self.timer_moved = true;
        Ok(())
    }

    /// When to check next whether the client accepts bytes; `None` if the connection is cut now.
    fn check_stall(&mut self, now: Instant) -> Option<Instant> {
        let Some(stalled) = self.stalled else { return Some(now + self.config.idle_timeout) };
        let closed_at = stalled + self.config.stall_timeout;
        if now < closed_at {
            return Some(closed_at);
        }
        // Sent if the client reads again before the cut; the socket has no room for it now.
        self.outbox.disconnect(CloseReason::ReadsTooSlowly.into());
        let cut_at = closed_at + self.config.close_timeout;
        (now < cut_at).then_some(cut_at)
    }

    /// Pings or closes a silent client. Returns when to check next.
    fn check_silence(&mut self, now: Instant) -> Instant {
        let ConnectionConfig { ping_interval, idle_timeout, close_timeout, .. } = *self.config;
        let idle_at = self.received_at + idle_timeout;
        if now >= idle_at {
            self.outbox.disconnect(CloseReason::Idle.into());
            return now + close_timeout;
        }
        let ping_at = self.pinged_at.unwrap_or(self.received_at) + ping_interval;
        if now < ping_at {
            return ping_at.min(idle_at);
        }
        self.pinged_at = Some(now);
        self.tap.parts().1.extend_from_slice(&PING);
        self.outbox.shrink();
        self.writer.shrink();
        (now + ping_interval).min(idle_at)
    }
}
