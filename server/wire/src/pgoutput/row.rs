//! The values of a row.

use std::fmt;

use super::PgoutputError;
use super::fields::LogFields;

/// The most columns that a row of PostgreSQL can have (`MaxTupleAttributeNumber`).
pub const COLUMNS_MAX: usize = 1664;

/// A row, its values in the order of the [columns of its table](super::Relation::columns). Checked, but not yet read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Row<'a> {
    count: usize,
    values: LogFields<'a>,
}

/// A row that is put together from values.
#[derive(Clone, PartialEq, Eq)]
pub struct RowBuffer {
    count: usize,
    values: Vec<u8>,
}

/// One value of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// NULL. In a [key](OldRow::Key), also every column that is not a part of it.
    Null,
    /// A value stored apart from its row (TOAST) that the update did not change. It is not sent.
    Unchanged,
    /// The text form of the value. UTF-8 in every database but those with the encoding `SQL_ASCII`, which may hold any bytes.
    Text(&'a [u8]),
    /// The binary form of the value, in a session that asked for it.
    Binary(&'a [u8]),
}

/// What an update or a deletion says about the row as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OldRow<'a> {
    /// The columns of the replica identity; all others are [`Value::Null`].
    Key(Row<'a>),
    /// All columns, because the replica identity is [`Full`](super::ReplicaIdentity::Full).
    Full(Row<'a>),
}

impl<'a> OldRow<'a> {
    /// The columns that are there.
    pub fn row(&self) -> Row<'a> {
        match *self {
            Self::Key(row) | Self::Full(row) => row,
        }
    }
}

/// The number of columns that follow.
pub(super) fn column_count(fields: &mut LogFields<'_>) -> Result<usize, PgoutputError> {
    let count = fields.i16()?;
    usize::try_from(count).ok().filter(|&count| count <= COLUMNS_MAX).ok_or(PgoutputError::Columns(count))
}

impl<'a> Row<'a> {
    pub(super) fn read(fields: &mut LogFields<'a>) -> Result<Self, PgoutputError> {
        let count = column_count(fields)?;
        let values =
            fields.consumed_by(|fields| (0..count).try_for_each(|_| Value::read(fields).map(drop)))?;
        Ok(Self { count, values })
    }

    /// The number of its columns.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether it has no columns, as a row of a table without columns has not.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Its values, in order.
    pub fn values(&self) -> Values<'a> {
        Values { left: self.count, fields: self.values }
    }
}

impl RowBuffer {
    /// A row with these values.
    pub fn new<'a>(values: impl IntoIterator<Item = Value<'a>>) -> Self {
        let mut row = Self { count: 0, values: Vec::new() };
        for value in values {
            row.count += 1;
            value.write(&mut row.values);
        }
        row
    }

    /// The row.
    pub fn row(&self) -> Row<'_> {
        Row { count: self.count, values: LogFields::new(&self.values) }
    }
}

impl fmt::Debug for RowBuffer {
    /// Without the values, which are users' data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.row().fmt(f)
    }
}

impl fmt::Debug for Row<'_> {
    /// Without the values, which are users' data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Row").field("columns", &self.count).finish_non_exhaustive()
    }
}

impl<'a> Value<'a> {
    fn read(fields: &mut LogFields<'a>) -> Result<Self, PgoutputError> {
        match fields.byte()? {
            b'n' => Ok(Self::Null),
            b'u' => Ok(Self::Unchanged),
            b't' => fields.bytes().map(Self::Text),
            b'b' => fields.bytes().map(Self::Binary),
            other => Err(PgoutputError::ValueKind(other)),
        }
    }

    /// Appends the form that `read` reads.
    fn write(self, out: &mut Vec<u8>) {
        let (kind, bytes) = match self {
            Self::Null => return out.push(b'n'),
            Self::Unchanged => return out.push(b'u'),
            Self::Text(text) => (b't', text),
            Self::Binary(bytes) => (b'b', bytes),
        };
        let length = i32::try_from(bytes.len()).expect("values of PostgreSQL have less than 1 GiB");
        out.push(kind);
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(bytes);
    }
}

/// The values of a row, in order.
#[derive(Clone)]
pub struct Values<'a> {
    left: usize,
    fields: LogFields<'a>,
}

impl<'a> Iterator for Values<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        self.left = self.left.checked_sub(1)?;
        Some(Value::read(&mut self.fields).expect("the values of a row are checked when it is made"))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Values<'_> {}

impl fmt::Debug for Values<'_> {
    /// Without the values, which are users' data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Values").field("left", &self.left).finish_non_exhaustive()
    }
}
