//! A change of a row, as the write-ahead log has it.

use std::sync::Arc;

use wire::pgoutput::{OldRow, Row, Value};
use wire::supabase::changes::ChangeType;

use super::log_table::LogTable;
use crate::tenants::database::changes::{RowKey, RowValues};

/// A change of a row.
#[derive(Debug)]
pub(super) struct LogChange<'a> {
    /// The table.
    pub(super) log_table: Arc<LogTable>,
    /// When it was committed, in microseconds since 2000-01-01.
    pub(super) committed_at: i64,
    /// The rows, and what has happened to them.
    pub(super) rows: LogRows<'a>,
    /// The values that filters look at: of the row after, or of one that was deleted, by their places in the log.
    values: Vec<Value<'a>>,
}

/// What has happened to a row, with what the log has of it.
#[derive(Debug, Clone, Copy)]
pub(super) enum LogRows<'a> {
    Insert(Row<'a>),
    Update { new: Row<'a>, old: Option<OldRow<'a>> },
    Delete(OldRow<'a>),
}

impl<'a> LogRows<'a> {
    /// What has happened.
    pub(super) fn change_type(&self) -> ChangeType {
        match self {
            Self::Insert(_) => ChangeType::Insert,
            Self::Update { .. } => ChangeType::Update,
            Self::Delete(_) => ChangeType::Delete,
        }
    }

    /// The row after, or the one that was deleted.
    pub(super) fn last(&self) -> Row<'a> {
        match self {
            Self::Insert(new) | Self::Update { new, .. } => *new,
            Self::Delete(old) => old.row(),
        }
    }

    /// The row after.
    pub(super) fn after(&self) -> Option<Row<'a>> {
        match self {
            Self::Insert(new) | Self::Update { new, .. } => Some(*new),
            Self::Delete(_) => None,
        }
    }

    /// The row before.
    pub(super) fn before(&self) -> Option<OldRow<'a>> {
        match self {
            Self::Insert(_) => None,
            Self::Update { old, .. } => *old,
            Self::Delete(old) => Some(*old),
        }
    }

    /// The same with other rows, where there are some.
    pub(super) fn replaced(self, new: Option<Row<'a>>, old: Option<Row<'a>>) -> Self {
        let replaced = |before: OldRow<'a>| match (before, old) {
            (OldRow::Key(_), Some(row)) => OldRow::Key(row),
            (OldRow::Full(_), Some(row)) => OldRow::Full(row),
            (before, None) => before,
        };
        match self {
            Self::Insert(row) => Self::Insert(new.unwrap_or(row)),
            Self::Update { new: row, old } => {
                Self::Update { new: new.unwrap_or(row), old: old.map(replaced) }
            }
            Self::Delete(old) => Self::Delete(replaced(old)),
        }
    }
}

impl<'a> LogChange<'a> {
    pub(super) fn new(log_table: &Arc<LogTable>, committed_at: i64, rows: LogRows<'a>) -> Self {
        let mut values: Vec<Value<'a>> = rows.last().values().collect();
        match rows {
            LogRows::Update { old: Some(OldRow::Full(before)), .. } => {
                // What is stored apart from the row and was not changed is only there.
                for (value, before) in values.iter_mut().zip(before.values()) {
                    if *value == Value::Unchanged {
                        *value = before;
                    }
                }
            }
            // The other columns are NULL there, and not known.
            LogRows::Delete(OldRow::Key(_)) => {
                for (value, is_known) in values.iter_mut().zip(&log_table.in_identity) {
                    if !is_known {
                        *value = Value::Unchanged;
                    }
                }
            }
            _ => {}
        }
        Self { log_table: Arc::clone(log_table), committed_at, rows, values }
    }

    /// The same with the row after as `row`, which has generated columns too.
    pub(super) fn completed(self, row: Row<'a>) -> Self {
        Self::new(&self.log_table, self.committed_at, self.rows.replaced(Some(row), None))
    }

    /// The text of a column, by its place in the catalog: `Some(None)` for NULL, `None` if it is not known.
    pub(super) fn text(&self, column: usize) -> Option<Option<&'a [u8]>> {
        self.value(self.log_table.places[column]?)
    }

    /// The texts of the primary key; `None` if they are not all known.
    pub(super) fn key(&self) -> Option<RowKey> {
        let places = self.log_table.key.as_ref().filter(|places| !places.is_empty())?;
        places.iter().map(|place| Some(std::str::from_utf8(self.value(*place)??).ok()?.into())).collect()
    }

    /// The texts of all columns that are known.
    pub(super) fn known_values(&self) -> RowValues {
        let columns = self.log_table.table.columns.iter().enumerate();
        let known = columns.filter_map(|(place, column)| {
            let text = self.text(place)?.map(std::str::from_utf8).transpose().ok()?;
            Some((column.number, text.map(Into::into)))
        });
        known.collect()
    }

    fn value(&self, place: usize) -> Option<Option<&'a [u8]>> {
        match *self.values.get(place)? {
            Value::Null => Some(None),
            Value::Text(text) => Some(Some(text)),
            Value::Unchanged | Value::Binary(_) => None,
        }
    }
}
