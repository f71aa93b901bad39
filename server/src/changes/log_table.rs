//! A table as the write-ahead log has it, next to what the catalog says of it.
//!
//! The log describes a table before its first row in a session, and when its definition has changed. What it describes are
//! the columns that are published, in the order in which rows have their values.

use std::sync::Arc;

use wire::pgoutput::json::ValueKind;
use wire::pgoutput::{Column, OldRow, Relation, ReplicaIdentity, Row, Value};
use wire::supabase::changes::{ChangeType, RowLayout};

use crate::tenants::database::changes::{ChangeTable, RowKey, RowValues, TableColumn, TypedText};

/// A table of the log.
#[derive(Debug)]
pub(super) struct LogTable {
    /// What the catalog says.
    pub(super) table: Arc<ChangeTable>,
    /// For each column of the log its place in the catalog.
    columns: Box<[Option<usize>]>,
    /// For each column of the catalog its place in the log.
    places: Box<[Option<usize>]>,
    /// For each column of the log whether it belongs to the replica identity.
    is_identity: Box<[bool]>,
    /// How many columns rows have in the log.
    pub(super) logged: usize,
    /// The generated columns that it does not have, by their places in the catalog. In a row that is completed they follow the others.
    pub(super) generated: Box<[usize]>,
    /// The columns whose values the database converts into JSON, by their places in the log, with the ids of their types.
    pub(super) converted: Box<[(usize, u32)]>,
    /// The columns of the primary key, by their places in the log; `None` if one of them is not published, or not known by the name
    /// that it has there.
    pub(super) key: Option<Box<[usize]>>,
}

/// A change of a row.
#[derive(Debug)]
pub(super) struct LogChange<'a> {
    /// The table.
    pub(super) log_table: Arc<LogTable>,
    /// What has happened.
    pub(super) change: ChangeType,
    /// When it was committed, in microseconds since 2000-01-01.
    pub(super) committed_at: i64,
    /// The row after; none if it was deleted.
    pub(super) new: Option<Row<'a>>,
    /// The row before, as far as the log has it.
    pub(super) old: Option<OldRow<'a>>,
    /// The values that filters look at: of the row after, or of one that was deleted, by their places in the log.
    values: Vec<Value<'a>>,
}

impl LogTable {
    pub(super) fn new(relation: &Relation<'_>, table: Arc<ChangeTable>) -> Self {
        let in_catalog = |name: &str| table.columns.iter().position(|column| *column.name == *name);
        let in_log = |name: &str| relation.columns.iter().position(|column| column.name == name);
        let mut columns: Vec<_> = relation.columns.iter().map(|column| in_catalog(column.name)).collect();
        let mut places: Box<[_]> = table.columns.iter().map(|column| in_log(&column.name)).collect();
        if !table.primary_key.iter().all(|column| places[*column].is_some()) {
            for (column, place) in renamed_key(relation, &table) {
                if let (None, None) = (columns[place], places[column]) {
                    (columns[place], places[column]) = (Some(column), Some(place));
                }
            }
        }
        let mut is_identity: Vec<bool> = relation.columns.iter().map(|column| column.is_key).collect();
        let (logged, generated) = (columns.len(), missing_generated(&table, &places));
        for column in &generated {
            places[*column] = Some(columns.len());
            columns.push(Some(*column));
            is_identity.push(false);
        }
        let converted = columns.iter().enumerate().filter_map(|(place, column)| {
            let column = &table.columns[(*column)?];
            column.has_json_cast.then_some((place, column.cast_oid))
        });
        Self {
            logged,
            generated: generated.into(),
            converted: converted.collect(),
            key: table.primary_key.iter().map(|column| places[*column]).collect(),
            columns: columns.into(),
            is_identity: is_identity.into(),
            places,
            table,
        }
    }

    /// The values of a row that the database converts into JSON, by their places.
    pub(super) fn texts<'a>(&self, row: Row<'a>) -> impl Iterator<Item = (usize, TypedText<'a>)> {
        let mut values = row.values().enumerate();
        self.converted.iter().filter_map(move |(place, type_oid)| {
            let (_, value) = values.find(|(other, _)| other == place)?;
            let Value::Text(text) = value else { return None };
            Some((*place, TypedText { type_oid: *type_oid, text: std::str::from_utf8(text).ok()? }))
        })
    }

    /// Whether the key of rows cannot be read because the log has names that the table does not have any more, or because it has a
    /// generated column.
    pub(super) fn has_lost_key(&self) -> bool {
        let is_generated = |column: &usize| self.generated.contains(column);
        match &self.key {
            None => self.columns.iter().any(Option::is_none),
            Some(_) => self.table.primary_key.iter().any(is_generated),
        }
    }

    /// How the columns are written that `is_written` names by their places in the catalog.
    pub(super) fn layout(&self, is_written: impl Fn(usize) -> bool) -> RowLayout {
        RowLayout::new(self.columns.iter().map(|column| {
            let column = column.filter(|column| is_written(*column))?;
            let TableColumn { name, kind, has_json_cast, .. } = &self.table.columns[column];
            Some((&**name, if *has_json_cast { ValueKind::Json } else { kind.clone() }))
        }))
    }

    /// Whether the column, by its place in the catalog, belongs to the replica identity.
    pub(super) fn is_identity(&self, column: usize) -> bool {
        self.places[column].is_some_and(|place| self.is_identity[place])
    }
}

/// The generated columns that are not in the log, if it has all others. A publication that leaves out some does not say less by
/// leaving out what is computed from them.
fn missing_generated(table: &ChangeTable, places: &[Option<usize>]) -> Vec<usize> {
    let columns = table.columns.iter().zip(places).enumerate();
    let (missing, others): (Vec<_>, Vec<_>) = columns.partition(|(_, (column, _))| column.is_generated);
    if others.into_iter().any(|(_, (_, place))| place.is_none()) {
        return Vec::new();
    }
    let missing = missing.into_iter().filter(|(_, (_, place))| place.is_none());
    missing.map(|(column, _)| column).collect()
}

/// The columns of the primary key with their places in the log, when that does not have all of their names: the rows were written
/// before a column was renamed. Columns stay in order, so they are found by their places: of the key among the columns of the replica
/// identity, or of all columns if none was added or dropped. Empty if that is not certain.
fn renamed_key(relation: &Relation<'_>, table: &ChangeTable) -> Vec<(usize, usize)> {
    let in_log = |is_meant: fn(&Column<'_>) -> bool| {
        let columns = relation.columns.iter().enumerate();
        columns.filter(|(_, column)| is_meant(column)).map(|(place, _)| place).collect::<Vec<_>>()
    };
    let is_key = |column: &usize| table.primary_key.contains(column);
    let (mut columns, places): (Vec<usize>, _) = match relation.replica_identity {
        ReplicaIdentity::Default => (table.primary_key.to_vec(), in_log(|column| column.is_key)),
        _ => {
            let logged = |column: &usize| !table.columns[*column].is_generated;
            ((0..table.columns.len()).filter(logged).collect(), in_log(|_| true))
        }
    };
    columns.sort_unstable();
    let has_same_type = |(column, place): (&usize, &usize)| {
        table.columns[*column].type_oid == relation.columns[*place].type_id
    };
    if columns.len() != places.len() || !columns.iter().zip(&places).all(has_same_type) {
        return Vec::new();
    }
    columns.into_iter().zip(places).filter(|(column, _)| is_key(column)).collect()
}

impl<'a> LogChange<'a> {
    /// An inserted or updated row.
    pub(super) fn written(
        log_table: &Arc<LogTable>,
        change: ChangeType,
        committed_at: i64,
        (new, old): (Row<'a>, Option<OldRow<'a>>),
    ) -> Self {
        let mut values: Vec<Value<'a>> = new.values().collect();
        if let Some(OldRow::Full(before)) = old {
            // What is stored apart from the row and was not changed is only there.
            for (value, before) in values.iter_mut().zip(before.values()) {
                if *value == Value::Unchanged {
                    *value = before;
                }
            }
        }
        Self { log_table: Arc::clone(log_table), change, committed_at, new: Some(new), old, values }
    }

    /// The same with the row after as `row`, which has generated columns too.
    pub(super) fn completed(self, row: Row<'a>) -> Self {
        Self::written(&self.log_table, self.change, self.committed_at, (row, self.old))
    }

    /// A deleted row.
    pub(super) fn deleted(log_table: &Arc<LogTable>, committed_at: i64, old: OldRow<'a>) -> Self {
        let values = match old {
            OldRow::Full(row) => row.values().collect(),
            // The other columns are NULL there, and not known.
            OldRow::Key(row) => {
                let known = row.values().zip(&log_table.is_identity);
                known.map(|(value, is_known)| if *is_known { value } else { Value::Unchanged }).collect()
            }
        };
        let log_table = Arc::clone(log_table);
        Self { log_table, change: ChangeType::Delete, committed_at, new: None, old: Some(old), values }
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
