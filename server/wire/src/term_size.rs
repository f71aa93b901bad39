//! How large a payload is, as upstream measures it: the size of its Erlang external term.
//!
//! Upstream compares `max_payload_size_in_kb` with this number, and so does this server: a payload that passes there
//! passes here. The size is summed up while the JSON is read; no tree is built.
//!
//! JSON that cannot be decoded although it is valid (nested deeper than 128, half a surrogate pair, a
//! number out of range) counts as long as its text. Members with the same name count each, and
//! integers beyond 64 bits count as floats: a few bytes, and no SDK sends them.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::phoenix::UserPayload;

/// Every term begins with a version byte.
const VERSION: usize = 1;
const EMPTY_MAP: usize = 5;
const STRING_HEADER: usize = 5;
const SMALL_TUPLE_HEADER: usize = 2;
const ATOM_HEADER: usize = 2;

/// Longest list of bytes that Erlang writes as a string.
const BYTE_LIST_MAX: usize = 0xFFFF;

/// Size of one JSON value.
pub fn json(text: &str) -> usize {
    VERSION + value(text)
}

/// Size of a binary broadcast: the tuple of event, encoding, payload and metadata.
pub fn user_broadcast(event: &str, payload: UserPayload<'_>, metadata: Option<&str>) -> usize {
    let (encoding, payload) = match payload {
        UserPayload::Json(text) => ("json", text.len()),
        UserPayload::Binary(bytes) => ("binary", bytes.len()),
    };
    VERSION
        + SMALL_TUPLE_HEADER
        + string(event.len())
        + ATOM_HEADER
        + encoding.len()
        + string(payload)
        + metadata.map_or(EMPTY_MAP, value)
}

/// Size of bytes that are a term by themselves, as the body of an HTTP broadcast is.
pub fn bytes(length: usize) -> usize {
    VERSION + string(length)
}

/// Whether the JSON value `text` is larger than `limit`.
///
/// Most payloads are so far below it that they need not be read. A term is at most three times as large as its
/// text and four bytes: `[…]` adds six bytes for two, and so does `-0,`, which counts as a float.
pub fn exceeds(text: &str, limit: usize) -> bool {
    text.len().saturating_mul(3).saturating_add(4) > limit && json(text) > limit
}

fn value(text: &str) -> usize {
    serde_json::from_str::<Term>(text).map_or(text.len(), |term| term.size)
}

fn string(length: usize) -> usize {
    STRING_HEADER + length
}

/// One value: its size, and whether it is an integer 0..=255, which makes lists of such smaller.
struct Term {
    size: usize,
    is_byte: bool,
}

impl Term {
    fn of(size: usize) -> Self {
        Self { size, is_byte: false }
    }

    fn integer(magnitude: u64, fits_32_bits: bool) -> Self {
        if fits_32_bits {
            return Self::of(5);
        }
        Self::of(3 + (u64::BITS - magnitude.leading_zeros()).div_ceil(8) as usize)
    }
}

impl<'de> Deserialize<'de> for Term {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Measure)
    }
}

struct Measure;

impl<'de> Visitor<'de> for Measure {
    type Value = Term;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Term, E> {
        Ok(Term::of(ATOM_HEADER + "nil".len()))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Term, E> {
        Ok(Term::of(ATOM_HEADER + if value { "true" } else { "false" }.len()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Term, E> {
        if u8::try_from(value).is_ok() {
            return Ok(Term { size: 2, is_byte: true });
        }
        Ok(Term::integer(value, i32::try_from(value).is_ok()))
    }

    /// serde_json calls this for negative numbers only.
    fn visit_i64<E>(self, value: i64) -> Result<Term, E> {
        Ok(Term::integer(value.unsigned_abs(), i32::try_from(value).is_ok()))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Term, E> {
        Ok(Term::of(9))
    }

    fn visit_str<E>(self, value: &str) -> Result<Term, E> {
        Ok(Term::of(string(value.len())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Term, A::Error> {
        let (mut count, mut total, mut all_bytes) = (0, 0, true);
        while let Some(element) = elements.next_element::<Term>()? {
            count += 1;
            total += element.size;
            all_bytes &= element.is_byte;
        }
        Ok(Term::of(match count {
            0 => 1,
            1..=BYTE_LIST_MAX if all_bytes => 3 + count,
            _ => 6 + total,
        }))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Term, A::Error> {
        let mut total = EMPTY_MAP;
        while let Some((key, value)) = members.next_entry::<Term, Term>()? {
            total += key.size + value.size;
        }
        Ok(Term::of(total))
    }
}
