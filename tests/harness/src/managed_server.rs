//! The program as a process of its own, with an operator who manages its tenants.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{Client, Dialect, Request, Response, ServerProcess, Token, TokenIssuer, World};

/// A running server that operators manage.
pub struct ManagedServer {
    /// The process.
    pub process: ServerProcess,
    /// What sends it requests.
    pub world: World,
    operators: TokenIssuer,
}

impl ManagedServer {
    /// The secret of operators.
    pub const OPERATORS: &str = "the secret of operators, of thirty-two bytes or more";

    /// The secret of the users of every tenant that a test creates.
    pub const USERS: &str = "the secret of the users of a tenant, of thirty-two bytes";

    /// The secret of the users of the default tenant.
    const DEFAULT_TENANT: &str = "the secret of the default tenant, of 32 bytes";

    /// `program` in a folder, to be started: with a default tenant, operators, and these variables.
    pub fn command(program: &str, folder: &Path, variables: &[(&str, &str)]) -> Command {
        let mut command = Command::new(program);
        command.args(["serve", "--host", "127.0.0.1", "--port", "0"]).current_dir(folder).env_clear();
        command.env("JWT_SECRET", Self::DEFAULT_TENANT);
        // A refused handshake is answered at once.
        command
            .env("CONNECT_ERROR_BACKOFF_MS", "0")
            .env("API_JWT_SECRET", Self::OPERATORS)
            .envs(variables.iter().copied());
        command
    }

    /// Starts a [`command`](Self::command), and waits until it listens.
    pub fn start(command: Command) -> ManagedServer {
        Self::of_operators(command, Self::OPERATORS)
    }

    /// Starts a server whose operators have this secret, and waits until it listens.
    pub fn of_operators(command: Command, secret: &str) -> ManagedServer {
        let process = ServerProcess::start(command);
        let world = World::at(process.listening(), TokenIssuer::new("unused"));
        ManagedServer { process, world, operators: TokenIssuer::new(secret) }
    }

    /// Two servers on one bus, whose default tenant has the database of their store, and their folders.
    ///
    /// # Panics
    /// When one does not start.
    pub fn two_nodes(program: &str, database: &str, bus: &str) -> [(ManagedServer, TempDir); 2] {
        let variables = [
            ("DATABASE_URL", database),
            ("DB_ENC_KEY_GCM", "a key for AES-GCM of 32 bytes !!"),
            ("REDIS_URL", bus),
            ("REALTIME__BUS__LEASE", "60s"),
        ];
        [(); 2].map(|()| {
            let folder = tempfile::tempdir().expect("a folder for a server");
            (Self::start(Self::command(program, folder.path(), &variables)), folder)
        })
    }

    /// A client of the default tenant with this role.
    ///
    /// # Panics
    /// When the handshake is refused.
    pub async fn connect_as(&self, dialect: Dialect, role: &str) -> Client {
        let connected = self.world.connect_to(dialect, &Self::target_as(dialect, role)).await;
        connected.expect("the handshake succeeds")
    }

    /// The target of that handshake.
    pub fn target_as(dialect: Dialect, role: &str) -> String {
        let issuer = TokenIssuer::new(Self::DEFAULT_TENANT);
        let token = issuer.sign(&json!({"role": role, "exp": 4_000_000_000_u64}));
        let version = if dialect == Dialect::V1 { "1.0.0" } else { "2.0.0" };
        format!("/socket/websocket?apikey={token}&vsn={version}")
    }

    /// Sends a request of an operator.
    pub async fn manage(&self, request: Request) -> Response {
        let token = self.operators.sign(&json!({"exp": 4_000_000_000_u64}));
        self.world.send(request.bearer(&token)).await
    }

    /// Creates or changes a tenant.
    pub async fn put(&self, id: &str, fields: Value) -> Response {
        let target = format!("/api/tenants/{id}");
        self.manage(Request::new("PUT", &target).json(&json!({ "tenant": fields }))).await
    }

    /// The target of a handshake for a tenant, with a token of [`USERS`](Self::USERS).
    pub fn target(tenant: &str) -> String {
        let token = TokenIssuer::new(Self::USERS).token(Token::Valid);
        format!("/socket/websocket?tenant={tenant}&apikey={token}&vsn=2.0.0")
    }

    /// The status of that handshake.
    pub async fn handshake(&self, tenant: &str) -> u16 {
        self.world.send(Request::upgrade(&Self::target(tenant))).await.status
    }
}
