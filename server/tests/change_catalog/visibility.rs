//! Which rows clients may see: what their role and claims could select.

use std::time::Duration;

use realtime_server::tenants::database::changes::{
    Hindrance, LoggedRows, LookupError, RowKey, VisibilityQuestion, VisibleRows,
};
use uuid::Uuid;

use crate::{Catalog, failure};

/// What policies call, and a table whose rows belong to users.
const TODOS: &str = "
    CREATE SCHEMA IF NOT EXISTS auth;
    CREATE OR REPLACE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE AS
        $$ SELECT (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')::uuid $$;
    GRANT USAGE ON SCHEMA auth TO authenticated, anon;
    CREATE TABLE todos (id bigint PRIMARY KEY, user_id uuid, body text);
    ALTER TABLE todos ENABLE ROW LEVEL SECURITY; GRANT SELECT ON todos TO authenticated, anon, service_role;
    CREATE POLICY own ON todos FOR SELECT USING ((SELECT auth.uid()) = user_id)";

fn user(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn claims(number: u128) -> String {
    format!(r#"{{"sub":"{}","name":"O'Neil \\ \"x\""}}"#, user(number))
}

fn keys<const N: usize>(keys: [&[&str]; N]) -> Vec<RowKey> {
    keys.iter().map(|key| key.iter().map(|&text| text.into()).collect()).collect()
}

/// Rows that are found by their keys.
fn found_by(keys: &[RowKey]) -> LoggedRows<'_> {
    LoggedRows { keys, values: &[], transactions: &[] }
}

/// Asks about all keys for each client.
async fn ask(catalog: &Catalog, table: &str, keys: &[RowKey], clients: &[(&str, &str)]) -> Vec<VisibleRows> {
    let all: Vec<u32> = (0..u32::try_from(keys.len()).unwrap()).collect();
    let question = |(role, claims)| VisibilityQuestion { role, claims, keys: &all };
    let questions: Vec<_> = clients.iter().copied().map(question).collect();
    let table = catalog.table(table).await;
    catalog.database.visible_rows(&table, found_by(keys), &questions).await.expect("an answer")
}

async fn visible(
    catalog: &Catalog,
    table: &str,
    keys: &[RowKey],
    clients: &[(&str, &str)],
) -> Vec<VisibleRows> {
    let found = ask(catalog, table, keys, clients).await;
    assert_eq!(found.len(), clients.len());
    found
}

#[tokio::test]
async fn each_client_sees_what_it_could_select() {
    let catalog = Catalog::with(TODOS).await;
    let rows = format!("(1, '{}'), (2, '{}'), (3, '{}')", user(1), user(2), user(1));
    catalog.postgres.sql(&format!("INSERT INTO todos VALUES {rows}"));
    let keys = keys([&["3"], &["2"], &["1"], &["4"], &["3"]]);
    let (one, two, other) = (claims(1), claims(2), claims(3));
    let clients = [
        ("authenticated", &*one),
        ("authenticated", &*two),
        ("anon", &*one),
        ("authenticated", &*other),
        ("service_role", &*other),
        ("authenticated", "{}"),
    ];
    let found = visible(&catalog, "todos", &keys, &clients).await;
    let expected: [&[u32]; 6] = [&[0, 2, 4], &[1], &[0, 2, 4], &[], &[0, 1, 2, 4], &[]];
    assert_eq!(found, expected.map(|keys| Ok(keys.to_vec())));

    // Each may ask for keys of its own.
    let table = catalog.table("todos").await;
    let question = |claims, keys| VisibilityQuestion { role: "authenticated", claims, keys };
    let questions =
        [question(&one, &[4]), question(&two, &[1, 3]), question(&one, &[]), question(&one, &[0, 1])];
    let found = catalog.database.visible_rows(&table, found_by(&keys), &questions).await.unwrap();
    let expected: [&[u32]; 4] = [&[4], &[1], &[], &[0]];
    assert_eq!(found, expected.map(|keys| Ok(keys.to_vec())));
}

#[tokio::test]
async fn many_clients_and_keys_are_asked_about_in_parts() {
    let catalog = Catalog::with(TODOS).await;
    catalog.postgres.sql(
        "INSERT INTO todos SELECT n, lpad((n % 300)::text, 32, '0')::uuid FROM generate_series(0, 2099) AS n",
    );
    let keys: Vec<RowKey> = (0..2100).map(|n: u32| [n.to_string().into()].into()).collect();
    // Hexadecimal digits, so that `n % 300` is the same number in both.
    let all: Vec<String> = (0..300).map(|n| format!(r#"{{"sub":"{n:0>32}"}}"#)).collect();
    let clients: Vec<_> = all.iter().map(|claims| ("authenticated", claims.as_str())).collect();
    let found = visible(&catalog, "todos", &keys, &clients).await;
    for (client, found) in (0..).zip(found) {
        assert_eq!(found.unwrap(), (0..7).map(|n| client + 300 * n).collect::<Vec<u32>>());
    }
}

#[tokio::test]
async fn a_client_whose_lookup_fails_harms_no_other() {
    let catalog = Catalog::with(TODOS).await;
    catalog.postgres.sql(&format!(
        "INSERT INTO todos VALUES (1, '{}');
         CREATE FUNCTION fails() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
             IF auth.uid() = '{}' THEN RAISE EXCEPTION E'not\\nyou' USING ERRCODE = 'AB123'; END IF; RETURN true; END $$;
         CREATE POLICY fails ON todos AS RESTRICTIVE USING (fails())",
        user(1),
        user(2)
    ));
    let keys = keys([&["1"]]);
    let (one, two) = (claims(1), claims(2));
    let clients = [
        ("authenticated", &*two),
        ("authenticated", &*one),
        ("potato", &*one),
        ("none", &*one),
        ("None", &*one),
        ("", &*one),
        ("anon\0", &*one),
        ("anon", "\0"),
        ("anon", "not JSON"),
        ("anon", &*one),
    ];
    // A row of another is not looked at by the restrictive policy first, so the order of policies does not matter here.
    catalog.postgres.sql(&format!("UPDATE todos SET user_id = '{}'", user(1)));
    let found = visible(&catalog, "todos", &keys, &clients).await;
    let state = |index: usize| found[index].as_ref().unwrap_err().reason.to_string();
    assert_eq!((&found[1], &found[9]), (&Ok(vec![0]), &Ok(vec![0])));
    for (index, expected) in
        [(2, "(42704)"), (3, "(42704)"), (4, "(42704)"), (6, "(42704)"), (7, "(42704)"), (8, "(22P02)")]
    {
        assert!(state(index).ends_with(expected), "{index}: {}", state(index));
    }
    assert!(found[5].is_err());
    // The policies of a user are evaluated in an order of PostgreSQL's; this one may not see the row in any case.
    assert!(found[0] == Ok(vec![]) || state(0) == "not you (AB123)", "{:?}", found[0]);
    catalog.postgres.sql(&format!("UPDATE todos SET user_id = '{}'", user(2)));
    let found = visible(&catalog, "todos", &keys, &clients[..2]).await;
    assert_eq!(found[0].as_ref().unwrap_err().reason, "not you (AB123)");
    assert_eq!(found[1], Ok(vec![]));
}

#[tokio::test]
async fn what_a_policy_sets_for_one_client_is_not_there_for_the_next() {
    let catalog = Catalog::with(TODOS).await;
    catalog.postgres.sql(&format!(
        "INSERT INTO todos VALUES (1, '{}');
         CREATE FUNCTION remembered() RETURNS uuid LANGUAGE plpgsql AS $$ BEGIN
             IF coalesce(current_setting('app.user', true), '') = '' THEN
                 PERFORM set_config('app.user', auth.uid()::text, false), set_config('role', 'service_role', true);
             END IF;
             RETURN current_setting('app.user')::uuid; END $$;
         DROP POLICY own ON todos; CREATE POLICY own ON todos USING (remembered() = user_id)",
        user(1)
    ));
    let (one, two) = (claims(1), claims(2));
    let clients = [("authenticated", &*one), ("authenticated", &*two), ("authenticated", &*one)];
    for _ in 0..2 {
        let found = visible(&catalog, "todos", &keys([&["1"]]), &clients).await;
        assert_eq!(found, [Ok(vec![0]), Ok(vec![]), Ok(vec![0])]);
    }
}

#[tokio::test]
async fn keys_may_have_any_columns_and_names() {
    let catalog = Catalog::with(
        "CREATE SCHEMA \"Odd $v$ \"\"schema\";
         CREATE TYPE kind AS ENUM ('a', 'it''s');
         CREATE TABLE \"Odd $v$ \"\"schema\".\"t.x\" (
             n numeric, seen tid, \"a \"\"b\" char(3), kind kind, at timestamptz, wanted text,
             PRIMARY KEY (\"a \"\"b\", kind, n, at));
         GRANT USAGE ON SCHEMA \"Odd $v$ \"\"schema\" TO anon; GRANT SELECT ON \"Odd $v$ \"\"schema\".\"t.x\" TO anon;
         ALTER TABLE \"Odd $v$ \"\"schema\".\"t.x\" ENABLE ROW LEVEL SECURITY;
         CREATE POLICY p ON \"Odd $v$ \"\"schema\".\"t.x\" USING (wanted <> 'no');
         INSERT INTO \"Odd $v$ \"\"schema\".\"t.x\" VALUES
             (1.50, NULL, 'ab', 'it''s', '2024-01-01 00:00+00', 'yes'), (1.50, NULL, 'b\"\\', 'a', '2024-01-01 00:00+00', 'yes'),
             (2, NULL, 'ab', 'a', '2024-01-01 00:00+00', 'no')",
    )
    .await;
    let at = "2024-01-01 00:00:00+00";
    let keys = keys([
        &["ab ", "it's", "1.5", at],
        &["b\"\\", "a", "1.50", at],
        &["ab ", "a", "2", at],
        &["ab ", "a", "1.5", at],
    ]);
    let table = "\"Odd $v$ \"\"schema\".\"t.x\"";
    assert_eq!(visible(&catalog, table, &keys, &[("anon", "{}")]).await, [Ok(vec![0, 1])]);
}

#[tokio::test]
async fn keys_that_do_not_fit_are_an_error() {
    let catalog = Catalog::with(TODOS).await;
    let table = catalog.table("todos").await;
    let questions = [VisibilityQuestion { role: "anon", claims: "{}", keys: &[0] }];
    let malformed = keys([&["x"]]);
    let failed = failure(catalog.database.visible_rows(&table, found_by(&malformed), &questions).await);
    assert_eq!(failed.reason, "invalid input syntax for type bigint: \"x\" (22P02)");
    catalog.postgres.sql("CREATE TABLE bare (id int)");
    let bare = catalog.table("bare").await;
    let present = keys([&["1"]]);
    let failed = failure(catalog.database.visible_rows(&bare, found_by(&present), &questions).await);
    assert!(failed.reason.contains("no primary key"));
    assert_eq!(visible(&catalog, "todos", &keys([&["1"]]), &[("anon", "{}")]).await, [Ok(vec![])]);
}

#[tokio::test]
async fn roles_that_may_read_some_columns_are_asked_about_by_key() {
    let catalog = Catalog::with(TODOS).await;
    catalog.postgres.sql(&format!(
        "INSERT INTO todos VALUES (1, '{}'), (2, '{}'); REVOKE SELECT ON todos FROM authenticated;
         GRANT SELECT (id) ON todos TO authenticated",
        user(1),
        user(2)
    ));
    let (one, two) = (claims(1), claims(2));
    let clients = [("authenticated", &*one), ("anon", &*one), ("authenticated", &*two)];
    let found = visible(&catalog, "todos", &keys([&["2"], &["1"]]), &clients).await;
    assert_eq!(found, [Ok(vec![1]), Ok(vec![1]), Ok(vec![0])]);
    catalog.postgres.sql("REVOKE SELECT (id) ON todos FROM authenticated");
    let found = visible(&catalog, "todos", &keys([&["2"], &["1"]]), &clients).await;
    assert!(found[0].as_ref().unwrap_err().reason.ends_with("(42501)"));
    assert_eq!(found[1], Ok(vec![1]));
}

#[tokio::test]
async fn a_server_that_is_subject_to_policies_itself_finds_the_same() {
    let postgres = harness::Postgres::start();
    postgres.sql(
        "CREATE ROLE visibility_server LOGIN; DO $$ BEGIN CREATE ROLE anon; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
         DO $$ BEGIN CREATE ROLE authenticated; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
         DO $$ BEGIN CREATE ROLE service_role BYPASSRLS; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
         GRANT anon, authenticated, service_role TO visibility_server",
    );
    postgres.sql(&format!("{TODOS}; INSERT INTO todos VALUES (1, '{}'), (2, '{}')", user(1), user(2)));
    let url = postgres.url().replace("postgres@", "visibility_server@");
    let catalog = Catalog::at(postgres, url, harness::WAIT_MAX).await;
    let (one, two) = (claims(1), claims(2));
    let clients = [("authenticated", &*one), ("anon", &*two), ("service_role", &*two), ("postgres", &*two)];
    let found = visible(&catalog, "todos", &keys([&["2"], &["1"]]), &clients).await;
    assert_eq!(found[..3], [Ok(vec![1]), Ok(vec![0]), Ok(vec![0, 1])]);
    assert!(found[3].as_ref().unwrap_err().reason.ends_with("(42501)"), "it may not act as this role");
    let postgres = &catalog.postgres;
    postgres.sql("REASSIGN OWNED BY visibility_server TO postgres; DROP OWNED BY visibility_server CASCADE");
}

#[tokio::test]
async fn rows_of_a_partitioned_table_are_found_under_its_name() {
    let catalog = Catalog::with(
        "CREATE TABLE parts (id int PRIMARY KEY, open boolean) PARTITION BY RANGE (id);
         CREATE TABLE part_1 PARTITION OF parts FOR VALUES FROM (0) TO (10);
         CREATE TABLE part_2 PARTITION OF parts FOR VALUES FROM (10) TO (20);
         ALTER TABLE parts ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON parts USING (open);
         GRANT SELECT ON parts TO anon; INSERT INTO parts VALUES (1, true), (11, true), (12, false)",
    )
    .await;
    let keys = keys([&["1"], &["11"], &["12"]]);
    assert_eq!(visible(&catalog, "parts", &keys, &[("anon", "{}")]).await, [Ok(vec![0, 1])]);
}

/// How many rows the policy of `counted` was evaluated for, so far.
fn evaluated(catalog: &Catalog) -> u64 {
    catalog
        .postgres
        .sql("SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM evaluated")
        .parse()
        .unwrap()
}

#[tokio::test]
async fn the_index_of_the_primary_key_is_used() {
    let catalog = Catalog::with(
        "CREATE SEQUENCE evaluated; GRANT USAGE ON SEQUENCE evaluated TO anon, authenticated;
         CREATE TABLE counted (a bigint, b text, PRIMARY KEY (a, b)); ALTER TABLE counted ENABLE ROW LEVEL SECURITY;
         CREATE POLICY p ON counted USING (nextval('evaluated') > 0); GRANT SELECT ON counted TO anon;
         GRANT SELECT (a, b) ON counted TO authenticated;
         INSERT INTO counted SELECT n, 'x' FROM generate_series(1, 20000) AS n; ANALYZE counted",
    )
    .await;
    let keys = keys([&["7", "x"], &["19000", "x"], &["500", "x"]]);
    for role in ["anon", "authenticated"] {
        let before = evaluated(&catalog);
        let found = visible(&catalog, "counted", &keys, &[(role, "{}"); 20]).await;
        assert_eq!(found, vec![Ok(vec![0, 1, 2]); 20]);
        assert_eq!(evaluated(&catalog) - before, 60, "for the rows of the keys only, as {role}");
    }
}

#[tokio::test]
async fn a_transaction_that_others_do_not_see_yet_is_too_early() {
    let catalog = Catalog::with("CREATE TABLE t (id int PRIMARY KEY); GRANT SELECT ON t TO anon").await;
    let mut session = catalog.postgres.session();
    session.run("BEGIN; INSERT INTO t VALUES (1)");
    let id = "SELECT backend_xid FROM pg_stat_activity WHERE datname = current_database() AND backend_xid IS NOT NULL";
    let id: u32 = catalog.postgres.sql(id).parse().unwrap();
    let (table, keys) = (catalog.table("t").await, keys([&["1"]]));
    let questions = [VisibilityQuestion { role: "anon", claims: "{}", keys: &[0] }];
    let ask = async |transactions: &[u32]| {
        let rows = LoggedRows { transactions, ..found_by(&keys) };
        catalog.database.visible_rows(&table, rows, &questions).await
    };
    assert_eq!(ask(&[3, id]).await, Err(LookupError::Hindered(Hindrance::TooEarly)));
    assert_eq!(ask(&[3]).await, Ok(vec![Ok(vec![])]), "an old one");
    session.run("COMMIT");
    assert_eq!(ask(&[3, id]).await, Ok(vec![Ok(vec![0])]));
}

#[tokio::test]
async fn slow_policies_are_asked_about_in_parts_and_one_that_is_too_slow_fails_alone() {
    let catalog = Catalog::with_query_timeout(Duration::from_secs(1), TODOS).await;
    catalog.postgres.sql(&format!(
        "INSERT INTO todos VALUES (1, '{}');
         CREATE POLICY slow ON todos AS RESTRICTIVE USING (
             pg_sleep((current_setting('request.jwt.claims')::jsonb ->> 'seconds')::float) IS NOT NULL)",
        user(1)
    ));
    let claims = |seconds: f32| format!(r#"{{"sub":"{}","seconds":{seconds}}}"#, user(1));
    let (quick, slow) = (claims(0.1), claims(60.0));
    let mut clients = vec![("authenticated", &*quick); 8];
    clients[3] = ("authenticated", &*slow);
    let found = visible(&catalog, "todos", &keys([&["1"]]), &clients).await;
    for (index, found) in found.into_iter().enumerate() {
        match index {
            3 => assert!(found.unwrap_err().reason.ends_with("(57014)")),
            _ => assert_eq!(found, Ok(vec![0]), "{index}"),
        }
    }
}

#[tokio::test]
async fn claims_are_not_in_the_log_of_the_database() {
    let postgres = harness::Postgres::alone(&[]);
    let url = postgres.url();
    let catalog = Catalog::at(postgres, url, Duration::from_millis(300)).await;
    catalog.postgres.sql(TODOS);
    catalog.postgres.sql(&format!(
        "INSERT INTO todos VALUES (1, '{}');
         CREATE POLICY fails ON todos AS RESTRICTIVE USING (1 / (current_setting('request.jwt.claims')::jsonb ->> 'n')::int > 0);
         CREATE POLICY slow ON todos AS RESTRICTIVE TO anon USING (pg_sleep(60) IS NULL)",
        user(1)
    ));
    let claims = |n: u8| format!(r#"{{"sub":"{}","n":{n},"email":"secret@example.com"}}"#, user(1));
    let (fails, fits) = (claims(0), claims(1));
    let clients =
        [("authenticated", &*fails), ("authenticated", "secret@"), ("anon", &*fits), ("potato", &*fits)];
    let found = visible(&catalog, "todos", &keys([&["1"]]), &clients).await;
    let states =
        found.iter().map(|found| found.as_ref().unwrap_err().reason.rsplit_once('(').unwrap().1.to_owned());
    assert_eq!(states.collect::<Vec<_>>(), ["22012)", "22P02)", "57014)", "42704)"]);
    let (table, question) =
        (catalog.table("todos").await, VisibilityQuestion { role: "anon", claims: &fits, keys: &[0] });
    catalog.database.visible_rows(&table, found_by(&keys([&["secret@"]])), &[question]).await.unwrap_err();
    // What is logged is found there.
    catalog.postgres.notices(
        "DO $$ BEGIN PERFORM 1 / 0; EXCEPTION WHEN division_by_zero THEN RAISE LOG 'the end'; END $$",
    );
    let log = std::fs::read_to_string(catalog.postgres.data().parent().unwrap().join("log")).unwrap();
    assert!(log.contains("the end"), "{log}");
    assert!(!log.contains("secret@"), "{log}");
}
