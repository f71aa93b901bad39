//! The header of a frame from a client (RFC 6455, section 5.2).

/// The opcode of the first frame of a text message.
pub(super) const TEXT: u8 = 0x1;

/// The opcode of the first frame of a binary message.
const BINARY: u8 = 0x2;

/// The first opcode of a control frame.
const CLOSE: u8 = 0x8;

/// What a header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameHeader {
    /// Bytes of the header itself.
    pub(super) size: usize,
    /// Bytes of the payload.
    pub(super) payload: u64,
    /// Whether it is the last frame of its message.
    pub(super) is_final: bool,
    /// The frame's kind. 0 continues a message.
    pub(super) opcode: u8,
    /// Zeros if the payload is not masked.
    pub(super) mask: [u8; 4],
}

impl FrameHeader {
    /// The header at the front of `bytes`; `None` if it is not complete.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let (&[first, second], mut rest) = bytes.split_first_chunk()?;
        let payload = match second & 0x7f {
            126 => u16::from_be_bytes(take(&mut rest)?).into(),
            127 => u64::from_be_bytes(take(&mut rest)?),
            short => short.into(),
        };
        let mask = if second & 0x80 == 0 { [0; 4] } else { take(&mut rest)? };
        let size = bytes.len() - rest.len();
        Some(Self { size, payload, is_final: first & 0x80 != 0, opcode: first & 0xf, mask })
    }

    /// Whether the frame is the first one of a message.
    pub(super) fn begins_message(&self) -> bool {
        matches!(self.opcode, TEXT | BINARY)
    }

    /// Whether the frame is a message or a part of one.
    pub(super) fn is_data(&self) -> bool {
        self.opcode < CLOSE
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(*taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_once_it_is_complete() {
        let mut bytes = vec![0x01, 0xff];
        bytes.extend(70_000_u64.to_be_bytes());
        bytes.extend([1, 2, 3, 4]);
        assert_eq!(bytes.len(), 14, "it is as long as a header can be");
        let expected =
            FrameHeader { size: 14, payload: 70_000, is_final: false, opcode: 1, mask: [1, 2, 3, 4] };
        assert_eq!(FrameHeader::parse(&bytes), Some(expected));
        for length in 0..bytes.len() {
            assert_eq!(FrameHeader::parse(&bytes[..length]), None, "{length}");
        }
        let medium = FrameHeader::parse(&[0x82, 0xfe, 1, 0, 9, 9, 9, 9, 0]).expect("it is complete");
        assert_eq!((medium.size, medium.payload, medium.is_final), (8, 256, true));
        let unmasked = FrameHeader::parse(&[0x89, 5]).expect("it is complete");
        assert_eq!((unmasked.size, unmasked.payload, unmasked.mask), (2, 5, [0; 4]));
        assert!(!unmasked.is_data());
    }
}
