//! A server with a store that fails.

use std::path::Path;
use std::process::Command;

use harness::{Postgres, Request, Response, ServerProcess, Token, TokenIssuer, World, eventually};
use serde_json::{Value, json};
use tempfile::TempDir;

const OPERATORS: &str = "the secret of operators, of thirty-two bytes or more";

/// The secret of the users of every tenant.
pub const SECRET: &str = "the secret of the users of a tenant, of thirty-two bytes";

/// What begins the line of a store that can no longer be used.
const AWAY: &str = "tenants that are known stay served";

/// A running server.
pub struct Node {
    pub process: ServerProcess,
    pub world: World,
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
        let mut command = command(env!("CARGO_BIN_EXE_realtime-server"), folder.path());
        command.args(ARGUMENTS).envs(variables.iter().copied());
        Node::run(command, folder)
    }

    /// A command that [`command`] has made, in its folder.
    pub fn run(command: Command, folder: TempDir) -> Node {
        let process = ServerProcess::start(command);
        let world = World::at(process.listening(), TokenIssuer::new("unused"));
        Node { process, world, _folder: folder }
    }

    async fn manage(&self, request: Request) -> Response {
        let token = TokenIssuer::new(OPERATORS).sign(&json!({"exp": 4_000_000_000_u64}));
        self.world.send(request.bearer(&token)).await
    }

    /// Creates or changes a tenant.
    pub async fn put(&self, id: &str, fields: Value) -> Response {
        let target = format!("/api/tenants/{id}");
        self.manage(Request::new("PUT", &target).json(&json!({ "tenant": fields }))).await
    }

    /// Shows a tenant.
    pub async fn get(&self, id: &str) -> Response {
        self.manage(Request::get(&format!("/api/tenants/{id}"))).await
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
        self.world.send(Request::upgrade(&target(tenant))).await.status
    }

    /// Whether `/readyz` and the metric say that the store can be used.
    pub async fn store_is_usable(&self) -> bool {
        let ready = self.world.send(Request::get("/readyz")).await;
        assert_eq!(ready.status, 200, "it serves the tenants that it knows");
        let is_ready = ready.json() != json!({"status": "degraded"});
        is_ready && self.world.number("realtime_store_connected").await == 1.0
    }

    /// Waits until they say so.
    pub async fn until_usable(&self) {
        eventually("the store can be used", async || self.store_is_usable().await).await;
    }

    /// Waits until `/readyz` and the metric say that it cannot.
    pub async fn until_unusable(&self) {
        eventually("the store cannot be used", async || {
            !self.store_is_usable().await && self.world.number("realtime_store_connected").await == 0.0
        })
        .await;
    }

    /// How often the log says that the store can no longer be used.
    pub fn outages(&self) -> usize {
        self.process.log().matches(AWAY).count()
    }

    /// The next line that says so. Waits for it.
    pub fn outage(&self) -> String {
        self.process.log_line(AWAY)
    }
}

/// How the server is run.
pub const ARGUMENTS: [&str; 5] = ["serve", "--host", "127.0.0.1", "--port", "0"];

/// A program in a folder, with the variables of a server.
pub fn command(program: &str, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder).env_clear();
    command
        .env("JWT_SECRET", "the secret of the default tenant, of 32 bytes")
        .env("API_JWT_SECRET", OPERATORS);
    command.env("DB_ENC_KEY_GCM", "a key for AES-GCM of 32 bytes !!");
    command.env("TENANT_CACHE_EXPIRATION_IN_MS", "600000");
    command
}

/// The target of a handshake for a tenant.
pub fn target(tenant: &str) -> String {
    let token = TokenIssuer::new(SECRET).token(Token::Valid);
    format!("/socket/websocket?tenant={tenant}&apikey={token}&vsn=2.0.0")
}

/// Ends the connections of the nodes to a database that wait for a query.
pub fn end_connections(postgres: &Postgres) {
    postgres.sql(
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
         WHERE datname = current_database() AND application_name = 'supabase_mt_realtime'
         AND state = 'idle'",
    );
}
