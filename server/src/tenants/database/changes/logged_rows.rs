//! Rows that the log has, and how the database finds them: by their primary keys, once their transactions are visible to others.

use std::ops::Range;

use serde::Deserialize;

use super::super::DatabaseFailure;
use super::super::literal::{array_literal, identifier, literal, nullable_array_literal};
use super::tables::{ChangeTable, RowKey, TableColumn};

/// The most rows of one statement.
const ROWS_PER_STATEMENT: usize = 1_000;

/// The most bytes of their values, unless one row has more.
const VALUE_BYTES_PER_STATEMENT: usize = 4 << 20;

/// Before the text of a value; nothing stands for a value that is not known.
const KNOWN: &str = "=";

/// Rows of one table, as the log has them.
#[derive(Debug, Clone, Copy)]
pub struct LoggedRows<'a> {
    /// Their primary keys.
    pub keys: &'a [RowKey],
    /// For each of them its values, if a row is to be found only while it has these. Empty if that does not matter.
    pub values: &'a [RowValues],
    /// The transactions that have written them, as the log has them: the lower halves of their ids.
    pub transactions: &'a [u32],
}

/// The texts of those columns of a row that are known, by the numbers of the columns; `None` for NULL.
pub type RowValues = Box<[(i16, Option<Box<str>>)]>;

/// Why nothing can be found out now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Hindrance {
    /// A transaction is not visible to others yet, though it is in the log. The question is to be repeated.
    TooEarly,
    /// The table, or a column that is read, has another name than it had when it was described.
    Renamed,
}

/// Why nothing was found out about rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LookupError {
    /// The question is to be asked again.
    Hindered(Hindrance),
    /// The database does not answer, or refuses the question.
    Failed(DatabaseFailure),
}

impl From<DatabaseFailure> for LookupError {
    fn from(failure: DatabaseFailure) -> Self {
        Self::Failed(failure)
    }
}

/// Rows of a table, in SQL: the alias of the table is `t`, that of the keys `k`, with their numbers from 1 as `k.n`.
#[derive(Clone, Copy)]
pub(super) struct RowsInSql<'a> {
    pub(super) table: &'a ChangeTable,
    pub(super) rows: LoggedRows<'a>,
}

impl<'a> LoggedRows<'a> {
    /// The rows in parts that are asked about at once.
    pub(super) fn parts(self) -> Vec<Range<usize>> {
        let (mut parts, mut begin, mut bytes) = (Vec::new(), 0, 0);
        for place in 0..self.keys.len() {
            let own = self.values.get(place).map_or(0, value_bytes);
            let is_full = place - begin >= ROWS_PER_STATEMENT || bytes + own > VALUE_BYTES_PER_STATEMENT;
            if is_full && place > begin {
                parts.push(begin..place);
                (begin, bytes) = (place, 0);
            }
            bytes += own;
        }
        if begin < self.keys.len() {
            parts.push(begin..self.keys.len());
        }
        parts
    }

    /// Some of the rows.
    pub(super) fn part(self, range: Range<usize>) -> Self {
        let values = if self.values.is_empty() { self.values } else { &self.values[range.clone()] };
        Self { keys: &self.keys[range], values, transactions: self.transactions }
    }
}

fn value_bytes(values: &RowValues) -> usize {
    values.iter().map(|(_, text)| text.as_ref().map_or(0, |text| text.len())).sum()
}

/// The text of a column as the log has it, in a session with the formats of the log: a cast to text writes some types in another
/// way, and `IS NULL` is true of composite values that consist of nothing else.
pub(super) fn text_of(column: &TableColumn, prefix: &str) -> String {
    let name = identifier(&column.name);
    format!("CASE WHEN pg_catalog.num_nulls(t.{name}) = 0 THEN pg_catalog.format('{prefix}%s', t.{name}) END")
}

impl RowsInSql<'_> {
    /// The table, without what inherits from it; a partitioned one has its rows in what does.
    pub(super) fn table(&self) -> String {
        let only = if self.table.is_partitioned { "" } else { "ONLY " };
        format!("{only}{}.{} AS t", identifier(&self.table.schema), identifier(&self.table.name))
    }

    /// The keys as values of the types that their columns are cast to: to cast each of them in the condition could not use an index under row
    /// level security.
    pub(super) fn keys(&self) -> String {
        self.with_arrays(Vec::new(), Vec::new())
    }

    /// The keys, and the values that rows had, which [`is_unchanged`](Self::is_unchanged) compares.
    pub(super) fn keys_and_values(&self) -> String {
        let columns = self.compared_columns();
        let arrays = columns.iter().map(|column| {
            let texts = self.rows.values.iter().map(|values| {
                match values.iter().find(|(number, _)| *number == column.number) {
                    Some((_, text)) => text.as_ref().map(|text| format!("{KNOWN}{text}")),
                    None => Some(String::new()),
                }
            });
            let texts: Vec<Option<String>> = texts.collect();
            let array = nullable_array_literal(texts.iter().map(Option::as_deref));
            format!("pg_catalog.unnest({array}::text[])")
        });
        let names = (0..columns.len()).map(|index| format!("v{index}"));
        self.with_arrays(arrays.collect(), names.collect())
    }

    fn with_arrays(&self, mut arrays: Vec<String>, mut names: Vec<String>) -> String {
        for (index, column) in self.key_columns().enumerate() {
            let texts = self.rows.keys.iter().map(|key| key.get(index).map_or("", |text| &**text));
            arrays.push(format!("pg_catalog.unnest({}::{}[])", array_literal(texts), column.cast_name));
            names.push(format!("k{index}"));
        }
        format!("ROWS FROM ({}) WITH ORDINALITY AS k ({}, n)", arrays.join(", "), names.join(", "))
    }

    /// Whether a row has the key.
    pub(super) fn join(&self) -> String {
        let columns = self.key_columns().enumerate();
        let equal = columns.map(|(index, column)| {
            // No cast for most types. Of a domain the operator is that of its base, and the index is used.
            format!("t.{}::{} = k.k{index}", identifier(&column.name), column.cast_name)
        });
        equal.collect::<Vec<_>>().join(" AND ")
    }

    /// Whether a row has the values that it had. Compared byte by byte, whatever is equal by the collation of the column.
    pub(super) fn is_unchanged(&self) -> String {
        let columns = self.compared_columns().into_iter().enumerate();
        let equal = columns.map(|(index, column)| {
            let text = text_of(column, KNOWN);
            format!("(k.v{index} = '' OR k.v{index} IS NOT DISTINCT FROM ({text}) COLLATE pg_catalog.\"C\")")
        });
        let equal: Vec<String> = equal.collect();
        if equal.is_empty() { "true".to_owned() } else { equal.join(" AND ") }
    }

    /// The columns of which the values of some row are known.
    fn compared_columns(&self) -> Vec<&TableColumn> {
        let is_known = |column: &&TableColumn| {
            let mut known = self.rows.values.iter().flatten();
            known.any(|(number, _)| *number == column.number)
        };
        self.table.columns.iter().filter(is_known).collect()
    }

    fn key_columns(&self) -> impl Iterator<Item = &TableColumn> {
        self.table.primary_key.iter().filter_map(|index| self.table.columns.get(*index))
    }

    /// Whether the table, or a column of its key, or one that is compared or `read`, has another name than the one that is known. The
    /// rows of a table that has got the name are others.
    pub(super) fn is_renamed(&self, read: &[&TableColumn]) -> String {
        let ChangeTable { oid, schema, name, .. } = self.table;
        let (schema, name) = (literal(schema), literal(name));
        let columns = self.key_columns().chain(self.compared_columns()).chain(read.iter().copied());
        let columns = columns.map(|column| {
            format!(
                "(pg_catalog.pg_identify_object('pg_catalog.pg_class'::regclass, {oid}::oid, {number})).identity
                    IS DISTINCT FROM pg_catalog.format('%I.%I.%I', {schema}, {name}, {column})",
                number = column.number,
                column = literal(&column.name)
            )
        });
        columns.collect::<Vec<_>>().join(" OR ")
    }

    /// Whether others cannot see the transactions of the rows yet.
    pub(super) fn too_early(&self) -> String {
        too_early(self.rows.transactions)
    }
}

/// Whether others cannot see some of these transactions yet. The log has the lower half of the id of a transaction. The whole one is that
/// nearest to the next id of the snapshot.
pub(super) fn too_early(transactions: &[u32]) -> String {
    if transactions.is_empty() {
        return "false".into();
    }
    let transactions: Vec<String> = transactions.iter().map(u32::to_string).collect();
    format!(
        "EXISTS (SELECT FROM pg_catalog.unnest('{{{}}}'::bigint[]) AS low (id),
            CAST (pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text AS bigint) AS next (id)
            WHERE NOT pg_catalog.pg_visible_in_snapshot(
                (next.id - 2147483648 + (low.id - next.id % 4294967296 + 6442450944) % 4294967296)::text::xid8,
                pg_catalog.pg_current_snapshot()))",
        transactions.join(",")
    )
}
