//! Nodes that share a bus: one reads, and another one takes over.

use std::time::{Duration, Instant};

use harness::{ChaosProxy, Postgres};
use realtime_server::tenants::LogState;

use crate::node::{TestNode, database};
use crate::sink::{Received, TestSink};

/// Another node reads within this time.
const TAKEOVER_MAX: Duration = Duration::from_secs(6);

/// The next node has taken over, and reads what is written now.
async fn reads_after_gap(postgres: &Postgres, sink: &TestSink) {
    let begun = Instant::now();
    let (has_gap, mut received): (bool, Received) = sink.begun_within(TAKEOVER_MAX).await;
    assert!(has_gap && begun.elapsed() < TAKEOVER_MAX);
    postgres.sql("INSERT INTO notes VALUES ('later')");
    assert_eq!(received.rows(1).await, ["later"]);
}

#[tokio::test]
async fn one_node_reads_until_it_stops() {
    let postgres = database();
    let nodes = [(); 2].map(|()| TestNode::one_of_several(&postgres, postgres.address()));
    let sinks = [TestSink::new(), TestSink::new()];
    let [one, two] = nodes;
    let _demand = one.follow(&sinks[0]);
    let (_, session) = sinks[0].begun().await;
    let _other = two.follow(&sinks[1]);
    two.until_changes(LogState::ReadElsewhere).await;
    drop(one);
    session.ended().await;
    reads_after_gap(&postgres, &sinks[1]).await;
}

#[tokio::test]
async fn a_node_that_is_cut_off_is_replaced() {
    let postgres = database();
    let proxy = ChaosProxy::to(postgres.address()).await;
    let one = TestNode::one_of_several(&postgres, proxy.address());
    let two = TestNode::one_of_several(&postgres, postgres.address());
    let sinks = [TestSink::new(), TestSink::new()];
    let _first = one.follow(&sinks[0]);
    let _session = sinks[0].begun().await;
    let _second = two.follow(&sinks[1]);
    two.until_changes(LogState::ReadElsewhere).await;
    proxy.stick();
    reads_after_gap(&postgres, &sinks[1]).await;
}
