//! What the tables are whose changes are delivered: columns, keys, and what their values are in JSON.

use std::collections::HashMap;

use serde::Deserialize;
use sqlx::postgres::types::Oid;
use sqlx::{FromRow, PgConnection};
use wire::pgoutput::json::ValueKind;

use super::super::{DatabaseFailure, TenantDatabase};
use super::ask;
use super::types::{self, CompareKind, Types};

/// The most tables that one statement asks about.
pub(super) const TABLES_PER_STATEMENT: usize = 500;

/// The columns of an index beyond those of its key (`INCLUDE`) are left out.
const TABLES: &str = "
    SELECT c.oid, n.nspname::text AS schema, c.relname::text AS name, c.relrowsecurity AS has_rls,
        c.relkind = 'p' AS is_partitioned, coalesce(p.columns, '{}') AS key
    FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    LEFT JOIN (
        SELECT indrelid, ARRAY(
            SELECT k FROM pg_catalog.unnest(indkey::int2[]) WITH ORDINALITY AS u (k, n)
            WHERE n <= indnkeyatts ORDER BY n) AS columns
        FROM pg_catalog.pg_index WHERE indisprimary
    ) AS p ON p.indrelid = c.oid
    WHERE c.oid = ANY ($1) AND c.relkind IN ('r', 'p')
    ORDER BY c.oid";

/// Those that are not dropped, in the order of the table.
const COLUMNS: &str = concat!(
    "SELECT a.attrelid AS table_oid, a.attnum AS number, a.attname::text AS name, a.atttypid AS type_oid,
        t.typname::text AS type_name, cast_type.oid AS cast_oid, cast_type.name AS cast_name,
        a.attgenerated <> '' AS is_generated,
        ARRAY(SELECT DISTINCT d.refobjsubid::int2
            FROM pg_catalog.pg_attrdef AS e JOIN pg_catalog.pg_depend AS d
                ON d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND d.objid = e.oid
                OR d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = e.adrelid AND d.objsubid = e.adnum
            WHERE a.attgenerated <> '' AND e.adrelid = a.attrelid AND e.adnum = a.attnum
                AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid = a.attrelid
                AND d.refobjsubid NOT IN (0, a.attnum)
            ORDER BY 1) AS computed_from
    FROM pg_catalog.pg_attribute AS a
    JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
    ",
    include_str!("cast_type.sql"),
    "WHERE a.attrelid = ANY ($1) AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY a.attrelid, a.attnum"
);

/// A table whose changes are delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeTable {
    /// Its id in the catalog.
    pub oid: u32,
    /// Its schema.
    pub schema: Box<str>,
    /// Its name.
    pub name: Box<str>,
    /// Its columns that are not dropped, in order.
    pub columns: Box<[TableColumn]>,
    /// The columns of the primary key, in the order of the key, as indices of `columns`. Empty without a primary key.
    pub primary_key: Box<[usize]>,
    /// Whether row level security is enabled.
    pub has_rls: bool,
    /// Whether its rows are in partitions.
    pub is_partitioned: bool,
}

/// What a table consists of, by which it is noticed that it has changed since it was described.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct TableShape {
    /// The numbers of its columns, in order.
    pub columns: Box<[i16]>,
    /// Those of the primary key, in the order of the key.
    pub primary_key: Box<[i16]>,
}

/// A column of such a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableColumn {
    /// Its number, which stays when other columns are dropped.
    pub number: i16,
    /// Its name.
    pub name: Box<str>,
    /// The id of its type.
    pub type_oid: u32,
    /// The name of its type, without the schema (`pg_type.typname`).
    pub type_name: Box<str>,
    /// The id of the type that its values are cast to (`cast_type.sql`).
    pub cast_oid: u32,
    /// The name of that type in SQL, with the schema and quoted.
    pub cast_name: Box<str>,
    /// What its values are in JSON.
    pub kind: ValueKind,
    /// Whether the database has to convert its values into JSON, because the type, or one within it, has a cast of its own, or a form
    /// that is not read here.
    pub has_json_cast: bool,
    /// How its values can be compared without the database; `None` if they cannot.
    pub compare: Option<CompareKind>,
    /// Whether it is computed from other columns, and so may be missing in the log.
    pub is_generated: bool,
    /// The numbers of the columns that it is computed from.
    pub computed_from: Box<[i16]>,
}

/// A primary key of a row: the texts of its columns, in the order of the key. None of them has NUL.
pub type RowKey = Box<[Box<str>]>;

#[derive(FromRow)]
struct TableRow {
    oid: Oid,
    schema: String,
    name: String,
    has_rls: bool,
    is_partitioned: bool,
    key: Vec<i16>,
}

#[derive(FromRow)]
struct ColumnRow {
    table_oid: Oid,
    number: i16,
    name: String,
    type_oid: Oid,
    type_name: String,
    cast_oid: Oid,
    cast_name: String,
    is_generated: bool,
    computed_from: Vec<i16>,
}

impl ChangeTable {
    /// What it consists of.
    pub fn shape(&self) -> TableShape {
        TableShape {
            columns: self.columns.iter().map(|column| column.number).collect(),
            primary_key: self.primary_key.iter().map(|column| self.columns[*column].number).collect(),
        }
    }

    /// Whether columns may be missing in the log because they are computed from others.
    pub fn has_generated(&self) -> bool {
        self.columns.iter().any(|column| column.is_generated)
    }
}

impl TenantDatabase {
    /// Describes tables. Those that do not exist are left out.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn describe_tables(&self, oids: &[u32]) -> Result<Vec<ChangeTable>, DatabaseFailure> {
        let mut tables = Vec::with_capacity(oids.len());
        for oids in oids.chunks(TABLES_PER_STATEMENT) {
            let oids: Vec<Oid> = oids.iter().copied().map(Oid).collect();
            tables.extend(ask(self, &oids[..], |connection, oids| Box::pin(read(connection, oids))).await?);
        }
        Ok(tables)
    }
}

async fn read(connection: &mut PgConnection, oids: &[Oid]) -> Result<Vec<ChangeTable>, sqlx::Error> {
    let tables: Vec<TableRow> = sqlx::query_as(TABLES).bind(oids).fetch_all(&mut *connection).await?;
    let columns: Vec<ColumnRow> = sqlx::query_as(COLUMNS).bind(oids).fetch_all(&mut *connection).await?;
    let types = types::read(connection, columns.iter().map(|column| column.type_oid)).await?;
    let mut by_table: HashMap<Oid, Vec<ColumnRow>> = HashMap::new();
    for column in columns {
        by_table.entry(column.table_oid).or_default().push(column);
    }
    let described = tables.into_iter().map(|table| {
        let columns = by_table.remove(&table.oid).unwrap_or_default();
        described(table, columns, &types)
    });
    Ok(described.collect())
}

fn described(table: TableRow, columns: Vec<ColumnRow>, types: &Types) -> ChangeTable {
    let index = |number: &i16| columns.iter().position(|column| column.number == *number);
    let primary_key = table.key.iter().filter_map(index).collect();
    ChangeTable {
        oid: table.oid.0,
        schema: table.schema.into(),
        name: table.name.into(),
        primary_key,
        columns: columns.into_iter().map(|column| described_column(column, types)).collect(),
        has_rls: table.has_rls,
        is_partitioned: table.is_partitioned,
    }
}

fn described_column(column: ColumnRow, types: &Types) -> TableColumn {
    let resolved = types.resolve(column.type_oid);
    TableColumn {
        number: column.number,
        name: column.name.into(),
        type_oid: column.type_oid.0,
        type_name: column.type_name.into(),
        cast_oid: column.cast_oid.0,
        cast_name: column.cast_name.into(),
        kind: resolved.kind,
        has_json_cast: resolved.has_json_cast,
        compare: resolved.compare,
        is_generated: column.is_generated,
        computed_from: column.computed_from.into(),
    }
}
