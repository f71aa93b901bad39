//! A server with a store that fails.

use std::path::Path;
use std::process::Command;

use harness::{ManagedServer, Postgres, Request, Response, eventually};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The secret of the users of every tenant.
pub const SECRET: &str = ManagedServer::USERS;

/// What begins the line of a store that can no longer be used.
const AWAY: &str = "tenants that are known stay served";

/// A running server.
pub struct Node {
    pub server: ManagedServer,
    _folder: TempDir,
}

impl Node {
    /// With the store at `url`.
    pub fn of(url: &str) -> Node {
        Node::with(&[("DATABASE_URL", url)])
    }

    /// With these variables. It compares what it knows with the database only when it has a reason to, unless they say more.
    pub fn with(variables: &[(&str, &str)]) -> Node {
        let folder = tempfile::tempdir().unwrap();
        Node::run(command(folder.path(), variables), folder)
    }

    /// A command that [`command`] has made, in its folder.
    pub fn run(command: Command, folder: TempDir) -> Node {
        Node { server: ManagedServer::start(command), _folder: folder }
    }

    /// Creates or changes a tenant.
    pub async fn put(&self, id: &str, fields: Value) -> Response {
        self.server.put(id, fields).await
    }

    /// Shows a tenant.
    pub async fn get(&self, id: &str) -> Response {
        self.server.manage(Request::get(&format!("/api/tenants/{id}"))).await
    }

    /// Waits until the tables are there, and creates a tenant.
    pub async fn create(&self, id: &str) {
        eventually("the tenant is created", async || {
            self.put(id, json!({ "jwt_secret": SECRET })).await.status < 300
        })
        .await;
    }

    /// The status of a handshake for a tenant.
    pub async fn handshake(&self, tenant: &str) -> u16 {
        self.server.handshake(tenant).await
    }

    /// Whether `/readyz` and the metric say that the store can be used.
    pub async fn store_is_usable(&self) -> bool {
        let ready = self.server.world.send(Request::get("/readyz")).await;
        assert_eq!(ready.status, 200, "it serves the tenants that it knows");
        let is_ready = ready.json() != json!({"status": "degraded", "degraded": ["store"]});
        is_ready && self.server.world.number("realtime_store_connected").await == 1.0
    }

    /// Waits until they say so.
    pub async fn until_usable(&self) {
        eventually("the store can be used", async || self.store_is_usable().await).await;
    }

    /// Waits until `/readyz` and the metric say that it cannot.
    pub async fn until_unusable(&self) {
        eventually("the store cannot be used", async || {
            !self.store_is_usable().await && self.server.world.number("realtime_store_connected").await == 0.0
        })
        .await;
    }

    /// How often the log says that the store can no longer be used.
    pub fn outages(&self) -> usize {
        self.server.process.log().matches(AWAY).count()
    }

    /// The next line that says so. Waits for it.
    pub fn outage(&self) -> String {
        self.server.process.log_line(AWAY)
    }
}

/// The server in a folder, with a key for secrets and these variables.
pub fn command(folder: &Path, variables: &[(&str, &str)]) -> Command {
    let key = ("DB_ENC_KEY_GCM", "a key for AES-GCM of 32 bytes !!");
    let more = [&[key, ("TENANT_CACHE_EXPIRATION_IN_MS", "600000")], variables].concat();
    ManagedServer::command(env!("CARGO_BIN_EXE_realtime-server"), folder, &more)
}

/// Ends the connections of the nodes to a database that wait for a query. Those that are used now, for example to read what a call
/// has changed, are waited for, because a connection may also end between the check of it and the query.
pub fn end_connections(postgres: &Postgres) {
    postgres.sql(
        "DO $$ BEGIN
             FOR attempt IN 1..500 LOOP
                 PERFORM pg_stat_clear_snapshot();
                 EXIT WHEN NOT EXISTS (SELECT FROM pg_stat_activity
                     WHERE datname = current_database() AND application_name = 'supabase_mt_realtime'
                     AND (state <> 'idle' OR state_change > clock_timestamp() - interval '50 ms'));
                 PERFORM pg_sleep(0.01);
             END LOOP;
         END $$;
         SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
         WHERE datname = current_database() AND application_name = 'supabase_mt_realtime'
         AND state = 'idle'",
    );
}
