//! The slot that keeps changes while no node reads them, and when it is dropped.

use std::time::Duration;

use harness::{Postgres, eventually};

use crate::node::{TABLE, TestNode};
use crate::sink::TestSink;

const SLOTS: &str = "SELECT count(*) FROM pg_replication_slots WHERE slot_name LIKE '%durable%'";

const SESSIONS: &str = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'realtime_rls'";

const IDLE: Duration = Duration::from_millis(200);

/// A cluster of its own, which limits what slots retain.
fn database() -> Postgres {
    let postgres = Postgres::alone(&["max_slot_wal_keep_size=1GB"]);
    postgres.sql(TABLE);
    postgres
}

async fn until_slots(postgres: &Postgres, count: usize) {
    let count = count.to_string();
    eventually(&format!("slots that keep changes: {count}"), async || postgres.sql(SLOTS) == count).await;
}

#[tokio::test]
async fn a_slot_goes_some_time_after_the_last_demand_of_all_nodes() {
    let postgres = database();
    let (nodes, sink) = ([(); 2].map(|()| TestNode::durable(&postgres, IDLE)), TestSink::new());
    let demands = nodes.each_ref().map(|node| node.follow(&sink));
    let (_, first) = sink.begun().await;
    let (_, second) = sink.begun().await;
    until_slots(&postgres, 1).await;
    let [of_one, of_two] = demands;
    drop(of_one);
    eventually("one node reads", async || postgres.sql(SESSIONS) == "1").await;
    assert_eq!(postgres.sql(SLOTS), "1");
    drop(of_two);
    until_slots(&postgres, 0).await;
    first.ended().await;
    second.ended().await;
}
