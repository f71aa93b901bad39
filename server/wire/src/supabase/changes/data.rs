//! The `data` of a change: what has happened to one row, as clients read it.

use super::ChangeType;
use super::row_layout::{RowImage, ValueBytesMax};
use super::timestamp::write_timestamp;
use crate::pgoutput::json::write_string;

/// The longest values of a change that is too large, as JSON.
const SHORT_VALUE_BYTES: usize = 64;

/// A change of a row.
#[derive(Debug, Clone, Copy)]
pub struct RowChange<'a> {
    /// The schema of the table.
    pub schema: &'a str,
    /// The table.
    pub table: &'a str,
    /// When the transaction was committed, in microseconds since 2000-01-01.
    pub committed_at: i64,
    /// The columns that the receivers may read, a [`column_list`].
    pub columns: &'a str,
    /// The row.
    pub rows: ChangedRows<'a>,
}

/// The row after a change and before it.
#[derive(Debug, Clone, Copy)]
pub enum ChangedRows<'a> {
    /// A new row.
    Insert {
        /// The row.
        record: RowImage<'a>,
    },
    /// A row with other values.
    Update {
        /// The row after the change.
        record: RowImage<'a>,
        /// What identifies the row, or the row before. If the log has no row before, the key has not changed and is that of
        /// the row after.
        old_record: RowImage<'a>,
    },
    /// A row that is gone.
    Delete {
        /// What identifies the row, or the row before.
        old_record: RowImage<'a>,
    },
}

/// A change as JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeData {
    /// The JSON object.
    pub json: String,
    /// Whether the rows were too large, so that it holds short values only.
    pub is_shortened: bool,
    /// How many values did not have the form of their kind and are strings of their text.
    pub malformed: usize,
}

/// Why a change is delivered without its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusedChange {
    /// The table has no primary key.
    NoPrimaryKey,
    /// The role of the receivers may not read the primary key.
    Unauthorized,
}

impl RefusedChange {
    const fn as_str(self) -> &'static str {
        match self {
            Self::NoPrimaryKey => "Error 400: Bad Request, no primary key",
            Self::Unauthorized => "Error 401: Unauthorized",
        }
    }

    /// The change as JSON. Only inserted and updated rows are refused.
    pub fn to_json(self, schema: &str, table: &str, change: ChangeType) -> String {
        let mut out = beginning(schema, table, change);
        out.extend_from_slice(b",\"commit_timestamp\":null,\"columns\":[]");
        if change != ChangeType::Delete {
            out.extend_from_slice(b",\"record\":{}");
        }
        if change != ChangeType::Insert {
            out.extend_from_slice(b",\"old_record\":{}");
        }
        finish(out, Some(self.as_str()))
    }
}

/// The columns of a table as JSON, from their names and the names of their types (`pg_type.typname`):
/// `[{"name":"id","type":"int8"}]`.
pub fn column_list<'a>(columns: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut out = vec![b'['];
    for (name, type_name) in columns {
        if out.len() > 1 {
            out.push(b',');
        }
        write_members(&[("{\"name\":", name), (",\"type\":", type_name)], &mut out);
        out.push(b'}');
    }
    out.push(b']');
    into_string(out)
}

impl RowChange<'_> {
    /// The change as JSON. If its rows have more than `rows_bytes_max` bytes, it holds only values of at most 64 bytes, and an
    /// error. Upstream measures the text of `wal2json` for this, so the same limit means about the same rows, not exactly.
    pub fn to_json(&self, rows_bytes_max: usize) -> ChangeData {
        let mut out = beginning(self.schema, self.table, self.rows.change_type());
        out.extend_from_slice(b",\"commit_timestamp\":");
        write_timestamp(self.committed_at, &mut out);
        out.extend_from_slice(b",\"columns\":");
        out.extend_from_slice(self.columns.as_bytes());
        let begin = out.len();
        let mut malformed = 0;
        // Otherwise 50 MB would be written for nothing, for each list of columns that members select.
        let mut is_shortened = self.rows.json_bytes_min() > rows_bytes_max;
        if !is_shortened {
            malformed = self.rows.write(ValueBytesMax(usize::MAX), &mut out);
            is_shortened = out.len() - begin > rows_bytes_max;
        }
        if is_shortened {
            out.truncate(begin);
            self.rows.without_unchanged().write(ValueBytesMax(SHORT_VALUE_BYTES), &mut out);
        }
        let json = finish(out, is_shortened.then_some("Error 413: Payload Too Large"));
        ChangeData { json, is_shortened, malformed }
    }
}

impl ChangedRows<'_> {
    /// The type of the change.
    pub const fn change_type(&self) -> ChangeType {
        match self {
            Self::Insert { .. } => ChangeType::Insert,
            Self::Update { .. } => ChangeType::Update,
            Self::Delete { .. } => ChangeType::Delete,
        }
    }

    fn write(&self, limit: ValueBytesMax, out: &mut Vec<u8>) -> usize {
        let mut malformed = 0;
        for (key, image) in self.images() {
            out.extend_from_slice(key);
            malformed += image.write(limit, out);
        }
        malformed
    }

    /// A number of bytes that the rows have at least as JSON, found without writing them.
    fn json_bytes_min(&self) -> usize {
        self.images().map(|(_, image)| image.json_bytes_min()).sum()
    }

    /// The rows, each with the key before it.
    fn images(&self) -> impl Iterator<Item = (&'static [u8], &RowImage<'_>)> {
        let (record, old_record) = match self {
            Self::Insert { record } => (Some(record), None),
            Self::Update { record, old_record } => (Some(record), Some(old_record)),
            Self::Delete { old_record } => (None, Some(old_record)),
        };
        let record = record.map(|image| (&b",\"record\":"[..], image));
        record.into_iter().chain(old_record.map(|image| (&b",\"old_record\":"[..], image)))
    }

    /// The same without values that the update did not send, which a change that is too large never has.
    fn without_unchanged(self) -> Self {
        match self {
            Self::Update { record, old_record } => {
                Self::Update { record: RowImage { unchanged_from: None, ..record }, old_record }
            }
            other => other,
        }
    }
}

fn beginning(schema: &str, table: &str, change: ChangeType) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    let members = [("{\"schema\":", schema), (",\"table\":", table), (",\"type\":", change.as_str())];
    write_members(&members, &mut out);
    out
}

fn write_members(members: &[(&str, &str)], out: &mut Vec<u8>) {
    for (key, value) in members {
        out.extend_from_slice(key.as_bytes());
        write_string(value.as_bytes(), out);
    }
}

fn finish(mut out: Vec<u8>, error: Option<&str>) -> String {
    out.extend_from_slice(b",\"errors\":");
    match error {
        None => out.extend_from_slice(b"null"),
        Some(error) => {
            out.push(b'[');
            write_string(error.as_bytes(), &mut out);
            out.push(b']');
        }
    }
    out.push(b'}');
    into_string(out)
}

fn into_string(out: Vec<u8>) -> String {
    String::from_utf8(out).expect("each part is UTF-8")
}
