//! What the log does not have of rows, and rows that are to have the values that the log has.

use std::time::Duration;

use realtime_server::tenants::database::changes::{
    Hindrance, LoggedRows, LookupError, RowKey, RowValues, TypedText, VisibilityQuestion,
};

use crate::{Catalog, failure};

fn keys<const N: usize>(keys: [&str; N]) -> Vec<RowKey> {
    keys.map(|key| [key.into()].into()).into()
}

fn found_by(keys: &[RowKey]) -> LoggedRows<'_> {
    LoggedRows { keys, values: &[], transactions: &[] }
}

#[tokio::test]
async fn present_values_are_those_of_the_columns_by_their_numbers() {
    let catalog = Catalog::with(
        "CREATE TABLE t (id int PRIMARY KEY, a int, at timestamptz, \"B c\" text GENERATED ALWAYS AS ('x' || id::text) STORED,
             d boolean GENERATED ALWAYS AS (a > id) STORED);
         INSERT INTO t VALUES (1, 5, '2024-01-01 02:00+02'), (2, NULL, NULL)",
    )
    .await;
    let (table, keys) = (catalog.table("t").await, keys(["2", "3", "1"]));
    assert_eq!((&*table.columns[3].computed_from, &*table.columns[4].computed_from), (&[1][..], &[1, 2][..]));
    let ask = async |numbers: &[i16]| catalog.database.present_values(&table, found_by(&keys), numbers).await;
    let present = ask(&[4, 5, 3]).await.unwrap().unwrap();
    let row = |row: &[Option<&str>]| Some(row.iter().map(|text| text.map(Into::into)).collect());
    let expected =
        [row(&[Some("x2"), None, None]), None, row(&[Some("x1"), Some("t"), Some("2024-01-01 00:00:00+00")])];
    assert_eq!(present, expected);
    assert_eq!(ask(&[4, 9]).await.unwrap(), None, "a column is gone");
    catalog.postgres.sql("ALTER TABLE t RENAME \"B c\" TO e");
    assert_eq!(ask(&[4]).await, Err(LookupError::Hindered(Hindrance::Renamed)));
    assert_eq!(ask(&[5]).await.unwrap().unwrap().len(), 3, "another column");
}

#[tokio::test]
async fn values_are_not_read_through_the_policies_of_the_server() {
    let postgres = harness::Postgres::start();
    postgres.sql(
        "DROP ROLE IF EXISTS subject; CREATE ROLE subject LOGIN; CREATE TABLE t (id int PRIMARY KEY, a int);
         ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON t USING (true); GRANT SELECT ON t TO subject",
    );
    let url = postgres.url().replace("postgres@", "subject@");
    let catalog = Catalog::at(postgres, url, harness::WAIT_MAX).await;
    let (table, keys) = (catalog.table("t").await, keys(["1"]));
    let failed = failure(catalog.database.present_values(&table, found_by(&keys), &[2]).await);
    assert!(failed.reason.ends_with("(42501)"), "{}", failed.reason);
    let values: [RowValues; 1] = [[(2, Some("1".into()))].into()];
    let rows = LoggedRows { values: &values, ..found_by(&keys) };
    let question = VisibilityQuestion { role: "subject", claims: "{}", keys: &[0] };
    let failed = failure(catalog.database.visible_rows(&table, rows, &[question]).await);
    assert!(failed.reason.contains("changes.exact_visibility"), "{}", failed.reason);
    catalog.postgres.sql("DROP OWNED BY subject");
}

#[tokio::test]
async fn rows_are_visible_while_they_have_the_values_of_the_log() {
    for (ddl, roles) in [("", ["anon", "authenticated"]), ("PARTITION BY LIST (id)", ["anon", "anon"])] {
        let catalog = Catalog::with(&format!(
            "CREATE TABLE t (id int PRIMARY KEY, a text, b timestamptz) {ddl};
             ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON t USING (true);
             GRANT SELECT ON t TO anon; GRANT SELECT (id) ON t TO authenticated"
        ))
        .await;
        if !ddl.is_empty() {
            catalog.postgres.sql("CREATE TABLE part PARTITION OF t DEFAULT");
        }
        catalog.postgres.sql("INSERT INTO t VALUES (1, 'a', '2024-01-01 02:00+02'), (2, NULL, NULL)");
        let some = |text: &str| Some(text.into());
        let values: [(&str, RowValues); 6] = [
            ("1", [(1, some("1")), (2, some("a")), (3, some("2024-01-01 00:00:00+00"))].into()),
            ("1", [(2, some("A"))].into()),
            ("1", [(2, None)].into()),
            ("1", [].into()),
            ("2", [(2, None), (3, None)].into()),
            ("2", [(2, some(""))].into()),
        ];
        let keys: Vec<RowKey> = values.iter().map(|(key, _)| [(*key).into()].into()).collect();
        let values: Vec<RowValues> = values.into_iter().map(|(_, values)| values).collect();
        let rows = LoggedRows { values: &values, ..found_by(&keys) };
        let questions =
            roles.map(|role| VisibilityQuestion { role, claims: "{}", keys: &[0, 1, 2, 3, 4, 5] });
        let table = catalog.table("t").await;
        let found = catalog.database.visible_rows(&table, rows, &questions).await.unwrap();
        assert_eq!(found, vec![Ok(vec![0, 3, 4]); 2], "{ddl}");
    }
}

#[tokio::test]
async fn values_are_written_by_the_cast_of_their_type_and_one_that_fails_harms_no_other() {
    let catalog = Catalog::with_query_timeout(
        Duration::from_secs(2),
        "CREATE TYPE pair AS RANGE (subtype = int);
         CREATE FUNCTION pair_json(pair) RETURNS json LANGUAGE plpgsql AS $$ BEGIN
             PERFORM pg_sleep(CASE lower($1) WHEN 60 THEN 60 ELSE 0 END);
             RETURN json_build_array(1 / lower($1), upper($1)); END $$;
         CREATE CAST (pair AS json) WITH FUNCTION pair_json(pair)",
    )
    .await;
    let pair = catalog.postgres.sql("SELECT 'pair'::regtype::oid").parse().unwrap();
    let value = |type_oid, text| TypedText { type_oid, text };
    let values = [
        value(pair, "[1,3)"),
        value(pair, "[0,3)"),
        value(22, "1 2"),
        value(99_999, "x"),
        value(pair, "[60,61)"),
        value(pair, "[1,5)"),
    ];
    let mut found = Vec::new();
    while found.len() < values.len() {
        found.extend(catalog.database.some_as_json(&values[found.len()..]).await.unwrap());
    }
    let json = |place: usize| found[place].as_deref().unwrap();
    assert_eq!([json(0), json(2), json(5)], ["[1, 3]", "[1, 2]", "[1, 5]"]);
    for (place, state) in [(1, "(22012)"), (3, "(42704)"), (4, "(57014)")] {
        assert!(found[place].as_ref().unwrap_err().reason.ends_with(state), "{:?}", found[place]);
    }
    assert_eq!(catalog.database.some_as_json(&[]).await.unwrap(), []);
}
