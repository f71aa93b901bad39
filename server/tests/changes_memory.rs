//! What changes of tables take while they are sent stays small, whatever clients have subscribed to, and whether or not they read.
//! Measured as the peak of the resident memory of the program.

use std::ops::Range;
use std::process::Stdio;
use std::time::Duration;

use harness::{
    Client, Dialect, Frame, ManagedServer, Postgres, RawFrame, RawSocket, eventually, eventually_within,
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Channels of a client, as many as it may have.
const CHANNELS: usize = 100;

/// Bytes of the value of a row, so that a row is 90 MB for all channels of a client together.
const VALUE: usize = 900_000;

/// How long rows may take on a slow machine.
const ROWS_MAX: Duration = Duration::from_secs(30);

/// The queues of the clients have 8 MiB each; the rest is a few times a row.
const GROWTH_MAX: usize = 70 << 20;

const FIRST_ROOM: &str = "realtime:0";

const ROLE: &str = "authenticated";

/// A running program, whose default tenant has the database of the store, with a published table.
struct Program {
    postgres: Postgres,
    server: ManagedServer,
    _folder: TempDir,
}

impl Program {
    async fn start() -> Program {
        let (postgres, folder) = (Postgres::alone(&[]), tempfile::tempdir().expect("a folder for the test"));
        let url = postgres.url();
        let variables = [
            ("DATABASE_URL", &*url),
            ("DB_ENC_KEY_GCM", "a key for AES-GCM of 32 bytes !!"),
            ("REALTIME__SERVER__MEMORY_BUDGET", "256 MiB"),
            ("REALTIME__LIMITS__MAX_EVENTS_PER_SECOND", "1000000"),
        ];
        let program = env!("CARGO_BIN_EXE_realtime-server");
        let mut command = ManagedServer::command(program, folder.path(), &variables);
        command.stdout(Stdio::null());
        let program = Program { postgres, server: ManagedServer::start(command), _folder: folder };
        program.publish_table().await;
        program
    }

    /// The server makes roles and publication when a client has joined.
    async fn publish_table(&self) {
        let mut first = self.server.connect_as(Dialect::V2, ROLE).await;
        first.join(FIRST_ROOM, json!({})).await;
        let made = "SELECT count(*) FROM pg_publication WHERE pubname = 'supabase_realtime'";
        eventually("the publication is made", async || self.postgres.sql(made) == "1").await;
        self.postgres.sql(
            "CREATE TABLE public.notes (id int PRIMARY KEY, body text); GRANT SELECT ON public.notes TO authenticated;
             ALTER PUBLICATION supabase_realtime ADD TABLE public.notes",
        );
    }

    /// A client that has subscribed with this binding in all of its channels, and reads nothing after that, nor answers anything.
    async fn subscribed_without_reading(&self, binding: &Value) -> RawSocket {
        let mut socket = self.server.world.raw_at(&ManagedServer::target_as(Dialect::V2, ROLE), &[]).await;
        for room in 0..CHANNELS {
            let config = json!({"config": {"postgres_changes": [binding]}});
            let join = json!(["1", "1", format!("realtime:{room}"), "phx_join", config]);
            socket.send(&RawFrame::text(&join.to_string())).await;
        }
        let mut subscribed = 0;
        while subscribed < CHANNELS {
            let frame = socket.next().await.expect("the connection stays");
            // A control frame is no JSON.
            let message: Value = serde_json::from_slice(&frame.payload).unwrap_or_default();
            subscribed += usize::from(message[4]["message"] == "Subscribed to PostgreSQL");
        }
        socket
    }

    /// Inserts rows, each in a transaction of its own.
    fn insert(&self, ids: Range<i32>) {
        for id in ids {
            let body = format!("repeat('x', {VALUE})");
            self.postgres.sql(&format!("INSERT INTO public.notes VALUES ({id}, {body})"));
        }
    }
}

/// A client that has subscribed, and reads.
async fn reader(program: &Program) -> Client {
    let mut client = program.server.connect_as(Dialect::V2, ROLE).await;
    let config = json!({"postgres_changes": [{"schema": "public", "table": "notes"}]});
    client.push("1", "realtime:reader", "phx_join", &json!({ "config": config })).await;
    while client.next_json().await[4]["message"] != "Subscribed to PostgreSQL" {}
    client
}

/// The next rows that a client receives are these.
async fn expect_rows(client: &mut Client, ids: Range<i32>) {
    let mut received = Vec::new();
    eventually_within(ROWS_MAX, "the rows are received", async || {
        for frame in client.received().await {
            let Frame::Json(message) = frame else { panic!("expected JSON, got {frame}") };
            received.extend(message[4]["data"]["record"]["id"].as_i64());
        }
        received.len() >= ids.len()
    })
    .await;
    assert!(received.iter().copied().eq(ids.map(i64::from)), "{received:?}");
}

#[tokio::test]
async fn rows_for_clients_that_never_read_take_little_memory_and_reach_the_others() {
    let program = Program::start().await;
    let mut ann = reader(&program).await;
    let mut silent = Vec::new();
    for _ in 0..3 {
        silent.push(program.subscribed_without_reading(&json!({"schema": "public", "table": "notes"})).await);
    }
    let before = program.server.process.resident_peak();
    program.insert(0..5);
    expect_rows(&mut ann, 0..5).await;
    let more = program.server.process.resident_peak() - before;
    assert!(
        more < GROWTH_MAX,
        "{} MB more for {} MB of messages",
        more >> 20,
        (5 * 3 * CHANNELS * VALUE) >> 20
    );
}

#[tokio::test]
async fn a_large_value_that_many_conditions_ask_the_database_about_is_kept_once() {
    let program = Program::start().await;
    // The database evaluates patterns. The row has none of these.
    let patterns: Vec<String> = (0..5).map(|n| format!("body=not.like.%{n}y")).collect();
    let binding = json!({"schema": "public", "table": "notes", "filter": patterns.join(",")});
    let silent = program.subscribed_without_reading(&binding).await;
    let mut ann = reader(&program).await;
    let before = program.server.process.resident_peak();
    program.insert(0..1);
    expect_rows(&mut ann, 0..1).await;
    let more = program.server.process.resident_peak() - before;
    assert!(more < GROWTH_MAX, "{} MB more for 500 conditions", more >> 20);
    drop(silent);
}
