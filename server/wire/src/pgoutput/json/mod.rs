//! The values of rows as JSON.
//!
//! The result is what PostgreSQL's `to_jsonb` gives, from the text form of the value and the kind of its type, with these
//! differences: `NaN` and infinity are `null` unless they are within an array or a composite value, `bytea` has no `\x`
//! except there, and `json` and `jsonb` stay as they are written. It is right for sessions with `DateStyle=ISO`,
//! `bytea_output=hex` and `TimeZone=UTC`, whose `timestamptz` end with `+00:00`.
//!
//! Time is linear in the text. Memory beside the result is one buffer for each level of arrays and composite values, and
//! only if their elements have escapes. Text that does not have the form of its kind is an error, and nothing is written.

mod array_text;
mod composite_text;
mod hstore_text;
mod kind;
mod scalar;

pub use array_text::MalformedArray;
pub use kind::{CompositeField, ValueKind};

pub(crate) use array_text::ArrayText;
pub(crate) use scalar::write_string;

use array_text::ArrayToken;
use composite_text::{CompositeText, MalformedComposite};

use crate::raw_json;

/// The most arrays and composite values within each other. Each level
/// doubles the escapes of those within, so that PostgreSQL's own values end at a few.
const DEPTH_MAX: usize = 16;

/// The most dimensions of an array (`MAXDIM`).
const DIMENSIONS_MAX: usize = 6;

/// Why a value cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// Its text does not have the form of its kind, as when the type has changed since it was written.
    #[error("value does not have the form of its type")]
    Malformed,
    /// Too many arrays and composite values within each other.
    #[error("value is nested too deeply")]
    TooDeep,
}

impl From<MalformedArray> for ValueError {
    fn from(MalformedArray: MalformedArray) -> Self {
        Self::Malformed
    }
}

impl From<MalformedComposite> for ValueError {
    fn from(MalformedComposite: MalformedComposite) -> Self {
        Self::Malformed
    }
}

/// Appends the value of a column, whose text form is `text`, to `out`.
///
/// # Errors
/// When the text does not have the form of `kind`. Then `out` is as before.
pub fn write(kind: &ValueKind, text: &[u8], out: &mut Vec<u8>) -> Result<(), ValueError> {
    let before = out.len();
    let written = match kind {
        ValueKind::Float | ValueKind::Numeric if scalar::is_not_finite(text) => {
            out.extend_from_slice(b"null");
            Ok(())
        }
        ValueKind::Bytea => scalar::write_bytea(text, out),
        kind => write_nested(kind, text, 0, out),
    };
    if written.is_err() {
        out.truncate(before);
    }
    written
}

/// Writes a value as within an array or a composite value, `depth` of which are around it.
fn write_nested(kind: &ValueKind, text: &[u8], depth: usize, out: &mut Vec<u8>) -> Result<(), ValueError> {
    match kind {
        ValueKind::Float | ValueKind::Numeric if scalar::is_not_finite(text) => write_string(text, out),
        ValueKind::Text | ValueKind::Bytea => write_string(text, out),
        ValueKind::Boolean => scalar::write_boolean(text, out)?,
        ValueKind::Integer | ValueKind::Numeric => scalar::write_number(text, out)?,
        ValueKind::Float => scalar::write_float(text, out)?,
        ValueKind::Timestamp => scalar::write_timestamp(text, out)?,
        ValueKind::TimestampTz => scalar::write_timestamptz(text, out)?,
        ValueKind::Json => write_json(text, out)?,
        ValueKind::Hstore => hstore_text::write(text, out)?,
        ValueKind::Array { .. } | ValueKind::Composite { .. } if depth == DEPTH_MAX => {
            return Err(ValueError::TooDeep);
        }
        ValueKind::Array { element, delimiter } => {
            write_array(element, ArrayText::new(text, *delimiter), depth + 1, out)?;
        }
        ValueKind::Composite { fields } => write_composite(fields, text, depth + 1, out)?,
    }
    Ok(())
}

fn write_json(text: &[u8], out: &mut Vec<u8>) -> Result<(), ValueError> {
    let text = std::str::from_utf8(text).ok().filter(|text| raw_json::is_valid(text));
    out.extend_from_slice(text.ok_or(ValueError::Malformed)?.as_bytes());
    Ok(())
}

fn write_array(
    element: &ValueKind,
    mut array: ArrayText<'_>,
    depth: usize,
    out: &mut Vec<u8>,
) -> Result<(), ValueError> {
    let mut buffer = Vec::new();
    while let Some(token) = array.next(&mut buffer)? {
        match token {
            ArrayToken::Open => out.push(b'['),
            ArrayToken::Close => out.push(b']'),
            ArrayToken::Delimiter => out.push(b','),
            ArrayToken::Null => out.extend_from_slice(b"null"),
            ArrayToken::Element(text) => write_nested(element, text, depth, out)?,
        }
        if array.dimensions() > DIMENSIONS_MAX {
            return Err(ValueError::Malformed);
        }
    }
    Ok(())
}

fn write_composite(
    fields: &[CompositeField],
    text: &[u8],
    depth: usize,
    out: &mut Vec<u8>,
) -> Result<(), ValueError> {
    let mut composite = CompositeText::new(text)?;
    let mut buffer = Vec::new();
    out.push(b'{');
    for (index, field) in fields.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_string(field.name.as_bytes(), out);
        out.push(b':');
        let value = composite.next_field(&mut buffer)?;
        match value.text {
            Some(text) => write_nested(&field.kind, text, depth, out)?,
            None => out.extend_from_slice(b"null"),
        }
        if value.is_last != (index + 1 == fields.len()) {
            return Err(ValueError::Malformed);
        }
    }
    if fields.is_empty() && text != b"()" {
        return Err(ValueError::Malformed);
    }
    out.push(b'}');
    Ok(())
}
