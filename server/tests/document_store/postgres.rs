//! Documents in a database.

use std::time::{Duration, Instant};

use harness::WAIT_MAX;
use realtime_server::store::StoreError;
use rustix::process::Signal;

use super::*;

#[tokio::test]
async fn a_state_that_was_written_by_hand_is_read_merged_and_deleted() {
    let Kept(store, postgres) = postgres().await;
    let document = named(None, "room", "doc");
    postgres.sql("INSERT INTO documents (room_id, doc_id, state) VALUES ('room', 'doc', 'a')");
    assert_eq!(contents(&*store, &document).await, Some(b"a".into()));
    assert_eq!(contents(&*store, &named(Some("acme"), "room", "doc")).await, None);
    store.append(&updates(&document, b"b")).await.unwrap();
    store.compact(&document, joining()).await.unwrap();
    let rows = "SELECT state, updated_at > created_at FROM documents";
    assert_eq!(postgres.sql(rows), "\\x6162|t");
    assert!(store.delete_document(&document).await.unwrap());
    assert_eq!(postgres.sql("SELECT count(*) FROM documents"), "0");
}

#[tokio::test]
async fn a_row_of_the_log_has_its_user_and_its_tenant() {
    let Kept(store, postgres) = postgres().await;
    let mut batch = updates(&named(Some("acme"), "room", "doc"), b"ab");
    batch[1].user = None;
    store.append(&batch).await.unwrap();
    store.append(&updates(&named(None, "room", "doc"), b"c")).await.unwrap();
    let rows = "SELECT tenant, room_id, doc_id, update, user_id, now() - created_at < '1 min' FROM document_updates ORDER BY id";
    assert_eq!(
        postgres.sql(rows),
        "acme|room|doc|\\x61|ann|t\nacme|room|doc|\\x62||t\n|room|doc|\\x63|ann|t"
    );
}

#[tokio::test]
async fn tables_are_where_they_were_migrated() {
    let postgres = Postgres::start();
    postgres.sql("CREATE SCHEMA \"odd \"\"name\"");
    let after_connect = "SET search_path TO _realtime, \"odd \"\"name\", public";
    let settings =
        settings::Store { after_connect_query: Some(after_connect.into()), ..settings_of(&postgres) };
    let store = PostgresStore::new(&settings).unwrap();
    let document = named(None, "room", "doc");
    let Err(StoreError::Unavailable(error)) = store.document(&document).await else {
        panic!("it is migrated")
    };
    assert!(error.contains(r#""odd ""name".document_updates"#) && error.contains("migrate`"), "{error}");
    store.documents().migrate().await.unwrap();
    store.append(&updates(&document, b"a")).await.unwrap();
    store.compact(&document, joining()).await.unwrap();
    assert_eq!(postgres.sql(r#"SELECT state FROM "odd ""name".documents"#), "\\x61");
}

/// Whether all that is written to the log of the cluster is on its disk.
const IS_FLUSHED: &str = "SELECT pg_current_wal_flush_lsn() = pg_current_wal_insert_lsn()";

#[tokio::test]
async fn what_is_appended_survives_the_end_of_a_database_whose_commits_do_not_wait() {
    let postgres = Postgres::alone(&["wal_writer_delay=10s", "autovacuum=off"]);
    let store = connect(&postgres);
    store.documents().migrate().await.unwrap();
    postgres.sql("ALTER ROLE postgres SET synchronous_commit = off; ALTER DATABASE postgres SET synchronous_commit = off");
    let store = PostgresStore::new(&settings_of(&postgres)).unwrap();
    let (document, deleted) = (named(None, "room", "doc"), named(None, "room", "deleted"));
    store.append(&updates(&deleted, b"x")).await.unwrap();
    // The statement is prepared by now, as it is from then on.
    for byte in [b"a", b"b"] {
        postgres.sql("CREATE TABLE IF NOT EXISTS others (); INSERT INTO others DEFAULT VALUES");
        assert_eq!(postgres.sql(IS_FLUSHED), "f", "a commit that does not wait");
        store.append(&updates(&document, byte)).await.unwrap();
        assert_eq!(postgres.sql(IS_FLUSHED), "t");
    }
    assert!(store.delete_document(&deleted).await.unwrap());
    postgres.end(Signal::KILL);
    let away = store.document(&document).await;
    assert!(matches!(away, Err(StoreError::Unavailable(_))), "{away:?}");
    postgres.start_again();
    assert_eq!(contents(&store, &document).await, Some(b"ab".into()));
    assert_eq!(contents(&store, &deleted).await, None);
    assert_eq!(postgres.sql("SHOW synchronous_commit"), "off");
}

#[tokio::test]
async fn connections_that_were_closed_or_lead_to_no_writer_any_more_fail_no_append() {
    let postgres = Postgres::alone(&[]);
    let store = connect(&postgres);
    store.documents().migrate().await.unwrap();
    let document = named(None, "room", "doc");
    // Sessions that are there become read-only, and new ones are not.
    postgres.sql("ALTER ROLE postgres SET default_transaction_read_only = off");
    let demote = "ALTER SYSTEM SET default_transaction_read_only = on; SELECT pg_reload_conf()";
    let disconnect = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name LIKE 'supabase%'";
    let mut expected = Vec::new();
    for fault in [disconnect, demote] {
        store.append(&updates(&document, b"a")).await.unwrap();
        for statement in fault.split("; ") {
            postgres.sql(statement);
        }
        store.append(&updates(&document, b"b")).await.unwrap();
        expected.extend_from_slice(b"ab");
        assert_eq!(contents(&store, &document).await, Some(expected.clone()));
    }
    // As of a standby, no other session writes.
    postgres.sql(
        "SET default_transaction_read_only = off; ALTER ROLE postgres RESET default_transaction_read_only",
    );
    postgres.sql(disconnect);
    let refused = store.append(&updates(&document, b"c")).await;
    assert!(matches!(refused, Err(StoreError::ReadOnly(_))), "{refused:?}");
    let refused = store.compact(&document, joining()).await;
    assert!(matches!(refused, Err(CompactionError::Store(StoreError::ReadOnly(_)))), "{refused:?}");
    assert_eq!(contents(&store, &document).await, Some(expected));
}

#[tokio::test]
async fn a_permission_that_is_missing_is_an_error_that_names_the_table() {
    let Kept(_store, postgres) = postgres().await;
    let user =
        "CREATE ROLE documents_reader LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO documents_reader";
    postgres.sql(user);
    let url = postgres.url().replace("postgres@", "documents_reader@");
    let store = PostgresStore::new(&settings::Store { url: Some(url.into()), ..Default::default() }).unwrap();
    let document = named(None, "room", "doc");
    let refused = store.append(&updates(&document, b"a")).await.unwrap_err();
    assert!(matches!(&refused, StoreError::Rejected(text) if text.contains("document_updates")), "{refused}");
    assert_eq!(store.document(&document).await, Ok(None));
    drop(store);
    postgres.sql("DROP OWNED BY documents_reader; DROP ROLE documents_reader");
}

#[tokio::test]
async fn a_database_that_does_not_answer_in_time_is_away() {
    let postgres = Postgres::start();
    let settings = settings::Store { timeout: Duration::from_millis(300), ..settings_of(&postgres) };
    let store = PostgresStore::new(&settings).unwrap();
    connect(&postgres).documents().migrate().await.unwrap();
    let document = named(None, "room", "doc");
    store.append(&updates(&document, b"a")).await.unwrap();
    let mut other = postgres.session();
    other.run("BEGIN; LOCK document_updates, documents");
    let append = updates(&document, b"b");
    let all = [
        store.append(&append).map(|it| it.map(drop)).boxed(),
        store.document(&document).map(|it| it.map(drop)).boxed(),
        store.delete_document(&document).map(|it| it.map(drop)).boxed(),
    ];
    for waiting in all {
        let late = waiting.await;
        assert!(matches!(late, Err(StoreError::Unavailable(_))), "{late:?}");
    }
    other.run("COMMIT");
    // The statements that were given up end with their connections, and the pool has room for others.
    let deadline = Instant::now() + WAIT_MAX;
    while store.append(&append).await.is_err() {
        assert!(Instant::now() < deadline, "it stays away");
    }
}

// With a sequential scan an open document would cost as much as all others together.
#[tokio::test]
async fn a_document_among_a_hundred_thousand_is_found_by_an_index() {
    let Kept(store, postgres) = postgres().await;
    let rooms = "'room ' || number, 'doc'";
    let numbers = "FROM generate_series(1, 100000) number";
    postgres.sql(&format!(
        "INSERT INTO documents (room_id, doc_id, state) SELECT {rooms}, 'a'::bytea {numbers};
         INSERT INTO tenant_documents (tenant, room_id, doc_id, state) SELECT 'acme', {rooms}, 'a'::bytea {numbers};
         INSERT INTO document_updates (tenant, room_id, doc_id, update) SELECT '', {rooms}, 'b'::bytea {numbers};
         INSERT INTO document_updates (tenant, room_id, doc_id, update) SELECT 'acme', {rooms}, 'b'::bytea {numbers};
         ANALYZE"
    ));
    // Rows that scans of tables have read, and scans of indexes.
    let scans = || {
        let scans = postgres.sql(
            "SELECT sum(seq_tup_read), sum(idx_scan) FROM pg_stat_user_tables
             WHERE relname IN ('documents', 'tenant_documents', 'document_updates')",
        );
        let (rows, of_indexes) = scans.split_once('|').unwrap();
        (rows.parse::<u64>().unwrap(), of_indexes.parse::<u64>().unwrap())
    };
    // More often than PostgreSQL plans a prepared statement for the values of each execution.
    for number in 1..=7 {
        for document in [None, Some("acme")].map(|tenant| named(tenant, &format!("room {number}"), "doc")) {
            assert_eq!(contents(&*store, &document).await, Some(b"ab".into()));
            store.compact(&document, joining()).await.unwrap().unwrap();
            assert_eq!(contents(&*store, &document).await, Some(b"ab".into()));
            assert!(store.delete_document(&document).await.unwrap());
        }
    }
    // Sessions report what they have done when they end.
    drop(store);
    let deadline = Instant::now() + WAIT_MAX;
    while scans().1 < 14 * 8 {
        assert!(Instant::now() < deadline, "{:?}", scans());
        tokio::task::yield_now().await;
    }
    assert_eq!(scans().0, 0);
}
