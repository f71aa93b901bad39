//! A node that reads changes of tables is killed, or stopped for longer than its session lasts: clients of another node, which
//! reads for itself, miss nothing, and its own are notified. The default tenant has the database of the store.

use std::ops::Range;
use std::time::{Duration, Instant};

use harness::{Client, Dialect, ManagedServer, Postgres, Redis, eventually};
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_realtime-server");

const ROOM: &str = "realtime:room";

const ROLE: &str = "authenticated";

/// PostgreSQL ends the sessions of a node of which it hears nothing within this time, and some for a slow machine.
const SESSIONS_END_MAX: Duration = Duration::from_secs(15);

/// Two nodes on one bus, with a published table.
struct Cluster {
    postgres: Postgres,
    one: ManagedServer,
    two: ManagedServer,
    _redis: Redis,
    _folders: [TempDir; 2],
}

impl Cluster {
    async fn start() -> Self {
        // In a cluster of its own: a new slot waits for the transactions that are open, whatever their database is.
        let (postgres, redis) = (Postgres::alone(&[]), Redis::start().await);
        let nodes = ManagedServer::two_nodes(PROGRAM, &postgres.url(), &redis.url());
        let [(one, folder_of_one), (two, folder_of_two)] = nodes;
        let cluster = Self { postgres, one, two, _redis: redis, _folders: [folder_of_one, folder_of_two] };
        cluster.publish_table().await;
        cluster
    }

    /// The server makes roles and publication when a client has joined.
    async fn publish_table(&self) {
        let mut first = self.one.connect_as(Dialect::V1, ROLE).await;
        first.push("1", ROOM, "phx_join", &json!({"config": {}})).await;
        let made = "SELECT count(*) FROM pg_publication WHERE pubname = 'supabase_realtime'";
        eventually("the publication is made", async || self.postgres.sql(made) == "1").await;
        self.postgres.sql(
            "CREATE TABLE public.notes (id int PRIMARY KEY); GRANT SELECT ON public.notes TO authenticated;
             ALTER PUBLICATION supabase_realtime ADD TABLE public.notes",
        );
    }

    fn insert(&self, ids: Range<i32>) {
        let Range { start, end } = ids;
        self.postgres.sql(&format!("INSERT INTO public.notes SELECT generate_series({start}, {})", end - 1));
    }
}

async fn subscribed(node: &ManagedServer) -> Client {
    let mut client = node.connect_as(Dialect::V1, ROLE).await;
    let config = json!({"postgres_changes": [{"schema": "public", "table": "notes"}]});
    client.push("1", ROOM, "phx_join", &json!({ "config": config })).await;
    assert_eq!(next(&mut client).await["payload"]["status"], "ok");
    assert_eq!(next(&mut client).await["payload"]["message"], "Subscribed to PostgreSQL");
    client
}

/// The next message that is about changes: not one about presence, or about broadcasts of the database.
async fn next(client: &mut Client) -> Value {
    loop {
        let message = client.next_json().await;
        let is_about_broadcasts = message["event"] == "system" && message["payload"]["extension"] == "system";
        if message["event"] != "presence_state" && !is_about_broadcasts {
            return message;
        }
    }
}

/// The next messages are these rows, and no notice is among them.
async fn expect_rows(client: &mut Client, ids: Range<i32>) {
    for id in ids {
        let message = next(client).await;
        assert_eq!(message["payload"]["data"]["record"]["id"], id, "{message}");
    }
}

#[tokio::test]
async fn a_node_that_is_killed_in_a_transaction_costs_clients_of_others_none() {
    let cluster = Cluster::start().await;
    let mut ann = subscribed(&cluster.one).await;
    let mut bob = subscribed(&cluster.two).await;
    cluster.insert(0..5_000);
    expect_rows(&mut ann, 0..100).await;
    cluster.one.process.signal(Signal::KILL);
    expect_rows(&mut bob, 0..5_000).await;

    // Its clients continue where changes are read already, also while a transaction is open that a new slot would wait for.
    let mut open = cluster.postgres.session();
    open.run("BEGIN; INSERT INTO public.notes VALUES (-1)");
    let mut ann = subscribed(&cluster.two).await;
    cluster.insert(5_000..5_010);
    for client in [&mut ann, &mut bob] {
        expect_rows(client, 5_000..5_010).await;
        client.expect_quiet().await;
    }
}

#[tokio::test]
async fn a_node_that_was_stopped_notifies_its_clients_and_delivers_nothing_twice() {
    let cluster = Cluster::start().await;
    let mut ann = subscribed(&cluster.one).await;
    let sessions =
        cluster.postgres.sql("SELECT string_agg(active_pid::text, ', ') FROM pg_replication_slots");
    let mut bob = subscribed(&cluster.two).await;
    cluster.insert(0..10);
    for client in [&mut ann, &mut bob] {
        expect_rows(client, 0..10).await;
    }
    cluster.one.process.signal(Signal::STOP);
    cluster.insert(10..20);
    expect_rows(&mut bob, 10..20).await;
    let stopped = Instant::now();
    let left = format!("SELECT count(*) FROM pg_replication_slots WHERE active_pid IN ({sessions})");
    while cluster.postgres.sql(&left) != "0" {
        assert!(stopped.elapsed() < SESSIONS_END_MAX, "its sessions do not end");
    }
    cluster.insert(20..30);
    cluster.one.process.signal(Signal::CONT);

    let (mut received, mut notices) = (Vec::new(), Vec::new());
    while notices.len() < 2 {
        let message = next(&mut ann).await;
        match message["payload"]["data"]["record"]["id"].as_i64() {
            Some(id) => received.push(id),
            None => notices.push(message["payload"]["message"].clone()),
        }
    }
    assert_eq!(notices, ["Changes may have been missed", "Subscribed to PostgreSQL"]);
    assert!(received.iter().all(|id| *id >= 10) && received.is_sorted_by(|one, next| one < next));
    cluster.insert(30..40);
    expect_rows(&mut ann, 30..40).await;
    expect_rows(&mut bob, 20..40).await;
    for client in [&mut ann, &mut bob] {
        client.expect_quiet().await;
    }
}
