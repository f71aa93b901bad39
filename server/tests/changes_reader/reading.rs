//! What a sink receives.

use harness::{Postgres, eventually};
use realtime_server::tenants::LogState;

use crate::node::{TABLE, TestNode, database};
use crate::sink::{TestSink, inserted, kinds};

#[tokio::test]
async fn rows_come_in_the_order_of_commits_after_the_definition_of_their_table() {
    let postgres = database();
    let (node, sink) = (TestNode::of(&postgres), TestSink::new());
    let _demand = node.follow(&sink);
    let (has_gap, mut received) = sink.begun().await;
    assert!(!has_gap, "it is the first session");
    node.until_changes(LogState::Reading).await;
    let (mut slow, mut quick) = (postgres.session(), postgres.session());
    slow.run("BEGIN; INSERT INTO notes VALUES ('second'), ('third')");
    quick.run("BEGIN; INSERT INTO notes VALUES ('first'); COMMIT");
    slow.run("COMMIT");
    let (mut all, mut rows) = (String::new(), Vec::new());
    while rows.len() < 3 || !all.ends_with('C') {
        let batch = received.batch().await;
        assert_eq!(batch.end.is_some(), kinds(&batch.messages).contains('C'));
        all += &kinds(&batch.messages);
        rows.extend(inserted(&batch.messages));
    }
    assert_eq!((&*all, rows), ("BRICBIIC", vec!["first".into(), "second".into(), "third".into()]));
}

#[tokio::test]
async fn the_slot_and_its_session_have_upstreams_names() {
    let postgres = Postgres::alone(&[]);
    postgres.sql(TABLE);
    let (node, sink) = (TestNode::of(&postgres), TestSink::new());
    let _demand = node.follow(&sink);
    let _session = sink.begun().await;
    let names = "SELECT slot_name, temporary, application_name
        FROM pg_replication_slots JOIN pg_stat_activity ON pid = active_pid ORDER BY slot_name";
    let expected = "supabase_realtime_messages_replication_slot_|t|realtime_replication_connection
supabase_realtime_replication_slot|t|realtime_rls";
    eventually("both are read", async || postgres.sql(names) == expected).await;
}

#[tokio::test]
async fn a_large_transaction_comes_in_several_batches() {
    const ROWS: usize = 10_000;
    let postgres = database();
    let (node, sink) = (TestNode::of(&postgres), TestSink::new());
    let _demand = node.follow(&sink);
    let (_, mut received) = sink.begun().await;
    postgres.sql(&format!("INSERT INTO notes SELECT generate_series(1, {ROWS})"));
    let (mut rows, mut batches) = (Vec::new(), 0);
    while rows.len() < ROWS {
        let batch = received.batch().await;
        assert!(batch.messages.len() <= 2_048, "{}", batch.messages.len());
        rows.extend(inserted(&batch.messages));
        batches += 1;
    }
    let expected: Vec<_> = (1..=ROWS).map(|row| row.to_string()).collect();
    assert_eq!(rows, expected);
    assert!(batches > ROWS / 2_048, "{batches}");
}

#[tokio::test]
async fn broadcasts_do_not_wait_for_changes() {
    let postgres = database();
    let (node, sink) = (TestNode::of(&postgres), TestSink::new());
    let _demand = node.follow(&sink);
    let (_, mut received) = sink.begun().await;
    let log = || node.databases.status("default").map(|status| status.log);
    eventually("broadcasts are read", async || log() == Some(LogState::Reading)).await;
    // More than the session, the queue and a batch have space for.
    postgres.sql("INSERT INTO notes SELECT lpad(n::text, 1000) FROM generate_series(1, 20000) n");
    postgres.sql("SELECT realtime.send('{}', 'event', 'room', false) FROM generate_series(1, 100)");
    eventually("all are published", async || node.broadcasts.count() == 100).await;
    assert_eq!(received.rows(20_000).await.len(), 20_000);
}
