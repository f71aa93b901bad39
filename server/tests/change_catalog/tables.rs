//! Whether tables are published, and how they are described.

use realtime_server::tenants::database::changes::{ChangeTable, CompareKind, Publication};
use wire::pgoutput::json::{CompositeField, ValueKind};

use crate::Catalog;

#[tokio::test]
async fn a_publication_has_tables_as_postgresql_lists_them() {
    let catalog = Catalog::with(
        "CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE parts (id int PRIMARY KEY) PARTITION BY RANGE (id);
         CREATE PUBLICATION one FOR TABLE a; CREATE PUBLICATION every FOR ALL TABLES;
         CREATE PUBLICATION leaves FOR TABLE parts; CREATE PUBLICATION nothing",
    )
    .await;
    let ask = async |name| catalog.database.publication(name).await.unwrap();
    for (name, expected) in [
        ("one", Publication::WithTables),
        ("every", Publication::WithTables),
        ("leaves", Publication::Empty),
        ("nothing", Publication::Empty),
        ("missing", Publication::Missing),
    ] {
        assert_eq!(ask(name).await, expected, "{name}");
    }
    catalog.postgres.sql(
        "CREATE TABLE part PARTITION OF parts FOR VALUES FROM (0) TO (10); ALTER PUBLICATION nothing ADD TABLE a",
    );
    for name in ["leaves", "nothing"] {
        assert_eq!(ask(name).await, Publication::WithTables, "{name}, at once");
    }
}

fn kind<'a>(table: &'a ChangeTable, name: &str) -> &'a ValueKind {
    &table.columns.iter().find(|column| &*column.name == name).unwrap().kind
}

#[tokio::test]
async fn columns_have_the_kinds_of_their_types() {
    let catalog = Catalog::with(
        "CREATE TYPE mood AS ENUM ('sad', 'ok');
         CREATE DOMAIN small AS int CHECK (VALUE < 100); CREATE DOMAIN smaller AS small; CREATE DOMAIN raw AS bytea;
         CREATE TYPE point3 AS (x int, name text, moods mood[]);
         CREATE TABLE kinds (
            a smallint, b numeric(10, 2), c real, d boolean, e varchar(3), f char(3), g bytea, h uuid, i date, j time,
            k timetz, l timestamp(0), m timestamptz, n interval, o json, p jsonb, q oid, r mood, s smaller, t raw,
            u smaller[], v point3, w point3[], x box[], y int4range)",
    )
    .await;
    let table = catalog.table("kinds").await;
    use CompareKind as C;
    use ValueKind as V;
    let array = |element: V, delimiter: u8| V::Array { element: Box::new(element), delimiter };
    let field = |name: &str, kind: V| CompositeField { name: name.into(), kind };
    let fields = vec![field("x", V::Integer), field("name", V::Text), field("moods", array(V::Text, b','))];
    let composite = V::Composite { fields };
    let expected = [
        ("a", "int2", V::Integer, Some(C::Integer)),
        ("b", "numeric", V::Numeric, Some(C::Numeric)),
        ("c", "float4", V::Float, Some(C::Float)),
        ("d", "bool", V::Boolean, Some(C::Boolean)),
        ("e", "varchar", V::Text, Some(C::Text)),
        ("f", "bpchar", V::Text, None),
        ("g", "bytea", V::Bytea, Some(C::Bytea)),
        ("h", "uuid", V::Text, Some(C::Uuid)),
        ("i", "date", V::Text, Some(C::Date)),
        ("j", "time", V::Text, Some(C::Time)),
        ("k", "timetz", V::Text, None),
        ("l", "timestamp", V::Timestamp, Some(C::Timestamp)),
        ("m", "timestamptz", V::TimestampTz, Some(C::TimestampTz)),
        ("n", "interval", V::Text, None),
        ("o", "json", V::Json, None),
        ("p", "jsonb", V::Json, None),
        ("q", "oid", V::Text, None),
        ("r", "mood", V::Text, None),
        ("s", "smaller", V::Integer, Some(C::Integer)),
        ("t", "raw", V::Text, Some(C::Bytea)),
        ("u", "_smaller", array(V::Integer, b','), None),
        ("v", "point3", composite.clone(), None),
        ("w", "_point3", array(composite, b','), None),
        ("x", "_box", array(V::Text, b';'), None),
        ("y", "int4range", V::Text, None),
    ];
    for (column, (name, type_name, kind, compare)) in table.columns.iter().zip(expected) {
        assert_eq!((&*column.name, &*column.type_name, &column.kind), (name, type_name, &kind));
        assert_eq!(column.compare, compare, "{name}");
        assert!(!column.has_json_cast);
    }
    assert_eq!(table.columns.len(), 25);
    for (column, expected) in [(5, "bpchar"), (18, "int4"), (19, "bytea"), (20, "_int4"), (22, "_point3")] {
        let name = &*table.columns[column].cast_name;
        assert!(name.ends_with(&format!(".{expected}")), "without a length, and without domains: {name}");
    }
}

#[tokio::test]
async fn a_type_with_a_cast_to_json_is_converted_by_the_database() {
    let catalog = Catalog::with(
        "CREATE TYPE pair AS RANGE (subtype = int);
         CREATE FUNCTION pair_json(pair) RETURNS json LANGUAGE sql IMMUTABLE AS 'SELECT json_build_array(lower($1), upper($1))';
         CREATE CAST (pair AS json) WITH FUNCTION pair_json(pair);
         CREATE TABLE casts (a pair, b pair[], c int4range, d int2vector)",
    )
    .await;
    let columns = catalog.table("casts").await.columns;
    assert_eq!(
        columns.iter().map(|column| column.has_json_cast).collect::<Vec<_>>(),
        [true, true, false, true]
    );
}

#[tokio::test]
async fn keys_identities_and_columns_are_those_of_now() {
    let catalog = Catalog::with(
        "CREATE TABLE t (gone int, b text NOT NULL, a int NOT NULL, c text, twice int GENERATED ALWAYS AS (a * 2) STORED);
         ALTER TABLE t DROP COLUMN gone;
         CREATE UNIQUE INDEX t_key ON t (a, b) INCLUDE (c); ALTER TABLE t ADD PRIMARY KEY USING INDEX t_key;
         CREATE TABLE bare (id int)",
    )
    .await;
    let table = catalog.table("t").await;
    let names: Vec<&str> = table.columns.iter().map(|column| &*column.name).collect();
    assert_eq!(names, ["b", "a", "c", "twice"]);
    assert_eq!(&*table.primary_key, [1, 0], "in the order of the key, without what it includes");
    assert_eq!((table.has_rls, table.is_partitioned), (false, false));
    assert!(table.has_generated() && table.columns[3].is_generated);
    let bare = catalog.table("bare").await;
    assert!(bare.primary_key.is_empty() && !bare.has_generated());

    catalog
        .postgres
        .sql("ALTER TABLE t ENABLE ROW LEVEL SECURITY; ALTER TABLE t ALTER COLUMN c TYPE int USING 1");
    let table = catalog.table("t").await;
    assert!(table.has_rls);
    assert_eq!(kind(&table, "c"), &ValueKind::Integer);
    assert_eq!(catalog.database.describe_tables(&[1]).await.unwrap(), [], "no such table");
}
