//! Nodes with one database and no bus (docs/protocol/postgres.md#changes): what one writes reaches the others by a
//! notification of PostgreSQL, and a client that makes up names of tenants costs the database next to nothing.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use harness::{Dialect, ManagedServer, Postgres, Redis, Token, TokenIssuer, eventually};
use serde_json::{Value, json};
use tempfile::TempDir;

const SECRET: &str = ManagedServer::USERS;

/// Within which another node is notified, on a busy machine. Without a notification it compares everything after ten minutes.
const NOTIFIED_MAX: Duration = Duration::from_secs(10);

/// The connections that listen.
const LISTENING: &str = "FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN %'";

/// A node on a database. It compares what it knows with the database only when it has a reason to.
struct Node {
    server: ManagedServer,
    _folder: TempDir,
}

impl Node {
    fn start(postgres: &Postgres, more: &[(&str, &str)]) -> Node {
        let folder = tempfile::tempdir().unwrap();
        let server = ManagedServer::start(command(folder.path(), &postgres.url(), more));
        Node { server, _folder: folder }
    }

    async fn put(&self, id: &str, fields: Value) -> u16 {
        self.server.put(id, fields).await.status
    }

    async fn create(&self, id: &str) {
        eventually("the schema is there", async || self.put(id, json!({ "jwt_secret": SECRET })).await < 300)
            .await;
    }

    /// The status of a handshake for a tenant.
    async fn handshake(&self, tenant: &str) -> u16 {
        self.server.handshake(tenant).await
    }
}

fn command(folder: &Path, database: &str, more: &[(&str, &str)]) -> Command {
    let key = ("DB_ENC_KEY_GCM", "a key for AES-GCM of 32 bytes !!");
    let variables = [("DATABASE_URL", database), key, ("TENANT_CACHE_EXPIRATION_IN_MS", "600000")];
    ManagedServer::command(env!("CARGO_BIN_EXE_realtime-server"), folder, &[&variables, more].concat())
}

fn number(postgres: &Postgres, query: &str) -> u64 {
    postgres.sql(query).parse().unwrap()
}

async fn until_listening(postgres: &Postgres, nodes: u64) {
    eventually("the nodes listen", async || {
        number(postgres, &format!("SELECT count(*) {LISTENING}")) == nodes
    })
    .await;
}

#[tokio::test]
async fn a_change_reaches_a_parked_socket_of_another_node() {
    let postgres = Postgres::start();
    let (one, two) = (Node::start(&postgres, &[]), Node::start(&postgres, &[]));
    until_listening(&postgres, 2).await;
    assert_eq!(two.handshake("acme").await, 404);
    one.create("acme").await;
    eventually("the other node is notified", async || two.handshake("acme").await == 101).await;
    let mut parked =
        two.server.world.connect_to(Dialect::V2, &ManagedServer::target("acme")).await.expect("it is known");
    let changed = Instant::now();
    assert_eq!(one.put("acme", json!({"suspend": true})).await, 200);
    assert_eq!(parked.drain_to_close().await, Some(1012));
    assert!(changed.elapsed() < NOTIFIED_MAX, "it took {:?}", changed.elapsed());
    assert_eq!(two.handshake("acme").await, 403);
}

#[tokio::test]
async fn a_node_compares_everything_when_it_listens_again() {
    let postgres = Postgres::start();
    let node = Node::start(&postgres, &[]);
    until_listening(&postgres, 1).await;
    node.create("acme").await;
    assert_eq!(node.handshake("acme").await, 101);
    // A program that does not notify.
    postgres.sql("UPDATE _realtime.tenants SET suspend = true");
    postgres.sql(&format!("SELECT pg_terminate_backend(pid) {LISTENING}"));
    eventually("the change is found", async || node.handshake("acme").await == 403).await;
    until_listening(&postgres, 1).await;
    assert_eq!(node.put("acme", json!({"suspend": false})).await, 200);
}

#[tokio::test]
async fn with_a_bus_nothing_listens() {
    let (postgres, redis) = (Postgres::start(), Redis::start().await);
    let node = Node::start(&postgres, &[("REDIS_URL", &redis.url())]);
    node.server.process.log_line("Connected to Redis");
    node.create("acme").await;
    assert_eq!(number(&postgres, &format!("SELECT count(*) {LISTENING}")), 0);
}

#[tokio::test]
async fn a_flood_of_made_up_names_costs_the_database_few_queries() {
    const TENANTS: usize = 10_000;
    let postgres = Postgres::start();
    let unlimited = [("REALTIME__SERVER__MAX_UNVERIFIED_REQUESTS_PER_SECOND", "1000000")];
    let other = Node::start(&postgres, &[]);
    other.create("acme").await;
    drop(other);
    postgres.sql(&format!(
        "INSERT INTO _realtime.tenants (id, external_id, name, jwt_jwks, max_events_per_second, inserted_at, updated_at)
         SELECT gen_random_uuid(), 'tenant-' || n, 'n', '{{\"keys\": []}}', 100, now(), now()
         FROM generate_series(1, {TENANTS}) n"
    ));
    let node = Node::start(&postgres, &unlimited);
    assert_eq!(node.handshake("acme").await, 101, "the first request waits for the list");
    let before = queries(&postgres);
    // The node's connections were ended, and a query may have been under way: then the store counts as away for a second.
    until_listening(&postgres, 1).await;
    let began = Instant::now();
    // Few clients at once: a lookup has four seconds, and the store would count as away after one that waits for longer.
    let made_up = (0..40).map(|client| statuses(&node, "made-up", client, 50));
    let existing = (0..10).map(|client| statuses(&node, "tenant", client, 20));
    let (made_up, existing) = tokio::join!(join_all(made_up), join_all(existing));
    assert_eq!(sum(made_up), HashMap::from([(404, 2_000)]));
    assert_eq!(sum(existing), HashMap::from([(401, 200)]), "they are found");
    // One for each that exists; of the others three a second, and ten times as many at once. And what the node asks by itself.
    let queries = queries(&postgres) - before;
    let allowed = 200 + 30 + 3 * (began.elapsed().as_secs() + 1) + 10;
    assert!((200..=allowed).contains(&queries), "{queries} queries, {allowed} allowed");
}

/// Looks up `count` names, one after the other.
async fn statuses(node: &Node, prefix: &str, client: usize, count: usize) -> HashMap<u16, usize> {
    let token = TokenIssuer::new(SECRET).token(Token::Valid);
    let mut statuses = HashMap::new();
    for number in client * count + 1..=(client + 1) * count {
        let request = format!(
            "GET /socket/websocket?vsn=2.0.0 HTTP/1.1\r\nhost: x\r\nx-tenant: {prefix}-{number}\r\n\
             x-api-key: {token}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        let response = node.server.world.send_bytes(request.as_bytes()).await;
        *statuses.entry(response.status).or_default() += 1;
    }
    statuses
}

fn sum(all: Vec<HashMap<u16, usize>>) -> HashMap<u16, usize> {
    let mut sum = HashMap::new();
    for (status, count) in all.into_iter().flatten() {
        *sum.entry(status).or_default() += count;
    }
    sum
}

/// How often the tenants were read. A connection reports what it has done when it ends, so those of the node are ended.
fn queries(postgres: &Postgres) -> u64 {
    postgres.sql(
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
         WHERE datname = current_database() AND application_name = 'supabase_mt_realtime'",
    );
    number(
        postgres,
        "SELECT seq_scan + coalesce(idx_scan, 0) FROM pg_stat_user_tables WHERE relname = 'tenants'",
    )
}
