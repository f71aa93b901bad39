//! What a client is sending: where its frames begin, and whether there is memory for a large message.
//!
//! tungstenite reserves a frame when it knows its length, and keeps it until it is complete. So headers are read before it
//! sees them. A message of more than [`hub::UNCHARGED_BYTES`] is charged as a whole when it begins; a fragmented one, whose
//! size is not announced, as the largest that is accepted. While there is no memory for it nothing is read, so that TCP
//! holds the client back; after `server.large_message_timeout` the message is skipped: it is read and not kept, except for
//! its head, by which the session finds the topic to reply to. The connection and its other messages go on.

mod large_message;
mod skipped_message;

use std::io;
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use hub::{MemoryCharge, TenantMemory};

use super::config::ConnectionConfig;
use super::frame_header::FrameHeader;

use self::large_message::{Fate, LargeMessage};

pub(super) use self::skipped_message::SkippedMessage;

/// What happens to the bytes at the front of what was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// So many are for tungstenite.
    Pass(usize),
    /// So many are of a message that is skipped.
    Skip(usize),
    /// There are too few to decide.
    More,
    /// A message was skipped, and is to be [taken](Intake::take_skipped); or one waits for memory.
    Wait,
}

/// What one client is sending.
#[derive(Debug)]
pub(super) struct Intake {
    memory: Arc<TenantMemory>,
    config: Arc<ConnectionConfig>,
    /// Bytes of the present frame that are still to come.
    frame_left: u64,
    /// Bytes of the present message in the frames that have begun.
    message_bytes: u64,
    /// Whether the frames that tungstenite has got so far end within a message.
    in_message: bool,
    frame: FrameKind,
    large: Option<Box<LargeMessage>>,
}

/// The present frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FrameKind {
    /// A control frame, or one whose message goes on.
    Other,
    /// The last one of a message.
    Last,
    /// Of a message that is skipped, which goes on.
    Skipped,
    /// The last one of a message that is skipped.
    LastSkipped,
}

impl Intake {
    pub(super) fn new(memory: Arc<TenantMemory>, config: Arc<ConnectionConfig>) -> Self {
        Self {
            memory,
            config,
            frame_left: 0,
            message_bytes: 0,
            in_message: false,
            frame: FrameKind::Other,
            large: None,
        }
    }

    /// tungstenite has handed over what it had received. Returns its charge, which ends before the message is handled, because
    /// the frames that it becomes are charged then.
    pub(super) fn release(&mut self) -> Option<MemoryCharge> {
        let large = self.large.take_if(|large| matches!(**large, LargeMessage::Received { .. }))?;
        if let LargeMessage::Received { charge } = *large { Some(charge) } else { None }
    }

    /// tungstenite reads, so it has handed over what it had received.
    ///
    /// # Errors
    /// When a large message has taken too long and its memory is needed.
    pub(super) fn resume(&mut self) -> io::Result<()> {
        drop(self.release());
        self.check_due()
    }

    /// What happens to the front of `bytes`, which follow those of the last steps. `waker` is called when a message that
    /// waits may have its memory.
    ///
    /// # Errors
    /// When there is no memory for the rest of a message whose beginning tungstenite has, or for a control frame that is
    /// longer than any may be.
    pub(super) fn step(&mut self, bytes: &[u8], waker: &Waker) -> io::Result<Step> {
        // What is decided is either all passed or all skipped.
        let (mut decided, mut skips) = (0, false);
        loop {
            let rest = &bytes[decided..];
            let size = if self.frame_left > 0 {
                let part = rest.len().min(usize::try_from(self.frame_left).unwrap_or(usize::MAX));
                if part == 0 || (decided > 0 && self.skips_frame() != skips) {
                    break;
                }
                skips = self.skips_frame();
                self.advance(&rest[..part]);
                part
            } else {
                let Some(header) = FrameHeader::parse(rest) else { break };
                // What precedes it is passed first: without memory for it, the connection may end.
                if decided > 0 && self.is_charged_with(&header) {
                    break;
                }
                let skips_frame = match self.fate(&header, waker)? {
                    Fate::Pass => false,
                    Fate::Skip => true,
                    Fate::Wait if decided > 0 => break,
                    Fate::Wait => return Ok(Step::Wait),
                };
                if decided > 0 && skips_frame != skips {
                    break;
                }
                skips = skips_frame;
                self.begin(&header, skips);
                header.size
            };
            decided += size;
            if matches!(self.large.as_deref(), Some(LargeMessage::Received { .. })) {
                // Nothing follows it in tungstenite's buffer, which the reader drops with it.
                break;
            }
        }
        Ok(match decided {
            0 => Step::More,
            _ if skips => Step::Skip(decided),
            _ => Step::Pass(decided),
        })
    }

    /// When [`check_due`](Self::check_due) has something to do, and [`step`](Self::step) should be tried again, even if nothing
    /// has arrived.
    pub(super) fn due(&self) -> Option<Instant> {
        match self.large.as_deref()? {
            LargeMessage::Waiting { until, .. } | LargeMessage::Receiving { until, .. } => Some(*until),
            _ => None,
        }
    }

    /// Whether tungstenite has the beginning of a frame or message, and not its end.
    pub(super) fn is_in_message(&self) -> bool {
        self.frame_left > 0 || self.in_message
    }

    /// Whether the present message is charged, or waits for that.
    pub(super) fn is_in_large_message(&self) -> bool {
        self.large.is_some()
    }

    /// What large messages are charged to.
    pub(super) fn memory(&self) -> &Arc<TenantMemory> {
        &self.memory
    }

    /// Whether a message waits for memory.
    pub(super) fn is_waiting(&self) -> bool {
        matches!(self.large.as_deref(), Some(LargeMessage::Waiting { .. }))
    }

    /// Whether a message was skipped and not taken.
    pub(super) fn has_skipped(&self) -> bool {
        matches!(self.large.as_deref(), Some(LargeMessage::Skipped(_)))
    }

    /// The message that was skipped since the last call.
    pub(super) fn take_skipped(&mut self) -> Option<SkippedMessage> {
        let large = self.large.take_if(|large| matches!(**large, LargeMessage::Skipped(_)))?;
        if let LargeMessage::Skipped(message) = *large { Some(message) } else { None }
    }

    /// A frame begins, which is passed or skipped.
    fn begin(&mut self, header: &FrameHeader, skips: bool) {
        self.frame = match (header.is_data(), skips, header.is_final) {
            (false, ..) | (_, false, false) => FrameKind::Other,
            (_, false, true) => FrameKind::Last,
            (_, true, false) => FrameKind::Skipped,
            (_, true, true) => FrameKind::LastSkipped,
        };
        self.frame_left = header.payload;
        if header.is_data() {
            self.message_bytes = self.message_bytes.saturating_add(header.payload);
            if !skips {
                self.in_message = !header.is_final;
            }
        }
        self.advance(&[]);
    }

    /// Whether the present frame is of a message that is skipped.
    fn skips_frame(&self) -> bool {
        matches!(self.frame, FrameKind::Skipped | FrameKind::LastSkipped)
    }

    /// These bytes are of the present frame.
    fn advance(&mut self, bytes: &[u8]) {
        self.frame_left -= bytes.len() as u64;
        if let (true, Some(LargeMessage::Skipping(message))) = (self.skips_frame(), self.large.as_deref_mut())
        {
            message.keep_head(bytes);
        }
        if self.frame_left > 0 || matches!(self.frame, FrameKind::Other | FrameKind::Skipped) {
            return;
        }
        self.message_bytes = 0;
        let large = self.large.take().map(|large| match *large {
            LargeMessage::Receiving { charge, .. } => LargeMessage::Received { charge },
            LargeMessage::Skipping(message) => LargeMessage::Skipped(message),
            other => other,
        });
        self.large = large.map(Box::new);
        self.frame = FrameKind::Other;
    }
}

#[cfg(test)]
mod tests;
