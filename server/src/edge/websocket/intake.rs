//! What a client is sending: where its frames begin, and whether there is memory for a large message.
//!
//! tungstenite reserves a frame when it knows its length, and keeps it until it is complete. So headers are read before it
//! sees them. A message of more than [`UNCHARGED_BYTES`] is charged as a whole when it begins; a fragmented one, whose size
//! is not announced, as the largest that is accepted. While there is no memory for it nothing is read, so that TCP holds
//! the client back; after `server.large_message_timeout` the message is skipped: it is read and not kept, except for its
//! head, by which the session finds the topic to reply to. The connection and its other messages go on.

use std::io;
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use hub::{MemoryCharge, MemoryKind, MemoryWait, TenantMemory, UNCHARGED_BYTES};

use super::config::ConnectionConfig;
use super::frame_header::{FrameHeader, TEXT};
use crate::sessions::MessageHead;

/// Bytes that are kept of a message that is skipped: its refs and its topic are at the front.
const HEAD_BYTES: usize = 1024;

/// What a fragmented message is charged as, in largest messages: tungstenite has it in a vector that grows, beside its
/// last frame. Two frames of half the size each were resident with 1.6 largest messages before the second was complete,
/// and for a moment with two.
const FRAGMENTED_FACTOR: usize = 2;

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

/// A message that was skipped.
#[derive(Debug)]
pub(super) struct SkippedMessage {
    opcode: u8,
    mask: [u8; 4],
    /// The bytes at its front, without their mask.
    bytes: Vec<u8>,
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

/// A message of more than [`UNCHARGED_BYTES`].
#[derive(Debug)]
enum LargeMessage {
    /// Its next frame has not begun, for lack of memory.
    Waiting {
        wait: MemoryWait,
        until: Instant,
    },
    Receiving {
        charge: MemoryCharge,
        until: Instant,
    },
    /// tungstenite has all of it. It is handled when tungstenite reads again.
    Received {
        _charge: MemoryCharge,
    },
    Skipping(SkippedMessage),
    Skipped(SkippedMessage),
}

/// What is done with a frame.
enum Fate {
    Pass,
    Skip,
    Wait,
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

    /// tungstenite has handed over what it had received. The charge ends before the message is handled, because the frames
    /// that it becomes are charged then.
    pub(super) fn release(&mut self) {
        self.large.take_if(|large| matches!(**large, LargeMessage::Received { .. }));
    }

    /// tungstenite reads, so it has handed over what it had received.
    ///
    /// # Errors
    /// When a large message has taken too long and its memory is needed.
    pub(super) fn resume(&mut self) -> io::Result<()> {
        self.release();
        if let Some(LargeMessage::Receiving { until, .. }) = self.large.as_deref_mut()
            && *until <= Instant::now()
        {
            if !self.memory.has_room_for(self.config.max_message_size) {
                self.memory.count_refusal(MemoryKind::Receiving);
                return Err(io::ErrorKind::OutOfMemory.into());
            }
            *until = Instant::now() + self.config.large_message_timeout;
        }
        Ok(())
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

    /// When [`step`](Self::step) should be tried again even if nothing has arrived.
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

    fn fate(&mut self, header: &FrameHeader, waker: &Waker) -> io::Result<Fate> {
        let in_message = if header.is_data() { self.message_bytes } else { 0 };
        let now_large = in_message.saturating_add(header.payload) > UNCHARGED_BYTES as u64;
        let max = self.config.max_message_size;
        match self.large.as_deref() {
            Some(LargeMessage::Receiving { .. }) => return Ok(Fate::Pass),
            Some(LargeMessage::Skipping(_)) if header.is_data() => return Ok(Fate::Skip),
            Some(LargeMessage::Skipping(_)) if !now_large => return Ok(Fate::Pass),
            // No control frame may be so long (RFC 6455 §5.5), and there is no memory to wait for its end.
            Some(LargeMessage::Skipping(_)) => return Err(io::ErrorKind::OutOfMemory.into()),
            Some(LargeMessage::Waiting { .. }) => return self.wait(header, waker),
            Some(_) if now_large => return Ok(Fate::Wait),
            Some(_) => return Ok(Fate::Pass),
            // tungstenite refuses what is too long before it reads on.
            None if !now_large || header.payload > max as u64 => return Ok(Fate::Pass),
            None => {}
        }
        let is_whole = header.begins_message() && header.is_final;
        let bytes = if is_whole { header.payload as usize } else { max.saturating_mul(FRAGMENTED_FACTOR) };
        let until = Instant::now() + self.config.large_message_timeout;
        match self.memory.charge_in_turn(MemoryKind::Receiving, bytes) {
            Ok(charge) => {
                self.large = Some(Box::new(LargeMessage::Receiving { charge, until }));
                Ok(Fate::Pass)
            }
            Err(wait) => {
                self.large = Some(Box::new(LargeMessage::Waiting { wait, until }));
                self.wait(header, waker)
            }
        }
    }

    /// What is done with the frame of a message that waits for memory.
    fn wait(&mut self, header: &FrameHeader, waker: &Waker) -> io::Result<Fate> {
        let Some(LargeMessage::Waiting { wait, until }) = self.large.as_deref() else {
            return Ok(Fate::Wait);
        };
        let (large, fate) = match wait.poll(waker) {
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
            LargeMessage::Receiving { charge, .. } => LargeMessage::Received { _charge: charge },
            LargeMessage::Skipping(message) => LargeMessage::Skipped(message),
            other => other,
        });
        self.large = large.map(Box::new);
        self.frame = FrameKind::Other;
    }
}

impl SkippedMessage {
    fn new(header: &FrameHeader) -> Self {
        Self { opcode: header.opcode, mask: header.mask, bytes: Vec::new() }
    }

    /// Its beginning.
    pub(super) fn head(&self) -> MessageHead<'_> {
        if self.opcode != TEXT {
            return MessageHead::Binary(&self.bytes);
        }
        let valid = self.bytes.utf8_chunks().next().map_or("", |chunk| chunk.valid());
        MessageHead::Text(valid)
    }

    /// Keeps those of `bytes` that belong to the head. Of a fragmented message the first frame has the head.
    fn keep_head(&mut self, bytes: &[u8]) {
        let begin = self.bytes.len();
        let wanted = HEAD_BYTES.saturating_sub(begin).min(bytes.len());
        let mask = self.mask.iter().cycle().skip(begin % 4);
        self.bytes.extend(bytes[..wanted].iter().zip(mask).map(|(byte, mask)| byte ^ mask));
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll};
    use std::time::Duration;

    use hub::MemoryBudget;
    use settings::Settings;
    use tokio::io::ReadBuf;

    use super::*;
    use crate::edge::websocket::tap::Tap;

    /// What tungstenite gets of `sent`, read through a buffer of `size` bytes, and the heads of what was skipped.
    fn passed(sent: &[u8], size: usize, memory: &Arc<TenantMemory>) -> (Vec<u8>, Vec<Vec<u8>>) {
        let mut settings = Settings::default();
        settings.server.large_message_timeout = Duration::ZERO;
        let config = Arc::new(ConnectionConfig::of(&settings));
        let mut tap = Tap::new(sent, &[], Arc::clone(memory), config);
        let (mut passed, mut skipped) = (Vec::new(), Vec::new());
        loop {
            let mut space = vec![0; size];
            let mut buffer = ReadBuf::new(&mut space);
            tap.begin_read();
            match tap.poll_read(&mut Context::from_waker(Waker::noop()), &mut buffer) {
                Poll::Ready(read) => read.expect("every message can be skipped"),
                Poll::Pending => {
                    assert!(tap.is_read_over(), "nothing waits");
                    skipped.extend(tap.take_skipped().map(|message| message.bytes));
                    continue;
                }
            }
            if buffer.filled().is_empty() {
                return (passed, skipped);
            }
            passed.extend_from_slice(buffer.filled());
        }
    }

    fn frame(first: u8, bytes: usize) -> Vec<u8> {
        let mut frame = vec![first, 0xff];
        frame.extend((bytes as u64).to_be_bytes());
        frame.extend([0; 4]);
        frame.extend((0..bytes).map(|n| n as u8));
        frame
    }

    #[test]
    fn a_large_control_frame_within_a_message_that_is_skipped_is_an_error() {
        let mut settings = Settings::default();
        settings.server.large_message_timeout = Duration::ZERO;
        let none = TenantMemory::new(&MemoryBudget::new(0, 75));
        let mut intake = Intake::new(none, Arc::new(ConnectionConfig::of(&settings)));
        for part in [&frame(0x01, 30_000)[..14], &[0; 30_000]] {
            let step = intake.step(part, Waker::noop()).expect("it is skipped");
            assert_eq!(step, Step::Skip(part.len()));
        }
        let error = intake.step(&frame(0x89, 20_000), Waker::noop()).expect_err("it is invalid");
        assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
    }

    #[test]
    fn what_is_passed_does_not_depend_on_where_reads_end() {
        let (small, large) = (frame(0x81, 300), frame(0x82, 40_000));
        let fragments = [frame(0x01, 30_000), frame(0x89, 5), frame(0x80, 700)];
        let all =
            [&small, &large, &fragments[0], &fragments[1], &fragments[2], &small, &small].map(|f| &f[..]);
        let without = [&small, &fragments[1], &small, &small].map(|f| &f[..]);
        let none = TenantMemory::new(&MemoryBudget::new(0, 75));
        let some = TenantMemory::unlimited();
        for size in (14..40).chain([1_024, 7_001, 100_000]) {
            let (bytes, skipped) = passed(&all.concat(), size, &none);
            assert!(bytes == without.concat(), "buffer of {size}");
            assert!(skipped.len() == 2 && skipped[0][..] == large[14..][..HEAD_BYTES], "buffer of {size}");
            let (bytes, skipped) = passed(&all.concat(), size, &some);
            assert!(bytes == all.concat() && skipped.is_empty(), "buffer of {size}");
            assert_eq!(some.total(), 0);
        }
    }
}
