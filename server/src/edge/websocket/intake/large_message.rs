//! Whether there is memory for a large message, and what is done with its frames until there is, and without it.

use std::io;
use std::task::Waker;
use std::time::Instant;

use hub::{MemoryCharge, MemoryKind, MemoryWait, UNCHARGED_BYTES};

use super::Intake;
use super::skipped_message::SkippedMessage;
use crate::edge::websocket::frame_header::FrameHeader;

/// What a fragmented message is charged as, in largest messages: tungstenite has it in a vector that grows, beside its
/// last frame. Two frames of half the size each were resident with 1.6 largest messages before the second was complete,
/// and for a moment with two.
const FRAGMENTED_FACTOR: usize = 2;

/// A message of more than [`UNCHARGED_BYTES`].
#[derive(Debug)]
pub(super) enum LargeMessage {
    /// Its next frame has not begun, for lack of memory.
    Waiting {
        /// `None` once it has waited too long.
        wait: Option<MemoryWait>,
        until: Instant,
    },
    Receiving {
        charge: MemoryCharge,
        until: Instant,
    },
    /// tungstenite has all of it. It is handled when tungstenite reads again.
    Received {
        charge: MemoryCharge,
    },
    Skipping(SkippedMessage),
    Skipped(SkippedMessage),
}

/// What is done with a frame.
pub(super) enum Fate {
    Pass,
    Skip,
    Wait,
}

impl Intake {
    /// Whether memory is charged for a message when this frame begins.
    pub(super) fn is_charged_with(&self, header: &FrameHeader) -> bool {
        // tungstenite refuses what is too long before it reads on.
        self.large.is_none()
            && self.is_large_with(header)
            && header.payload <= self.config.max_message_size as u64
    }

    fn is_large_with(&self, header: &FrameHeader) -> bool {
        let in_message = if header.is_data() { self.message_bytes } else { 0 };
        in_message.saturating_add(header.payload) > UNCHARGED_BYTES as u64
    }

    /// What is done with a frame that begins. `waker` is called when its message may have the memory that it waits for.
    pub(super) fn fate(&mut self, header: &FrameHeader, waker: &Waker) -> io::Result<Fate> {
        let now_large = self.is_large_with(header);
        match self.large.as_deref() {
            Some(LargeMessage::Receiving { .. }) => return Ok(Fate::Pass),
            Some(LargeMessage::Skipping(_)) if header.is_data() => return Ok(Fate::Skip),
            Some(LargeMessage::Skipping(_)) if !now_large => return Ok(Fate::Pass),
            // No control frame may be so long (RFC 6455 §5.5), and there is no memory to wait for its end.
            Some(LargeMessage::Skipping(_)) => return Err(io::ErrorKind::OutOfMemory.into()),
            Some(LargeMessage::Waiting { .. }) => return self.wait(header, waker),
            Some(_) if now_large => return Ok(Fate::Wait),
            Some(_) => return Ok(Fate::Pass),
            None if !self.is_charged_with(header) => return Ok(Fate::Pass),
            None => {}
        }
        let max = self.config.max_message_size;
        let is_whole = header.begins_message() && header.is_final;
        let bytes = if is_whole { header.payload as usize } else { max.saturating_mul(FRAGMENTED_FACTOR) };
        let until = Instant::now() + self.config.large_message_timeout;
        match self.memory.charge_in_turn(MemoryKind::Receiving, bytes) {
            Ok(charge) => {
                self.large = Some(Box::new(LargeMessage::Receiving { charge, until }));
                Ok(Fate::Pass)
            }
            Err(wait) => {
                self.large = Some(Box::new(LargeMessage::Waiting { wait: Some(wait), until }));
                self.wait(header, waker)
            }
        }
    }

    /// Gives up the memory of a message that has taken too long: that of one that waits, which may have been granted since, and
    /// that of one that is being received if others need it.
    ///
    /// # Errors
    /// If that was being received.
    pub(in crate::edge::websocket) fn check_due(&mut self) -> io::Result<()> {
        match self.large.as_deref_mut() {
            Some(LargeMessage::Waiting { wait, until }) if *until <= Instant::now() => *wait = None,
            Some(LargeMessage::Receiving { until, .. }) if *until <= Instant::now() => {
                if !self.memory.has_room_for(self.config.max_message_size) {
                    self.memory.count_refusal(MemoryKind::Receiving);
                    return Err(io::ErrorKind::OutOfMemory.into());
                }
                *until = Instant::now() + self.config.large_message_timeout;
            }
            _ => {}
        }
        Ok(())
    }

    /// What is done with the frame of a message that waits for memory.
    fn wait(&mut self, header: &FrameHeader, waker: &Waker) -> io::Result<Fate> {
        let Some(LargeMessage::Waiting { wait, until }) = self.large.as_deref() else {
            return Ok(Fate::Wait);
        };
        let (large, fate) = match wait.as_ref().and_then(|wait| wait.poll(waker)) {
            Some(charge) => (LargeMessage::Receiving { charge, until: *until }, Fate::Pass),
            None if Instant::now() < *until => return Ok(Fate::Wait),
            None => {
                self.memory.count_refusal(MemoryKind::Receiving);
                if !header.begins_message() {
                    return Err(io::ErrorKind::OutOfMemory.into());
                }
                (LargeMessage::Skipping(SkippedMessage::new(header)), Fate::Skip)
            }
        };
        self.large = Some(Box::new(large));
        Ok(fate)
    }
}
