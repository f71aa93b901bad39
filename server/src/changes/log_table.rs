//! A table as the write-ahead log has it, next to what the catalog says of it.
//!
//! The log describes a table before its first row in a session, and when its definition has changed. What it describes are
//! the columns that are published, in the order in which rows have their values.

use std::sync::Arc;

use wire::pgoutput::json::ValueKind;
use wire::pgoutput::{Column, Relation, ReplicaIdentity, Row, Value};
use wire::supabase::changes::RowLayout;

use crate::tenants::database::changes::{ChangeTable, TableColumn, TypedText};

/// A table of the log.
#[derive(Debug)]
pub(super) struct LogTable {
    /// What the catalog says.
    pub(super) table: Arc<ChangeTable>,
    /// For each column of the log its place in the catalog.
    columns: Box<[Option<usize>]>,
    /// For each column of the catalog its place in the log.
    pub(super) places: Box<[Option<usize>]>,
    /// For each column of the log whether it belongs to the replica identity.
    pub(super) in_identity: Box<[bool]>,
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
        let mut in_identity: Vec<bool> = relation.columns.iter().map(|column| column.is_key).collect();
        let (logged, generated) = (columns.len(), missing_generated(&table, &places));
        for column in &generated {
            places[*column] = Some(columns.len());
            columns.push(Some(*column));
            in_identity.push(false);
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
            in_identity: in_identity.into(),
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
        self.places[column].is_some_and(|place| self.in_identity[place])
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
