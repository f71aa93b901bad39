//! A message for which there was no memory: what is kept of it, so that the session finds the topic to reply to.

use crate::edge::websocket::frame_header::{FrameHeader, TEXT};
use crate::sessions::MessageHead;

/// Bytes that are kept of a message that is skipped: its refs and its topic are at the front.
pub(super) const HEAD_BYTES: usize = 1024;

/// A message that was skipped.
#[derive(Debug)]
pub(in crate::edge::websocket) struct SkippedMessage {
    opcode: u8,
    mask: [u8; 4],
    /// The bytes at its front, without their mask.
    pub(super) bytes: Vec<u8>,
}

impl SkippedMessage {
    pub(super) fn new(header: &FrameHeader) -> Self {
        Self { opcode: header.opcode, mask: header.mask, bytes: Vec::new() }
    }

    /// Its beginning.
    pub(in crate::edge::websocket) fn head(&self) -> MessageHead<'_> {
        if self.opcode != TEXT {
            return MessageHead::Binary(&self.bytes);
        }
        let valid = self.bytes.utf8_chunks().next().map_or("", |chunk| chunk.valid());
        MessageHead::Text(valid)
    }

    /// Keeps those of `bytes` that belong to the head. Of a fragmented message the first frame has the head.
    pub(super) fn keep_head(&mut self, bytes: &[u8]) {
        let begin = self.bytes.len();
        let wanted = HEAD_BYTES.saturating_sub(begin).min(bytes.len());
        let mask = self.mask.iter().cycle().skip(begin % 4);
        self.bytes.extend(bytes[..wanted].iter().zip(mask).map(|(byte, mask)| byte ^ mask));
    }
}
