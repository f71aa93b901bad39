//! Changes are read while there is demand for them.

use std::num::NonZeroU32;
use std::time::Duration;

use harness::eventually;

use crate::node::{TestNode, database};
use crate::sink::TestSink;

const IDLE: Duration = Duration::from_millis(200);

#[tokio::test]
async fn reading_ends_some_time_after_the_last_demand_and_begins_anew_with_the_next() {
    let postgres = database();
    let (node, sink) = (TestNode::idle_after(&postgres, IDLE), TestSink::new());
    let demands = [node.follow(&sink), node.follow(&sink)];
    let (_, session) = sink.begun().await;
    let [first, last] = demands;
    drop(first);
    assert!(node.changes().is_some());
    drop(last);
    session.ended().await;
    eventually("nothing is followed", async || node.changes().is_none()).await;
    let slots = "SELECT count(*) FROM pg_replication_slots JOIN pg_stat_activity ON pid = active_pid
        WHERE application_name = 'realtime_rls' AND datname = current_database()";
    eventually("the slot is gone", async || postgres.sql(slots) == "0").await;
    let _demand = node.follow(&sink);
    let (has_gap, _session) = sink.begun().await;
    assert!(!has_gap, "it is another demand");
}

#[tokio::test]
async fn a_demand_that_comes_back_in_time_keeps_the_session() {
    let postgres = database();
    let (node, sink) = (TestNode::of(&postgres), TestSink::new());
    let demand = node.follow(&sink);
    let (_, mut received) = sink.begun().await;
    drop(demand);
    postgres.sql("INSERT INTO notes VALUES ('in between')");
    let _demand = node.follow(&sink);
    assert_eq!(received.rows(1).await, ["in between"]);
    assert!(sink.is_unchanged().await);
}

#[tokio::test]
async fn demands_stay_when_the_settings_of_the_database_change() {
    let postgres = database();
    let (mut node, sink) = (TestNode::of(&postgres), TestSink::new());
    let _demand = node.follow(&sink);
    let (_, session) = sink.begun().await;
    node.reconfigure(|database| database.max_connections = NonZeroU32::new(3));
    session.ended().await;
    let (has_gap, mut received) = sink.begun().await;
    assert!(has_gap);
    postgres.sql("INSERT INTO notes VALUES ('with other settings')");
    assert_eq!(received.rows(1).await, ["with other settings"]);
}

#[tokio::test]
async fn another_sink_replaces_the_one_before() {
    let postgres = database();
    let (node, sinks) = (TestNode::of(&postgres), [TestSink::new(), TestSink::new()]);
    let _first = node.follow(&sinks[0]);
    let (_, session) = sinks[0].begun().await;
    let _second = node.follow(&sinks[1]);
    session.ended().await;
    let (has_gap, mut received) = sinks[1].begun().await;
    assert!(has_gap);
    postgres.sql("INSERT INTO notes VALUES ('for the second')");
    assert_eq!(received.rows(1).await, ["for the second"]);
}
