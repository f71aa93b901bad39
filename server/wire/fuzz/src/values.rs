//! The text forms of values.

use serde_json::value::RawValue;
use wire::pgoutput::json::{CompositeField, ValueKind, write};

/// A kind, written by the bytes up to the first zero byte, and a text. What is written is JSON; an error writes nothing.
pub fn values(data: &[u8]) {
    let end = data.iter().position(|&byte| byte == 0).unwrap_or(0);
    let (kind, text) = (kind(&mut data[..end].iter()), &data[end..]);
    let text = text.strip_prefix(&[0]).unwrap_or(text);
    let mut out = b"before".to_vec();
    let written = write(&kind, text, &mut out);
    let json = out.strip_prefix(b"before").expect("what was there is not changed");
    match written {
        Ok(()) => {
            let json = std::str::from_utf8(json).expect("UTF-8");
            serde_json::from_str::<&RawValue>(json).expect("JSON");
        }
        Err(_) => assert!(json.is_empty()),
    }
}

/// The kind that the letters stand for; a bracket is an array of the next one, a parenthesis a composite type of those up to
/// the closing one.
fn kind(letters: &mut std::slice::Iter<'_, u8>) -> ValueKind {
    match letters.next() {
        Some(b'b') => ValueKind::Boolean,
        Some(b'i') => ValueKind::Integer,
        Some(b'f') => ValueKind::Float,
        Some(b'n') => ValueKind::Numeric,
        Some(b'x') => ValueKind::Bytea,
        Some(b't') => ValueKind::Timestamp,
        Some(b'z') => ValueKind::TimestampTz,
        Some(b'j') => ValueKind::Json,
        Some(b'h') => ValueKind::Hstore,
        Some(b'[') => ValueKind::Array { element: Box::new(kind(letters)), delimiter: b',' },
        Some(b';') => ValueKind::Array { element: Box::new(kind(letters)), delimiter: b';' },
        Some(b'(') => ValueKind::Composite { fields: fields(letters) },
        _ => ValueKind::Text,
    }
}

fn fields(letters: &mut std::slice::Iter<'_, u8>) -> Vec<CompositeField> {
    let mut fields = Vec::new();
    while letters.as_slice().first().is_some_and(|&letter| letter != b')') {
        let name = format!("field \"{}\"", fields.len());
        fields.push(CompositeField { name, kind: kind(letters) });
    }
    letters.next();
    fields
}
