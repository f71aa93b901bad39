//! What was received of a connection, cut into messages.
//!
//! A message is a slice of what was read together with it, so a row costs neither a copy nor an allocation of its own. It keeps
//! all of that in memory: what is kept for long is to be copied.

use bytes::{Buf as _, BytesMut};
use pgwire_replication::protocol::BackendMessage;

use super::LogError;

/// What is read at once: some hundred small rows.
const READ_BYTES: usize = 64 * 1024;

/// A read for less space than this would be one for few rows.
const SPACE_MIN: usize = 4 * 1024;

/// The kind of a message and its length, which counts itself.
const HEADER_BYTES: usize = 5;
const LENGTH_BYTES: usize = 4;

/// Bytes that were received, the first of which begin a message.
pub(super) struct Received {
    bytes: BytesMut,
    message_bytes_max: usize,
}

impl Received {
    /// Nothing yet. Larger messages than `message_bytes_max` are errors.
    pub(super) fn new(message_bytes_max: usize) -> Self {
        Self { bytes: BytesMut::new(), message_bytes_max }
    }

    /// Takes the next message, if it was received whole.
    ///
    /// # Errors
    /// If the length of a message cannot be right. What follows it cannot be read.
    pub(super) fn next(&mut self) -> Result<Option<BackendMessage>, LogError> {
        let Some(length) = self.length()? else { return Ok(None) };
        if self.bytes.len() < HEADER_BYTES + length {
            return Ok(None);
        }
        let tag = self.bytes[0];
        self.bytes.advance(HEADER_BYTES);
        Ok(Some(BackendMessage { tag, payload: self.bytes.split_to(length).freeze() }))
    }

    /// Where to read to: after what was received, with space for the rest of the next message.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub(super) fn space(&mut self) -> Result<&mut BytesMut, LogError> {
        let whole = self.length()?.map_or(0, |length| HEADER_BYTES + length);
        let rest = whole.saturating_sub(self.bytes.len());
        if self.bytes.capacity() - self.bytes.len() < rest.max(SPACE_MIN) {
            self.bytes.reserve(rest.max(READ_BYTES));
        }
        Ok(&mut self.bytes)
    }

    /// The length of the next message without its header, if that is known already.
    fn length(&self) -> Result<Option<usize>, LogError> {
        let Some(header) = self.bytes.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
        let [_tag, length @ ..] = *header;
        let length = i32::from_be_bytes(length);
        let bytes = usize::try_from(length).ok().and_then(|length| length.checked_sub(LENGTH_BYTES));
        match bytes {
            Some(bytes) if bytes > self.message_bytes_max => {
                Err(LogError::TooLarge { bytes, max: self.message_bytes_max })
            }
            Some(bytes) => Ok(Some(bytes)),
            None => Err(LogError::Protocol(format!("a message of the length {length}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(bytes: &[u8]) -> Received {
        let mut received = Received::new(8);
        received.space().expect("space").extend_from_slice(bytes);
        received
    }

    #[test]
    fn messages_are_taken_when_they_are_whole() {
        let stream = b"d\0\0\0\x07abcZ\0\0\0\x04d\0\0\0\x05x";
        for cut in 0..=stream.len() {
            let (first, second) = stream.split_at(cut);
            let (mut received, mut found) = (received(first), Vec::new());
            for rest in [second, b""] {
                while let Some(message) = received.next().expect("messages") {
                    found.push((message.tag, message.payload));
                }
                received.space().expect("space").extend_from_slice(rest);
            }
            assert_eq!(found, [(b'd', "abc".into()), (b'Z', "".into()), (b'd', "x".into())], "cut at {cut}");
        }
    }

    #[test]
    fn a_wrong_length_is_an_error_before_anything_is_allocated_for_it() {
        let mut large = received(b"d\0\0\0\x0D");
        assert!(matches!(large.space(), Err(LogError::TooLarge { bytes: 9, max: 8 })));
        assert!(matches!(large.next(), Err(LogError::TooLarge { .. })), "and stays one");
        for damaged in [b"d\0\0\0\x03", b"d\xFF\xFF\xFF\xFF"] {
            assert!(matches!(received(damaged).next(), Err(LogError::Protocol(_))), "{damaged:?}");
        }
    }
}
