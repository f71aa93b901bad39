//! The program as a process of its own, with an operator who manages its tenants.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::{Request, Response, ServerProcess, Token, TokenIssuer, World};

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

    /// `program` in a folder, to be started: with a default tenant, operators, and these variables.
    pub fn command(program: &str, folder: &Path, variables: &[(&str, &str)]) -> Command {
        let mut command = Command::new(program);
        command.args(["serve", "--host", "127.0.0.1", "--port", "0"]).current_dir(folder).env_clear();
        command.env("JWT_SECRET", "the secret of the default tenant, of 32 bytes");
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
