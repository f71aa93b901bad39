//! Refs: the client's own numbers for its messages and joins, returned in replies.
//!
//! A ref is kept as the JSON it was sent as, since a client compares replies with what it sent: `6` and `"6"` are different
//! refs. Short ones are stored in place. A ref from a binary frame gets quotes, which must not cost an allocation for every
//! broadcast.

use std::fmt;

use super::{DecodeError, FIELD_BYTES_MAX};

/// Bytes that are stored in place: a UUID in quotes, the longest ref that a known SDK sends.
const INLINE_BYTES: usize = 38;

/// A ref or join_ref, as raw JSON: a string, a number or `null`.
#[derive(Clone)]
pub struct Ref<'a>(Storage<'a>);

#[derive(Clone)]
enum Storage<'a> {
    Borrowed(&'a str),
    Inline { length: u8, bytes: [u8; INLINE_BYTES] },
    Owned(Box<str>),
}

impl<'a> Ref<'a> {
    /// No ref.
    pub const NULL: Ref<'static> = Ref(Storage::Borrowed("null"));

    /// The ref in a text message: `json` is one valid JSON value.
    pub(super) fn from_json(json: &'a str) -> Result<Self, DecodeError> {
        let content = match json.as_bytes()[0] {
            b'"' => &json[1..json.len() - 1],
            b'-' | b'0'..=b'9' => json,
            b'n' => return Ok(Ref::NULL),
            _ => return Err(DecodeError::Ref),
        };
        if content.len() > FIELD_BYTES_MAX {
            return Err(DecodeError::RefTooLong);
        }
        Ok(Self(Storage::Borrowed(json)))
    }

    /// The ref in a binary message: a string, or null if it is empty.
    pub fn from_text(text: &str) -> Self {
        if text.is_empty() {
            return Ref::NULL;
        }
        let plain = |byte: u8| byte >= b' ' && byte != b'"' && byte != b'\\';
        if text.len() + 2 > INLINE_BYTES || !text.bytes().all(plain) {
            let json = serde_json::to_string(text).expect("a string is written to memory");
            return Self(Storage::Owned(json.into()));
        }
        let mut bytes = [b'"'; INLINE_BYTES];
        bytes[1..=text.len()].copy_from_slice(text.as_bytes());
        Self(Storage::Inline { length: text.len() as u8 + 2, bytes })
    }

    /// The JSON text.
    pub fn as_json(&self) -> &str {
        match &self.0 {
            Storage::Borrowed(json) => json,
            Storage::Owned(json) => json,
            Storage::Inline { length, bytes } => {
                std::str::from_utf8(&bytes[..usize::from(*length)]).expect("a ref is stored whole")
            }
        }
    }

    /// Whether the client sent none.
    pub fn is_null(&self) -> bool {
        self.as_json() == "null"
    }

    /// The same ref, independent of the frame it came in.
    pub fn into_owned(self) -> Ref<'static> {
        Ref(match self.0 {
            Storage::Owned(json) => Storage::Owned(json),
            Storage::Inline { length, bytes } => Storage::Inline { length, bytes },
            Storage::Borrowed("null") => return Ref::NULL,
            Storage::Borrowed(json) if json.len() > INLINE_BYTES => Storage::Owned(json.into()),
            Storage::Borrowed(json) => {
                let mut bytes = [0; INLINE_BYTES];
                bytes[..json.len()].copy_from_slice(json.as_bytes());
                Storage::Inline { length: json.len() as u8, bytes }
            }
        })
    }
}

impl Default for Ref<'_> {
    fn default() -> Self {
        Ref::NULL
    }
}

impl PartialEq<Ref<'_>> for Ref<'_> {
    fn eq(&self, other: &Ref<'_>) -> bool {
        self.as_json() == other.as_json()
    }
}

impl Eq for Ref<'_> {}

impl fmt::Debug for Ref<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ref({})", self.as_json())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ref_keeps_its_json_type() {
        for json in ["\"6\"", "6", "-1.5e3", "null", "\"\"", r#""\ud800""#] {
            assert_eq!(Ref::from_json(json).unwrap().as_json(), json);
            assert_eq!(Ref::from_json(json).unwrap().into_owned().as_json(), json);
        }
        for json in ["true", "false", "{}", "[]"] {
            assert_eq!(Ref::from_json(json), Err(DecodeError::Ref));
        }
    }

    #[test]
    fn a_binary_ref_becomes_a_json_string() {
        assert!(Ref::from_text("").is_null());
        assert_eq!(Ref::from_text("6").as_json(), "\"6\"");
        assert_eq!(Ref::from_text("a\"b\n").as_json(), r#""a\"b\n""#);
        let long = "é".repeat(127);
        assert_eq!(Ref::from_text(&long).as_json(), format!("\"{long}\""));
    }

    #[test]
    fn one_ref_is_equal_to_itself_however_it_is_stored() {
        for length in 1..60 {
            let json = format!("\"{}\"", "r".repeat(length));
            let borrowed = Ref::from_json(&json).unwrap();
            assert_eq!(borrowed, borrowed.clone().into_owned());
            assert_eq!(borrowed, Ref::from_text(&"r".repeat(length)));
        }
    }

    #[test]
    fn a_ref_is_at_most_255_bytes_long() {
        assert!(Ref::from_json(&format!("\"{}\"", "1".repeat(255))).is_ok());
        assert_eq!(Ref::from_json(&format!("\"{}\"", "1".repeat(256))), Err(DecodeError::RefTooLong));
        assert_eq!(Ref::from_json(&"1".repeat(256)), Err(DecodeError::RefTooLong));
    }
}
