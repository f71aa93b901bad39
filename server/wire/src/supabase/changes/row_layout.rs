//! The rows of a change as JSON objects.

use crate::pgoutput::json::{self, ValueKind, write_string};
use crate::pgoutput::{Row, Value};

/// Which columns of a table are written, and how. Made once for all rows that the same members may read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowLayout(Vec<Option<LayoutColumn>>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct LayoutColumn {
    /// The name as a key of an object: `"name":`.
    key: Vec<u8>,
    kind: ValueKind,
}

/// A row, and which of its columns are written.
#[derive(Debug, Clone, Copy)]
pub struct RowImage<'a> {
    /// The columns.
    pub layout: &'a RowLayout,
    /// Their values.
    pub row: Row<'a>,
    /// Where values are taken from that are stored apart from the row (TOAST) and did not change: the row before, if the
    /// replica identity is the whole row. Without it, such columns are missing in the object.
    pub unchanged_from: Option<Row<'a>>,
}

/// How long a value may be as JSON to be written.
#[derive(Debug, Clone, Copy)]
pub(super) struct ValueBytesMax(pub(super) usize);

impl RowLayout {
    /// The layout of a table: for each of its [columns](crate::pgoutput::Relation::columns), in order, its name and kind, or
    /// `None` if it is not written.
    pub fn new<'a>(columns: impl IntoIterator<Item = Option<(&'a str, ValueKind)>>) -> Self {
        let column = |(name, kind): (&str, _)| {
            let mut key = Vec::with_capacity(name.len() + 3);
            write_string(name.as_bytes(), &mut key);
            key.push(b':');
            LayoutColumn { key, kind }
        };
        Self(columns.into_iter().map(|written| written.map(column)).collect())
    }
}

impl RowImage<'_> {
    /// Appends the object to `out`, without values that are longer than `limit`. Returns how many values do not have the form
    /// of their kind; they are strings of their text, so that one of them does not take the others with it.
    pub(super) fn write(&self, limit: ValueBytesMax, out: &mut Vec<u8>) -> usize {
        let mut malformed = 0;
        out.push(b'{');
        let begin = out.len();
        for (column, value) in self.columns() {
            let end = out.len();
            if end > begin {
                out.push(b',');
            }
            malformed += column.write(value, limit, out).unwrap_or_else(|Omitted| {
                out.truncate(end);
                0
            });
        }
        out.push(b'}');
        malformed
    }

    /// A number of bytes that the object has at least, found without writing it.
    pub(super) fn json_bytes_min(&self) -> usize {
        let bytes_min = |(column, value): (&LayoutColumn, _)| match value {
            Value::Text(text) => column.kind.json_bytes_min(text),
            _ => 0,
        };
        self.columns().map(bytes_min).sum()
    }

    /// The columns that are written, and their values.
    fn columns(&self) -> impl Iterator<Item = (&LayoutColumn, Value<'_>)> {
        let mut before = self.unchanged_from.map(|row| row.values());
        self.layout.0.iter().zip(self.row.values()).filter_map(move |(column, value)| {
            let before = before.as_mut().and_then(Iterator::next);
            let value = if value == Value::Unchanged { before.unwrap_or(value) } else { value };
            Some((column.as_ref()?, value))
        })
    }
}

/// The value is not a part of the object.
struct Omitted;

impl LayoutColumn {
    /// Appends the key and the value. Returns how many values do not have the form of their kind, which is none or one.
    fn write(&self, value: Value<'_>, limit: ValueBytesMax, out: &mut Vec<u8>) -> Result<usize, Omitted> {
        out.extend_from_slice(&self.key);
        let begin = out.len();
        let malformed = match value {
            Value::Null => {
                out.extend_from_slice(b"null");
                0
            }
            Value::Text(text) if self.kind.json_bytes_min(text) > limit.0 => return Err(Omitted),
            Value::Text(text) if json::write(&self.kind, text, out).is_ok() => 0,
            Value::Text(text) => {
                write_string(text, out);
                1
            }
            // Sessions do not ask for binary values.
            Value::Unchanged | Value::Binary(_) => return Err(Omitted),
        };
        if out.len() - begin > limit.0 { Err(Omitted) } else { Ok(malformed) }
    }
}
