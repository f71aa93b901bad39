//! What the values of types are: in JSON, and for comparisons.

use std::collections::HashMap;

use sqlx::postgres::types::Oid;
use sqlx::{FromRow, PgConnection};
use wire::pgoutput::json::{CompositeField, ValueKind};

/// The most types within each other that are resolved. Values that are deeper are texts.
const DEPTH_MAX: usize = 32;

/// The types of columns, and those that they consist of: the base of a domain, the elements of an array, the fields of a
/// composite type. A cast to `json` is used by `to_jsonb` for types that are not built in.
const TYPES: &str = "
    WITH RECURSIVE reached (oid) AS (
        SELECT u FROM pg_catalog.unnest($1) AS u
        UNION
        SELECT part.oid FROM reached AS r JOIN pg_catalog.pg_type AS t ON t.oid = r.oid
        CROSS JOIN LATERAL (
            SELECT t.typbasetype WHERE t.typtype = 'd'
            UNION ALL
            SELECT t.typelem WHERE t.typsubscript = 'pg_catalog.array_subscript_handler'::pg_catalog.regproc
            UNION ALL
            SELECT a.atttypid FROM pg_catalog.pg_attribute AS a
            WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
        ) AS part (oid)
    )
    SELECT t.oid, t.typname::text AS name, t.typdelim::text AS delimiter,
        CASE WHEN t.typtype = 'd' THEN t.typbasetype END AS base,
        CASE WHEN t.typsubscript = 'pg_catalog.array_subscript_handler'::pg_catalog.regproc
            THEN t.typelem END AS element,
        t.typtype = 'c' AS is_composite,
        ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute AS a
            WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
            ORDER BY a.attnum) AS field_names,
        ARRAY(SELECT a.atttypid FROM pg_catalog.pg_attribute AS a
            WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
            ORDER BY a.attnum) AS field_types,
        t.oid >= 16384 AND EXISTS (SELECT FROM pg_catalog.pg_cast AS c
            WHERE c.castsource = t.oid AND c.casttarget = 'pg_catalog.json'::pg_catalog.regtype
                AND c.castmethod = 'f') AS has_json_cast
    FROM reached JOIN pg_catalog.pg_type AS t ON t.oid = reached.oid";

/// `int2vector` and `oidvector`: arrays that are not written as arrays.
const VECTORS: [u32; 2] = [22, 30];

/// How two values of a type can be compared without the database, as it would compare them. Domains have that of their base.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CompareKind {
    /// `smallint`, `integer` and `bigint`.
    Integer,
    /// `numeric`.
    Numeric,
    /// `real` and `double precision`.
    Float,
    /// `boolean`.
    Boolean,
    /// `text` and `varchar`: only whether they are equal. Their order depends on the collation.
    Text,
    /// `uuid`.
    Uuid,
    /// `date`.
    Date,
    /// `time` without a time zone.
    Time,
    /// `timestamp` without a time zone.
    Timestamp,
    /// `timestamp` with a time zone.
    TimestampTz,
    /// `bytea`, as hexadecimal digits.
    Bytea,
}

/// What the values of one type are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ResolvedType {
    pub(super) kind: ValueKind,
    pub(super) has_json_cast: bool,
    pub(super) compare: Option<CompareKind>,
}

/// Types of the catalog.
pub(super) struct Types(HashMap<Oid, TypeRow>);

#[derive(FromRow)]
struct TypeRow {
    oid: Oid,
    name: String,
    delimiter: String,
    base: Option<Oid>,
    element: Option<Oid>,
    is_composite: bool,
    field_names: Vec<String>,
    field_types: Vec<Oid>,
    has_json_cast: bool,
}

/// Reads types, and those that they consist of.
pub(super) async fn read(
    connection: &mut PgConnection,
    oids: impl Iterator<Item = Oid>,
) -> Result<Types, sqlx::Error> {
    let mut oids: Vec<Oid> = oids.collect();
    oids.sort_unstable_by_key(|oid| oid.0);
    oids.dedup();
    let rows: Vec<TypeRow> = sqlx::query_as(TYPES).bind(oids).fetch_all(connection).await?;
    Ok(Types(rows.into_iter().map(|row| (row.oid, row)).collect()))
}

impl Types {
    /// What the values of a type are.
    pub(super) fn resolve(&self, oid: Oid) -> ResolvedType {
        let mut has_json_cast = false;
        let kind = self.kind(oid, 0, &mut has_json_cast);
        let base = self.base(oid);
        ResolvedType { kind, has_json_cast, compare: CompareKind::of(base) }
    }

    /// The type that a domain, or a domain over it, is based on.
    fn base(&self, oid: Oid) -> Oid {
        let mut base = oid;
        for _ in 0..DEPTH_MAX {
            match self.0.get(&base).and_then(|row| row.base) {
                Some(next) => base = next,
                None => break,
            }
        }
        base
    }

    fn kind(&self, oid: Oid, depth: usize, has_json_cast: &mut bool) -> ValueKind {
        let base = self.base(oid);
        if let Some(kind) = built_in(base.0) {
            // A value of a domain is not written as one of its base here.
            return if kind == ValueKind::Bytea && base != oid { ValueKind::Text } else { kind };
        }
        if VECTORS.contains(&base.0) {
            *has_json_cast = true;
            return ValueKind::Text;
        }
        let Some(row) = self.0.get(&base).filter(|_| depth < DEPTH_MAX) else { return ValueKind::Text };
        if let Some(element) = row.element {
            let delimiter = self.0.get(&element).and_then(|element| element.delimiter.bytes().next());
            let element = Box::new(self.kind(element, depth + 1, has_json_cast));
            return ValueKind::Array { element, delimiter: delimiter.unwrap_or(b',') };
        }
        if row.is_composite {
            let fields = row.field_names.iter().zip(&row.field_types).map(|(name, oid)| CompositeField {
                name: name.clone(),
                kind: self.kind(*oid, depth + 1, has_json_cast),
            });
            return ValueKind::Composite { fields: fields.collect() };
        }
        if row.has_json_cast {
            if row.name == "hstore" {
                return ValueKind::Hstore;
            }
            *has_json_cast = true;
        }
        ValueKind::Text
    }
}

/// The kind of a built-in type that is not simply a text.
fn built_in(oid: u32) -> Option<ValueKind> {
    Some(match oid {
        16 => ValueKind::Boolean,
        17 => ValueKind::Bytea,
        20 | 21 | 23 => ValueKind::Integer,
        114 | 3802 => ValueKind::Json,
        700 | 701 => ValueKind::Float,
        1114 => ValueKind::Timestamp,
        1184 => ValueKind::TimestampTz,
        1700 => ValueKind::Numeric,
        _ => return None,
    })
}

impl CompareKind {
    /// That of a type which is no domain.
    fn of(oid: Oid) -> Option<Self> {
        Some(match oid.0 {
            16 => Self::Boolean,
            17 => Self::Bytea,
            20 | 21 | 23 => Self::Integer,
            25 | 1043 => Self::Text,
            700 | 701 => Self::Float,
            1082 => Self::Date,
            1083 => Self::Time,
            1114 => Self::Timestamp,
            1184 => Self::TimestampTz,
            1700 => Self::Numeric,
            2950 => Self::Uuid,
            _ => return None,
        })
    }
}
