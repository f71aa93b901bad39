//! A receiver that takes nothing for a while, and what is confirmed to PostgreSQL.

use std::time::{Duration, Instant};

use harness::{Postgres, eventually};

use crate::node::{TABLE, TestNode, database};
use crate::sink::TestSink;

const ROWS: usize = 100_000;

/// The lag is looked at every 10 seconds.
const LIMIT: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_takes_nothing_stops_the_reading_and_loses_nothing() {
    let postgres = Postgres::alone(&["fsync=off"]);
    postgres.sql(TABLE);
    let (node, sink) = (TestNode::of(&postgres), TestSink::new());
    let _demand = node.follow(&sink);
    let (_, mut received) = sink.begun().await;
    // In 100 transactions, since what is behind is counted from the last one that was handled.
    postgres.sql(&format!(
        "DO $$ BEGIN FOR part IN 0..99 LOOP
             INSERT INTO notes SELECT lpad((part * {ROWS} / 100 + n)::text, 1000) FROM generate_series(1, {ROWS} / 100) n;
             COMMIT;
         END LOOP; END $$"
    ));
    let now = postgres.sql("SELECT now()");
    // For longer than PostgreSQL keeps a session of which it hears nothing.
    let waiting = format!(
        "SELECT wait_event = 'WalSenderWriteData' AND reply_time > '{now}'::timestamptz + interval '6 s'
         FROM pg_stat_replication JOIN pg_stat_activity USING (pid) WHERE pg_stat_activity.application_name = 'realtime_rls'"
    );
    let lag = || node.databases.status("default").and_then(|status| Some(status.changes?.lag));
    let begun = Instant::now();
    while postgres.sql(&waiting) != "t" || lag().is_none_or(|lag| lag < ROWS as u64 * 900) {
        assert!(begun.elapsed() < LIMIT, "the session does not wait: {:?}", lag());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for (number, row) in (1..).zip(received.rows(ROWS).await) {
        assert_eq!(row.trim_start(), number.to_string());
    }
    assert!(sink.is_unchanged().await, "it is the same session");
}

#[tokio::test]
async fn a_transaction_is_confirmed_when_it_has_been_handled() {
    let postgres = database();
    let (node, sink) = (TestNode::of(&postgres), TestSink::new());
    let _demand = node.follow(&sink);
    let (_, mut received) = sink.begun().await;
    postgres.sql("INSERT INTO notes VALUES ('one')");
    let (batch, end) = loop {
        let batch = received.batch().await;
        if let Some(end) = batch.end {
            break (batch, end);
        }
    };
    let progress = format!(
        "SELECT confirmed_flush_lsn >= '{end}' FROM pg_replication_slots JOIN pg_stat_activity ON pid = active_pid
         WHERE application_name = 'realtime_rls' AND database = current_database()"
    );
    let reports = "SELECT max(reply_time) FROM pg_stat_replication JOIN pg_stat_activity USING (pid)
        WHERE pg_stat_activity.application_name = 'realtime_rls' AND datname = current_database()";
    // Reports do not confirm it: two of them, whatever they say of keep-alives.
    for _ in 0..2 {
        let last = postgres.sql(reports);
        eventually("a report", async || postgres.sql(reports) != last).await;
    }
    assert_eq!(postgres.sql(&progress), "f");
    batch.receipt.handled();
    eventually("it is confirmed", async || postgres.sql(&progress) == "t").await;
}

// A process that is stopped runs nothing. So does one whose only thread waits.
#[tokio::test(flavor = "current_thread")]
async fn what_was_received_before_a_process_was_stopped_is_not_current() {
    let postgres = database();
    let (node, sink) = (TestNode::of(&postgres), TestSink::new());
    let _demand = node.follow(&sink);
    let (_, mut received) = sink.begun().await;
    postgres.sql("INSERT INTO notes VALUES ('old news')");
    let batch = received.batch().await;
    assert!(batch.receipt.is_current());
    postgres.sql("SELECT pg_sleep(5)");
    assert!(!batch.receipt.is_current());
    drop(batch);
    received.ended().await;
    let (has_gap, mut received) = sink.begun().await;
    assert!(has_gap);
    postgres.sql("INSERT INTO notes VALUES ('news')");
    assert_eq!(received.rows(1).await, ["news"]);
}
