//! What one role sees of the changes of a table.

use std::sync::Arc;

use wire::supabase::changes::{RowLayout, column_list};

use super::log_table::LogTable;
use crate::tenants::database::changes::{ChangeTable, RowRights, TableColumn, TableRights};

/// What a role may read of a table.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RolePrivileges {
    /// By the places of the columns in the catalog.
    is_readable: Box<[bool]>,
    /// Whether it may read a column.
    pub(super) may_read_some: bool,
    /// Whether it may read the whole primary key.
    pub(super) may_read_key: bool,
    /// The rows that it may see.
    pub(super) rows: RowRights,
}

/// How changes of a table are written for those who may read, and have selected, the same columns.
#[derive(Debug)]
pub(super) struct ChangeLayout {
    /// The columns, as clients read them.
    pub(super) columns: String,
    /// All columns of a row.
    pub(super) record: RowLayout,
    /// Those of the replica identity.
    pub(super) identity: RowLayout,
    /// Those of the replica identity that are in the primary key.
    pub(super) key: RowLayout,
}

impl RolePrivileges {
    pub(super) fn new(table: &ChangeTable, rights: &TableRights) -> Self {
        // The table may have changed since it was described: columns are known by their numbers.
        let may_read = |column: &TableColumn| {
            let place = rights.shape.columns.iter().position(|number| *number == column.number);
            place.is_some_and(|place| rights.selectable.get(place) == Some(&true))
        };
        let is_readable: Box<[bool]> = table.columns.iter().map(may_read).collect();
        let may_read_key = table.primary_key.iter().all(|column| is_readable[*column]);
        let may_read_some = is_readable.contains(&true);
        Self { is_readable, may_read_some, may_read_key, rows: rights.row_rights }
    }

    /// Whether the role may read these columns, by their places in the catalog.
    pub(super) fn may_read(&self, columns: &[usize]) -> bool {
        columns.iter().all(|column| self.is_readable[*column])
    }

    /// How changes are written for the role. With a selection, of its columns and those of the primary key.
    pub(super) fn layout(&self, log_table: &LogTable, select: Option<&Arc<[usize]>>) -> ChangeLayout {
        let table = &log_table.table;
        let is_key = |column: usize| table.primary_key.contains(&column);
        let is_written = |column: usize| {
            let is_selected = select.is_none_or(|select| select.contains(&column) || is_key(column));
            self.is_readable[column] && is_selected
        };
        let named = table.columns.iter().enumerate().filter(|(place, _)| is_written(*place));
        ChangeLayout {
            columns: column_list(named.map(|(_, column)| (&*column.name, &*column.type_name))),
            record: log_table.layout(is_written),
            identity: log_table.layout(|column| is_written(column) && log_table.is_identity(column)),
            key: log_table
                .layout(|column| is_written(column) && log_table.is_identity(column) && is_key(column)),
        }
    }
}
