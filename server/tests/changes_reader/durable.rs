//! The slot that keeps changes while no node reads them, and when it is dropped.

use std::time::Duration;

use harness::{Client, Dialect, ManagedServer, Postgres, eventually};
use realtime_server::tenants::database::{CHANGES_IDLE, UnusedSlots};
use rustix::process::Signal;
use serde_json::json;
use tempfile::TempDir;

use crate::node::{TABLE, TestNode};
use crate::sink::TestSink;

const PROGRAM: &str = env!("CARGO_BIN_EXE_realtime-server");

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

/// A server that keeps changes, in a process of its own, with a client that follows them.
async fn process(postgres: &Postgres) -> (ManagedServer, Client, TempDir) {
    let folder = tempfile::tempdir().expect("a folder for a server");
    let url = postgres.url();
    let variables = [
        ("DATABASE_URL", &*url),
        ("DB_ENC_KEY_GCM", "a key for AES-GCM of 32 bytes !!"),
        ("REALTIME__CHANGES__DURABLE", "true"),
    ];
    let server = ManagedServer::start(ManagedServer::command(PROGRAM, folder.path(), &variables));
    let mut client = server.connect_as(Dialect::V1, "authenticated").await;
    let config = json!({"postgres_changes": [{"schema": "public", "table": "notes"}]});
    client.push("1", "realtime:room", "phx_join", &json!({ "config": config })).await;
    until_slots(postgres, 1).await;
    (server, client, folder)
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

#[tokio::test]
async fn a_slot_that_a_killed_server_has_left_is_dropped_at_the_second_look() {
    let postgres = database();
    let node = TestNode::durable(&postgres, CHANGES_IDLE);
    let mut unused = UnusedSlots::new(&node.databases);
    let (server, _client, _folder) = process(&postgres).await;
    for _look in 0..3 {
        node.look(&mut unused).await;
        assert_eq!(postgres.sql(SLOTS), "1", "a session follows it");
    }
    server.process.signal(Signal::KILL);
    eventually("the session ends", async || postgres.sql(SESSIONS) == "0").await;
    node.look(&mut unused).await;
    assert_eq!(postgres.sql(SLOTS), "1", "its clients may come back");
    node.look(&mut unused).await;
    assert_eq!(postgres.sql(SLOTS), "0");
}

#[tokio::test]
async fn a_slot_for_clients_who_are_there_is_not_dropped_while_changes_cannot_be_read() {
    let postgres = database();
    let (node, sink) = (TestNode::durable(&postgres, CHANGES_IDLE), TestSink::new());
    let _demand = node.follow(&sink);
    let (_, received) = sink.begun().await;
    until_slots(&postgres, 1).await;
    postgres.sql(
        "DROP PUBLICATION supabase_realtime;
         SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'realtime_rls'",
    );
    received.ended().await;
    assert!(sink.unavailable().await.contains("does not exist"));
    let mut unused = UnusedSlots::new(&node.databases);
    for _look in 0..3 {
        node.look(&mut unused).await;
    }
    assert_eq!((&*postgres.sql(SESSIONS), &*postgres.sql(SLOTS)), ("0", "1"));
}

#[tokio::test]
async fn looks_are_repeated() {
    let postgres = database();
    let [left, node] = [(); 2].map(|()| TestNode::durable(&postgres, CHANGES_IDLE));
    let sink = TestSink::new();
    let _demand = left.follow(&sink);
    let (_, received) = sink.begun().await;
    until_slots(&postgres, 1).await;
    // Its client is still there: the slot stays for the next use of the database.
    drop(left);
    received.ended().await;
    eventually("the session ends", async || postgres.sql(SESSIONS) == "0").await;
    tokio::select! {
        () = node.keep_looking(IDLE) => unreachable!("it does not end"),
        () = until_slots(&postgres, 0) => {}
    }
}
