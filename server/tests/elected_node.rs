//! The node that reads the log of a database for all is stopped for longer than its session lasts: another one takes over, and no
//! message is delivered twice. The default tenant has the database of the store.

use std::time::{Duration, Instant};

use harness::{Client, Dialect, ManagedServer, Postgres, Redis, eventually};
use rustix::process::Signal;
use serde_json::{Value, json};

const PROGRAM: &str = env!("CARGO_BIN_EXE_realtime-server");

const ROOM: &str = "realtime:room";

/// A client of the default tenant, which has joined a room that broadcasts from the database reach.
async fn ready(node: &ManagedServer) -> Client {
    let mut client = node.connect_as(Dialect::V1, "anon").await;
    let config = json!({"broadcast": {"replication_ready": true}});
    client.push("1", ROOM, "phx_join", &json!({ "config": config })).await;
    for event in ["phx_reply", "system"] {
        assert_eq!(client.next_json().await["event"], event);
    }
    client
}

fn send(postgres: &Postgres, event: &str) {
    postgres.sql(&format!("SELECT realtime.send('{{}}', '{event}', 'room', false)"));
}

async fn event(client: &mut Client) -> Value {
    client.next_json().await["payload"]["event"].clone()
}

#[tokio::test]
async fn a_node_that_is_stopped_is_replaced_and_delivers_nothing_twice() {
    let (postgres, redis) = (Postgres::start(), Redis::start().await);
    let nodes = ManagedServer::two_nodes(PROGRAM, &postgres.url(), &redis.url());
    let [(one, _folder_of_one), (two, _folder_of_two)] = nodes;
    let mut ann = ready(&one).await;
    one.process.log_line("Reading broadcasts from the database");
    let mut bob = ready(&two).await;
    send(&postgres, "first");
    assert_eq!((event(&mut ann).await, event(&mut bob).await), (json!("first"), json!("first")));

    one.process.signal(Signal::STOP);
    let stopped = Instant::now();
    let notice = bob.next_json().await;
    assert_eq!(notice["payload"]["message"], "Messages from the database may have been missed", "{notice}");
    // Four seconds, instead of PostgreSQL's own minute.
    assert!(stopped.elapsed() < Duration::from_secs(16), "{:?}", stopped.elapsed());
    send(&postgres, "second");
    assert_eq!(event(&mut bob).await, "second");

    one.process.signal(Signal::CONT);
    let slots = "SELECT count(*) FROM pg_replication_slots WHERE database = current_database()";
    eventually("the node that was stopped answers", async || one.handshake("none").await == 404).await;
    send(&postgres, "third");
    assert_eq!(event(&mut bob).await, "third");
    bob.expect_quiet().await;
    assert_eq!(postgres.sql(slots), "1", "one node reads");
}
