//! Finds where the heads of requests end in the bytes of a connection, and what makes a head ambiguous.
//!
//! hyper accepts line ends without a carriage return, a fragment in the request target, and `Content-Length` beside
//! `Transfer-Encoding`, and does not report them. A proxy in front of this server may read such a head in another way than hyper
//! does. Here the byte that makes it ambiguous is replaced with NUL, which no part of a head may contain, so that hyper
//! responds with 400 and closes the connection. This is no parser: it knows lines, and the names of two headers.

use http::{HeaderMap, Request, header};

use super::upgrade;

/// The byte that hyper refuses anywhere in a head.
const INVALID: u8 = 0;

/// The length of `transfer-encoding`, the longer of the two names.
const NAME_LENGTH: usize = 17;

/// The position in the bytes of a connection.
#[derive(Debug)]
pub(super) struct HeadScanner {
    part: Part,
    previous: u8,
    lines: usize,
    /// Bytes of the present head.
    head_length: usize,
    /// Bytes of the present line, its end aside.
    line_length: usize,
    /// The first of them, in lower case.
    line_start: [u8; NAME_LENGTH],
    has_content_length: bool,
    has_transfer_encoding: bool,
}

/// What the next bytes belong to.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    Head,
    /// Not known before the request has begun.
    AfterHead,
    Following(Following),
}

/// What follows the head of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Following {
    /// A body of so many bytes, then the next head.
    Body(u64),
    /// Bytes whose end is not determined here: a chunked body, or the frames of a WebSocket. No other request may follow
    /// on this connection.
    Unbounded,
}

impl Following {
    /// What follows the head of `request`, which hyper has read.
    pub(super) fn of<B>(request: &Request<B>) -> Self {
        let headers = request.headers();
        let is_upgrade = upgrade::contains(headers, &header::UPGRADE, "websocket");
        if is_upgrade || headers.contains_key(header::TRANSFER_ENCODING) {
            return Self::Unbounded;
        }
        Self::Body(content_length(headers).unwrap_or(0))
    }
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}

impl HeadScanner {
    /// A scanner at the beginning of a head.
    pub(super) fn new() -> Self {
        Self {
            part: Part::Head,
            previous: 0,
            lines: 0,
            head_length: 0,
            line_length: 0,
            line_start: [0; NAME_LENGTH],
            has_content_length: false,
            has_transfer_encoding: false,
        }
    }

    /// Whether the next byte belongs to a head.
    pub(super) fn is_in_head(&self) -> bool {
        self.part == Part::Head
    }

    /// How many bytes of the present head have been read.
    pub(super) fn head_length(&self) -> usize {
        self.head_length
    }

    /// Whether a head is complete, and its request has not begun.
    pub(super) fn is_after_head(&self) -> bool {
        self.part == Part::AfterHead
    }

    /// The request whose head is complete has begun.
    pub(super) fn begin(&mut self, following: Following) {
        match following {
            Following::Body(0) => *self = Self::new(),
            following => self.part = Part::Following(following),
        }
    }

    /// Reads `bytes` up to the end of a head, and replaces those that make it ambiguous. Returns the number of bytes up to
    /// there; what follows is to be read after [`begin`](Self::begin).
    pub(super) fn read(&mut self, bytes: &mut [u8]) -> usize {
        let mut position = 0;
        while position < bytes.len() {
            match &mut self.part {
                Part::Head => {
                    self.read_byte(&mut bytes[position]);
                    position += 1;
                }
                Part::AfterHead => break,
                Part::Following(Following::Unbounded) => return bytes.len(),
                Part::Following(Following::Body(left)) => {
                    let available = bytes.len() - position;
                    let read = usize::try_from(*left).unwrap_or(usize::MAX).min(available);
                    *left -= read as u64;
                    position += read;
                    if *left == 0 {
                        *self = Self::new();
                    }
                }
            }
        }
        position
    }

    fn read_byte(&mut self, byte: &mut u8) {
        self.head_length += 1;
        match (std::mem::replace(&mut self.previous, *byte), *byte) {
            (b'\r', b'\n') => self.end_line(byte),
            (_, b'\n') => *byte = INVALID,
            (_, b'\r') => {}
            // The fragment of a URI is never sent (RFC 9112 §3.2), and hyper ignores it: `/metrics#` would be `/metrics`.
            (_, b'#') if self.lines == 0 => *byte = INVALID,
            (_, other) => {
                if other == b':' && self.lines > 0 {
                    self.end_name();
                }
                if let Some(place) = self.line_start.get_mut(self.line_length) {
                    *place = other.to_ascii_lowercase();
                }
                self.line_length += 1;
            }
        }
    }

    /// Notes the name of a header, at the first colon of its line.
    fn end_name(&mut self) {
        match self.line_start.get(..self.line_length) {
            Some(b"content-length") => self.has_content_length = true,
            Some(b"transfer-encoding") => self.has_transfer_encoding = true,
            _ => {}
        }
    }

    fn end_line(&mut self, line_feed: &mut u8) {
        if self.line_length > 0 {
            self.lines += 1;
            self.line_length = 0;
        } else if self.lines > 0 {
            if self.has_content_length && self.has_transfer_encoding {
                *line_feed = INVALID;
            }
            self.part = Part::AfterHead;
        }
        // Empty lines before a head are ignored (RFC 9112 §2.2).
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is left of `text` at the end of the first head, and the rest.
    fn scanned(text: &str) -> (String, String) {
        // The result must not depend on how the bytes arrive.
        let mut results = [1, 2, 3, 1_000].map(|size| {
            let (mut scanner, mut bytes) = (HeadScanner::new(), text.as_bytes().to_vec());
            let mut end = 0;
            for chunk in bytes.chunks_mut(size) {
                let read = scanner.read(chunk);
                end += read;
                if read < chunk.len() {
                    break;
                }
            }
            let rest = bytes.split_off(end);
            (String::from_utf8_lossy(&bytes).into_owned(), String::from_utf8_lossy(&rest).into_owned())
        });
        results.sort();
        assert_eq!(results[0], results[3], "{text:?}");
        results[0].clone()
    }

    #[test]
    fn a_head_ends_at_an_empty_line() {
        let head = "\r\n\r\nGET /a HTTP/1.1\r\nhost: x\r\n\r\n";
        assert_eq!(scanned(&format!("{head}more\n")), (head.into(), "more\n".into()));
        let both_without_value = "GET / HTTP/1.1\r\nx: content-length:\r\ntransfer-encoding: chunked\r\n\r\n";
        assert_eq!(scanned(both_without_value), (both_without_value.into(), String::new()));
    }

    #[test]
    fn what_is_ambiguous_becomes_invalid() {
        for (sent, passed) in [
            ("GET / HTTP/1.1\nhost: x\r\n\r\n", "GET / HTTP/1.1\0host: x\r\n\r\n"),
            ("GET / HTTP/1.1\r\nhost: x\n\r\n", "GET / HTTP/1.1\r\nhost: x\0\r\n"),
            ("\nGET / HTTP/1.1\r\n\r\n", "\0GET / HTTP/1.1\r\n\r\n"),
            ("GET /metrics#a HTTP/1.1\r\n\r\n", "GET /metrics\0a HTTP/1.1\r\n\r\n"),
            (
                "POST / HTTP/1.1\r\nContent-Length: 1\r\nTRANSFER-ENCODING:chunked\r\n\r\n",
                "POST / HTTP/1.1\r\nContent-Length: 1\r\nTRANSFER-ENCODING:chunked\r\n\r\0",
            ),
        ] {
            assert_eq!(scanned(sent).0, passed, "{sent:?}");
        }
    }

    #[test]
    fn a_body_is_not_scanned_and_the_next_head_is() {
        let mut scanner = HeadScanner::new();
        assert_eq!(scanner.read(&mut b"POST / HTTP/1.1\r\n\r\na".to_vec()), 19);
        assert!(scanner.is_after_head());
        assert_eq!(scanner.read(&mut b"a\nb".to_vec()), 0);
        scanner.begin(Following::Body(3));
        let mut rest = b"a\nbGET / HTTP/1.1\n".to_vec();
        assert_eq!(scanner.read(&mut rest), rest.len());
        assert_eq!(rest, b"a\nbGET / HTTP/1.1\0");
        assert!(scanner.is_in_head());
    }

    #[test]
    fn what_has_no_known_end_is_not_scanned() {
        let mut scanner = HeadScanner::new();
        scanner.read(&mut b"GET / HTTP/1.1\r\n\r\n".to_vec());
        scanner.begin(Following::Unbounded);
        let mut frames = b"\x81\x01\n\r\n\r\n".to_vec();
        assert_eq!(scanner.read(&mut frames), frames.len());
        assert_eq!(frames, b"\x81\x01\n\r\n\r\n");
    }
}
