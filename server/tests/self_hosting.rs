//! The Compose file of the Realtime SDK's documentation as it is written: PostgreSQL as its image starts it, Redis, and a server
//! with JWT_SECRET, DATABASE_URL and REDIS_URL. Arguments stand for what Compose does with ports.

use std::path::Path;
use std::process::Command;

use harness::{
    Postgres, Redis, RedisOptions, Request, Response, ServerProcess, Token, TokenIssuer, World, eventually,
};
use rustix::process::Signal;
use serde_json::{Value, json};

const USERS: &str = "your-secret-key, made longer to be of thirty-two bytes";
const OPERATORS: (&str, &str) = ("API_JWT_SECRET", "the secret of operators, of thirty-two bytes or more");
const KEY: (&str, &str) = ("DB_ENC_KEY_GCM", "a key for AES-GCM of 32 bytes !!");
const SECRET: &str = "the secret of the users of a tenant, of thirty-two bytes";

/// The services of the file.
struct Stack {
    postgres: Postgres,
    redis: Option<Redis>,
    redis_port: u16,
    server: Option<Server>,
}

struct Server {
    process: ServerProcess,
    world: World,
}

impl Stack {
    async fn start() -> Stack {
        // What the image of PostgreSQL has without arguments.
        let postgres = Postgres::alone(&["wal_level=replica"]);
        let redis = Redis::start().await;
        let redis_port = redis.address().port();
        Stack { postgres, redis: Some(redis), redis_port, server: None }
    }

    /// The program with the variables of the file, and these.
    fn program(&self, folder: &Path, more: &[(&str, &str)]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_realtime-server"));
        command.current_dir(folder).env_clear();
        command.env("JWT_SECRET", USERS).env("DATABASE_URL", self.postgres.url());
        command.env("REDIS_URL", format!("redis://127.0.0.1:{}", self.redis_port)).envs(more.iter().copied());
        command
    }

    /// Starts the server, in a container of its own each time: without the folder of the last one.
    fn serve(&mut self, more: &[(&str, &str)]) {
        self.server = None;
        let folder = tempfile::tempdir().unwrap();
        let mut command = self.program(folder.path(), more);
        command.args(["serve", "--host", "127.0.0.1", "--port", "0"]);
        let process = ServerProcess::start(command);
        let world = World::at(process.listening(), TokenIssuer::new(USERS));
        process.log_line("Connected to Redis");
        self.server = Some(Server { process, world });
    }

    /// Stops everything, as `docker compose down` does.
    fn down(&mut self) {
        let mut server = self.server.take().unwrap();
        server.process.signal(Signal::INT);
        assert!(server.process.exit().0.success());
        self.redis = None;
        self.postgres.end(Signal::INT);
    }

    /// Starts everything, as `docker compose up` does: `depends_on` without a condition does not wait, so the server starts
    /// before the database.
    async fn up(&mut self, more: &[(&str, &str)]) {
        self.redis =
            Some(Redis::with(RedisOptions { port: Some(self.redis_port), ..Default::default() }).await);
        self.serve(more);
        self.postgres.start_again();
    }

    async fn send(&self, request: Request) -> Response {
        self.server.as_ref().unwrap().world.send(request).await
    }

    /// The response to a POST of this tenant by an operator.
    async fn create(&self, tenant: Value) -> Response {
        let token = TokenIssuer::new(OPERATORS.1).sign(&json!({"exp": 4_000_000_000_u64}));
        self.send(Request::post("/api/tenants").json(&json!({ "tenant": tenant })).bearer(&token)).await
    }

    /// The status of a handshake with a token that `secret` signs, for the tenant if there is one.
    async fn handshake(&self, tenant: Option<&str>, secret: &str) -> u16 {
        let query = tenant.map(|tenant| format!("?tenant={tenant}")).unwrap_or_default();
        let token = TokenIssuer::new(secret).token(Token::Valid);
        let request = Request::upgrade(&format!("/socket/websocket{query}"));
        self.send(request.header("x-api-key", &token)).await.status
    }

    async fn is_ready(&self) -> bool {
        self.send(Request::get("/readyz")).await.json() == json!({"status": "ready"})
    }
}

/// `docker run --rm … pnpm db:migrate`, with DATABASE_URL alone.
fn migrate(stack: &Stack) -> String {
    let folder = tempfile::tempdir().unwrap();
    let mut command = stack.program(folder.path(), &[]);
    let output =
        command.args(["pnpm", "db:migrate"]).env_remove("JWT_SECRET").env_remove("REDIS_URL").output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().last().unwrap().to_owned()
}

#[tokio::test]
async fn the_documented_compose_file_keeps_its_tenants() {
    let mut stack = Stack::start().await;
    assert_eq!(stack.postgres.sql("SHOW wal_level"), "replica");
    let migrated = migrate(&stack);
    assert!(migrated.ends_with(" applied, 0 were applied before"), "{migrated}");

    stack.serve(&[]);
    eventually("it is ready", async || stack.is_ready().await).await;
    assert_eq!(stack.send(Request::get("/health")).await.json()["status"], "ok");
    assert_eq!(stack.handshake(None, USERS).await, 101);
    let acme = || json!({"external_id": "acme", "jwt_secret": SECRET});
    assert_eq!(stack.create(acme()).await.status, 403, "it names no secret for operators");

    stack.serve(&[OPERATORS]);
    let refused = stack.create(acme()).await;
    assert_eq!(refused.status, 422);
    assert!(refused.text().contains("DB_ENC_KEY_GCM"), "{}", refused.text());
    assert_eq!(stack.handshake(Some("acme"), SECRET).await, 404);

    stack.serve(&[OPERATORS, KEY]);
    assert_eq!(stack.create(acme()).await.status, 201);
    stack.down();
    stack.up(&[OPERATORS, KEY]).await;
    eventually("the tenant is there", async || stack.handshake(Some("acme"), SECRET).await == 101).await;
    assert_eq!(stack.handshake(None, USERS).await, 101);
    let migrated = migrate(&stack);
    assert!(migrated.starts_with("0 applied, "), "{migrated}");
}

#[tokio::test]
async fn without_migrations_first_the_server_makes_the_tables() {
    let mut stack = Stack::start().await;
    stack.serve(&[OPERATORS, KEY]);
    let acme = json!({"external_id": "acme", "jwt_secret": SECRET});
    eventually("the schema is there", async || stack.create(acme.clone()).await.status < 300).await;
    assert!(migrate(&stack).starts_with("0 applied, "));
}
