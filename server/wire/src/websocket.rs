//! Whole WebSocket frames (RFC 6455, section 5.2), built in one buffer.
//!
//! A longer payload needs a longer header, and the length of the payload is known only once it is written. So space for
//! the longest header is reserved at the front, and the header is written at the end, directly before the payload: nothing
//! is moved, nothing is measured twice. Server frames are not masked.
//!
//! A message is one frame, unless a large part of it is the same for many clients: then it is two fragments (RFC 6455, section 5.4),
//! and the second is shared.

use hub::Frame;

/// Room for the longest header: two bytes and a 64-bit length.
const HEADER_BYTES_MAX: usize = 10;

/// The bit of a frame that ends its message.
const FIN: u8 = 0x80;

const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;

/// A frame being written.
#[derive(Debug)]
pub struct FrameBuilder {
    /// The first byte of the header: whether it ends its message, and the opcode.
    first: u8,
    bytes: Vec<u8>,
}

impl FrameBuilder {
    /// A text frame with room for `capacity` bytes of payload. More may be written.
    pub fn text(capacity: usize) -> Self {
        Self::new(FIN | TEXT, capacity)
    }

    /// The beginning of a text message.
    pub fn text_beginning(capacity: usize) -> Self {
        Self::new(TEXT, capacity)
    }

    /// The end of a message that began in another frame.
    pub fn ending(capacity: usize) -> Self {
        Self::new(FIN | CONTINUATION, capacity)
    }

    /// A binary frame with room for `capacity` bytes of payload. More may be written.
    pub fn binary(capacity: usize) -> Self {
        Self::new(FIN | BINARY, capacity)
    }

    fn new(first: u8, capacity: usize) -> Self {
        let mut bytes = Vec::with_capacity(HEADER_BYTES_MAX + capacity);
        bytes.resize(HEADER_BYTES_MAX, 0);
        Self { first, bytes }
    }

    /// Appends text as it is.
    pub fn push_str(&mut self, text: &str) {
        self.push_bytes(text.as_bytes());
    }

    /// Appends bytes as they are. The caller of a text frame ensures that the whole is UTF-8.
    pub fn push_bytes(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Appends `text` as a JSON string, quoted and escaped.
    pub fn push_json_string(&mut self, text: &str) {
        serde_json::to_writer(&mut self.bytes, text).expect("a string is written to memory");
    }

    /// The finished frame.
    pub fn finish(mut self) -> Frame {
        let length = self.bytes.len() - HEADER_BYTES_MAX;
        let mut header = [0; HEADER_BYTES_MAX];
        header[0] = self.first;
        let used = match length {
            0..=125 => {
                header[1] = length as u8;
                2
            }
            126..=0xFFFF => {
                header[1] = 126;
                header[2..4].copy_from_slice(&(length as u16).to_be_bytes());
                4
            }
            _ => {
                header[1] = 127;
                header[2..].copy_from_slice(&(length as u64).to_be_bytes());
                HEADER_BYTES_MAX
            }
        };
        let start = HEADER_BYTES_MAX - used;
        self.bytes[start..HEADER_BYTES_MAX].copy_from_slice(&header[..used]);
        Frame::new(self.bytes, start as u8)
    }
}

impl Extend<u8> for FrameBuilder {
    fn extend<I: IntoIterator<Item = u8>>(&mut self, bytes: I) {
        self.bytes.extend(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header_of_text(length: usize) -> Vec<u8> {
        let mut frame = FrameBuilder::text(length);
        frame.push_bytes(&vec![b'x'; length]);
        let frame = frame.finish();
        frame.bytes()[..frame.len() - length].to_vec()
    }

    #[test]
    fn the_header_is_as_short_as_the_length_allows() {
        assert_eq!(header_of_text(0), [0x81, 0]);
        assert_eq!(header_of_text(125), [0x81, 125]);
        assert_eq!(header_of_text(126), [0x81, 126, 0, 126]);
        assert_eq!(header_of_text(0xFFFF), [0x81, 126, 0xFF, 0xFF]);
        assert_eq!(header_of_text(0x1_0000), [0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
    }

    #[test]
    fn binary_frames_have_their_opcode() {
        let mut frame = FrameBuilder::binary(0);
        frame.extend([1, 2]);
        assert_eq!(frame.finish().bytes(), [0x82, 2, 1, 2]);
    }

    #[test]
    fn a_message_in_two_frames_has_its_opcode_in_the_first_and_ends_with_the_second() {
        let mut beginning = FrameBuilder::text_beginning(2);
        beginning.push_str("ab");
        let mut ending = FrameBuilder::ending(1);
        ending.push_str("c");
        assert_eq!(beginning.finish().bytes(), b"\x01\x02ab");
        assert_eq!(ending.finish().bytes(), b"\x80\x01c");
    }

    #[test]
    fn json_strings_are_quoted_and_escaped() {
        let mut frame = FrameBuilder::text(0);
        frame.push_json_string("a\"b\\\n\u{1}é");
        assert_eq!(&frame.finish().bytes()[2..], "\"a\\\"b\\\\\\n\\u0001é\"".as_bytes());
    }
}
