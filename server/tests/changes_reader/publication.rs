//! Publications that are missing, empty, made, dropped and made again, and databases without a logical log.

use std::time::Duration;

use harness::Postgres;
use realtime_server::tenants::LogState;

use crate::node::{TABLE, TestNode, database};
use crate::sink::TestSink;

/// What clients are shown, to which operators are given the statement that ends it.
fn unavailable(shown: &str, statement: &str) -> LogState {
    LogState::Unavailable { shown: shown.to_owned().into(), reason: format!("{shown}: `{statement}`").into() }
}

#[tokio::test]
async fn a_publication_is_read_as_soon_as_it_has_a_table() {
    let postgres = Postgres::start();
    let (mut node, sink) = (TestNode::of(&postgres), TestSink::new());
    node.reconfigure(|database| database.publication = Some("feed".into()));
    let _demand = node.follow(&sink);
    node.until_changes(unavailable("the publication `feed` does not exist", r#"CREATE PUBLICATION "feed""#))
        .await;
    postgres.sql("CREATE PUBLICATION feed");
    node.databases.note_publication_changed("default");
    node.until_changes(unavailable(
        "the publication `feed` has no table",
        r#"ALTER PUBLICATION "feed" ADD TABLE …"#,
    ))
    .await;
    assert_eq!(
        postgres.sql(
            "SELECT count(*) FROM pg_replication_slots WHERE database = current_database()
             AND slot_name NOT LIKE '%messages%'"
        ),
        "0"
    );
    postgres.sql("CREATE TABLE notes (body text); ALTER PUBLICATION feed ADD TABLE notes");
    // Without a note of it, within 5 seconds.
    let (has_gap, mut received) = sink.begun_within(Duration::from_secs(10)).await;
    assert!(!has_gap);
    postgres.sql("INSERT INTO notes VALUES ('one')");
    assert_eq!(received.rows(1).await, ["one"]);
}

#[tokio::test]
async fn a_publication_that_is_dropped_and_made_again_is_read_again() {
    let postgres = database();
    let (node, sink) = (TestNode::of(&postgres), TestSink::new());
    let _demand = node.follow(&sink);
    let (_, received) = sink.begun().await;
    postgres.sql("DROP PUBLICATION supabase_realtime; INSERT INTO notes VALUES ('not published')");
    received.ended().await;
    let missing = "the publication `supabase_realtime` does not exist";
    assert_eq!(sink.unavailable().await, missing);
    node.until_changes(unavailable(missing, r#"CREATE PUBLICATION "supabase_realtime""#)).await;
    postgres.sql("CREATE PUBLICATION supabase_realtime FOR TABLE notes");
    node.databases.note_publication_changed("default");
    let (has_gap, mut received) = sink.begun().await;
    assert!(has_gap);
    postgres.sql("INSERT INTO notes VALUES ('published')");
    assert_eq!(received.rows(1).await, ["published"]);
}

#[tokio::test]
async fn a_log_that_is_not_logical_is_reported() {
    let postgres = Postgres::alone(&["wal_level=replica"]);
    postgres.sql(TABLE);
    let (node, sink) = (TestNode::of(&postgres), TestSink::new());
    let _demand = node.follow(&sink);
    let expected = LogState::Unavailable {
        shown: "`wal_level` of the database is not `logical`".into(),
        reason: "`wal_level` of the database is `replica`, and must be `logical`".into(),
    };
    node.until_changes(expected).await;
}
