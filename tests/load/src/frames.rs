//! Walks the frames of a WebSocket's byte stream, as a server sends them.
//!
//! Cheap on purpose, because the client must not be the bottleneck: a header is read, the body is passed on where
//! it lies. Only the beginnings of fragmented messages are kept. A frame too big to keep is passed on in parts, and so
//! is the rest of its message.

use std::borrow::Cow;

use anyhow::{Result, bail};

use crate::message::opcode;

/// Frames above this size are passed on in parts. A read buffer must hold one of this size and more.
pub const BIGGEST_WHOLE_FRAME: usize = 64 * 1024;

/// A piece of a big frame.
pub struct Part<'a> {
    /// How long the whole body is.
    pub size: usize,
    /// Where in the body this piece begins.
    pub offset: usize,
    /// The piece.
    pub bytes: &'a [u8],
}

/// What comes next in the stream.
pub enum Item<'a> {
    /// A whole message, or a control frame.
    Frame { opcode: u8, body: Cow<'a, [u8]> },
    /// A piece of a frame over [`BIGGEST_WHOLE_FRAME`], or of a message with such a frame.
    Part(Part<'a>),
    /// The beginning of a message whose last fragment has not arrived.
    Fragment,
}

/// What a stream has left unfinished.
#[derive(Default)]
pub struct Frames {
    /// A big frame on its way: its size and how much of it has come.
    big: Option<(usize, usize)>,
    fragments: Fragments,
}

/// A message whose last fragment has not arrived.
#[derive(Default)]
enum Fragments {
    /// There is none.
    #[default]
    None,
    /// Its opcode and its first fragments.
    Kept(u8, Vec<u8>),
    /// One of them was too big to keep.
    InParts,
}

impl Frames {
    /// The next item, and how many of the bytes it takes. `None`: its end has not arrived.
    #[inline]
    pub fn next<'a>(&mut self, bytes: &'a [u8]) -> Result<Option<(Item<'a>, usize)>> {
        if let Some((size, offset)) = self.big {
            return Ok((!bytes.is_empty()).then(|| self.part(size, offset, bytes)));
        }
        let Some(header) = Header::read(bytes)? else { return Ok(None) };
        let end = header.size + header.body;
        if header.body > BIGGEST_WHOLE_FRAME {
            self.fragments = if header.is_final { Fragments::None } else { Fragments::InParts };
            let (part, taken) = self.part(header.body, 0, &bytes[header.size..]);
            return Ok(Some((part, header.size + taken)));
        }
        let Some(body) = bytes.get(header.size..end) else { return Ok(None) };
        if header.is_final && header.opcode != opcode::CONTINUATION {
            return Ok(Some((Item::Frame { opcode: header.opcode, body: Cow::Borrowed(body) }, end)));
        }
        Ok(Some((self.fragment(&header, body)?, end)))
    }

    fn part<'a>(&mut self, size: usize, offset: usize, bytes: &'a [u8]) -> (Item<'a>, usize) {
        let taken = bytes.len().min(size - offset);
        self.big = (offset + taken < size).then_some((size, offset + taken));
        (Item::Part(Part { size, offset, bytes: &bytes[..taken] }), taken)
    }

    #[cold]
    fn fragment<'a>(&mut self, header: &Header, body: &'a [u8]) -> Result<Item<'a>> {
        if header.opcode != opcode::CONTINUATION {
            self.fragments = Fragments::Kept(header.opcode, body.to_vec());
            return Ok(Item::Fragment);
        }
        let (opcode, mut message) = match std::mem::take(&mut self.fragments) {
            Fragments::None => bail!("a continuation of nothing"),
            Fragments::Kept(opcode, message) => (opcode, message),
            Fragments::InParts => {
                if !header.is_final {
                    self.fragments = Fragments::InParts;
                }
                return Ok(Item::Part(Part { size: body.len(), offset: 0, bytes: body }));
            }
        };
        message.extend_from_slice(body);
        if header.is_final {
            return Ok(Item::Frame { opcode, body: Cow::Owned(message) });
        }
        self.fragments = Fragments::Kept(opcode, message);
        Ok(Item::Fragment)
    }
}

struct Header {
    opcode: u8,
    is_final: bool,
    size: usize,
    body: usize,
}

impl Header {
    #[inline]
    fn read(bytes: &[u8]) -> Result<Option<Self>> {
        let [first, second, ..] = *bytes else { return Ok(None) };
        if first & 0x70 != 0 || second & 0x80 != 0 {
            bail!("a frame that is compressed or masked: {first:02x} {second:02x}");
        }
        let (size, body) = match (second, bytes) {
            (126, [_, _, a, b, ..]) => (4, usize::from(u16::from_be_bytes([*a, *b]))),
            (127, [_, _, long @ ..]) if long.len() >= 8 => {
                (10, long[..8].iter().fold(0, |size, byte| size << 8 | usize::from(*byte)))
            }
            (126 | 127, _) => return Ok(None),
            (short, _) => (2, usize::from(short)),
        };
        Ok(Some(Self { opcode: first & 15, is_final: first & 0x80 != 0, size, body }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::server_frame;

    #[derive(Default)]
    struct Received {
        frames: Vec<(u8, usize)>,
        of_big: usize,
    }

    /// Walks all whole items. Returns their length in bytes.
    fn walk(frames: &mut Frames, bytes: &[u8], received: &mut Received) -> Result<usize> {
        let mut at = 0;
        while let Some((item, taken)) = frames.next(&bytes[at..])? {
            at += taken;
            match item {
                Item::Frame { opcode, body } => received.frames.push((opcode, body.len())),
                Item::Part(part) => {
                    assert_eq!(part.offset, received.of_big);
                    received.of_big += part.bytes.len();
                }
                Item::Fragment => {}
            }
        }
        Ok(at)
    }

    #[test]
    fn frames_are_walked_however_the_stream_is_cut() {
        let big = BIGGEST_WHOLE_FRAME + 5;
        let stream: Vec<u8> = [3, 125, 126, 300, big, 0, 200]
            .iter()
            .flat_map(|size| server_frame(opcode::TEXT, &vec![b'.'; *size]))
            .collect();
        for cut in [1, 2, 3, 7, 100, 1000, stream.len()] {
            let (mut frames, mut received, mut kept) =
                (Frames::default(), Received::default(), Vec::<u8>::new());
            for piece in stream.chunks(cut) {
                kept.extend_from_slice(piece);
                let walked = walk(&mut frames, &kept, &mut received).expect("good frames");
                kept.drain(..walked);
            }
            assert_eq!(received.frames, [3, 125, 126, 300, 0, 200].map(|size| (opcode::TEXT, size)));
            assert_eq!((received.of_big, kept.len(), frames.big), (big, 0, None));
        }
    }

    #[test]
    fn fragments_are_put_together_whatever_comes_between_them() {
        let fragment = |first: u8, body: &[u8]| [&[first, body.len() as u8], body].concat();
        let stream = [
            fragment(0x01, b"ab"),
            fragment(0x89, b""),
            fragment(0x00, b"c"),
            fragment(0x80, b"de"),
            fragment(0x81, b"f"),
        ]
        .concat();
        let (mut frames, mut received) = (Frames::default(), Received::default());
        assert_eq!(walk(&mut frames, &stream, &mut received).expect("good frames"), stream.len());
        assert_eq!(received.frames, [(opcode::PING, 0), (opcode::TEXT, 5), (opcode::TEXT, 1)]);
        assert!(walk(&mut frames, &fragment(0x80, b"x"), &mut received).is_err());
    }

    #[test]
    fn a_message_with_a_big_fragment_is_passed_on_in_parts() {
        let mut big = server_frame(opcode::TEXT, &vec![b'.'; BIGGEST_WHOLE_FRAME + 1]);
        big[0] &= 0x7f;
        let (mut frames, mut sizes) = (Frames::default(), Vec::new());
        let stream = [&big, [0x00, 1, b'a'].as_slice(), &[0x80, 1, b'b'], &[0x81, 1, b'c']].concat();
        let mut at = 0;
        while let Some((item, taken)) = frames.next(&stream[at..]).expect("good frames") {
            at += taken;
            sizes.push(match item {
                Item::Part(part) => part.bytes.len(),
                Item::Frame { body, .. } => 1_000_000 + body.len(),
                Item::Fragment => 0,
            });
        }
        assert_eq!(sizes, [BIGGEST_WHOLE_FRAME + 1, 1, 1, 1_000_001]);
    }
}
