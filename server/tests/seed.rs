//! The tenant that `SEED_SELF_HOST` creates, in a real process with the variables of Supabase's Compose file: it is in the store,
//! belongs to the operators, and serves the clients that name no tenant.

use std::path::Path;

use harness::{ChaosProxy, ManagedServer, Postgres, Request, Response, Token, TokenIssuer, eventually};
use serde_json::{Value, json};

/// The secret of operators and of the users of the seeded tenant, as in that file.
const SECRET: &str = "super-secret-jwt-token-with-at-least-32-characters-long";
const OTHER: &str = "the secret of the default tenant, of 32 bytes";
const HOST: &str = "realtime-dev.supabase-realtime:4000";

struct Node(ManagedServer);

impl Node {
    fn start(folder: &Path, variables: &[(&str, &str)]) -> Node {
        let seed = [("SEED_SELF_HOST", "true"), ("API_JWT_SECRET", SECRET)];
        let variables = [&seed, variables].concat();
        let mut command = ManagedServer::command(env!("CARGO_BIN_EXE_realtime-server"), folder, &variables);
        if !variables.iter().any(|(name, _)| *name == "JWT_SECRET") {
            command.env_remove("JWT_SECRET");
        }
        Node(ManagedServer::of_operators(command, SECRET))
    }

    async fn manage(&self, request: Request) -> Response {
        self.0.manage(request).await
    }

    async fn put(&self, id: &str, fields: Value) -> u16 {
        self.0.put(id, fields).await.status
    }

    /// The status of a handshake at this host, with a token of this secret.
    async fn handshake(&self, host: &str, secret: &str) -> u16 {
        let token = TokenIssuer::new(secret).token(Token::Valid);
        let request = Request::upgrade("/socket/websocket").header("host", host).header("x-api-key", &token);
        self.0.world.send(request).await.status
    }

    /// Waits until a client that names the seeded tenant can connect. Until then it is not unknown.
    async fn seeded(&self) {
        let token = TokenIssuer::new(SECRET).token(Token::Valid);
        let request =
            || Request::upgrade("/socket/websocket?tenant=realtime-dev").header("x-api-key", &token);
        eventually("the tenant is there", async || match self.0.world.send(request()).await.status {
            101 => true,
            503 => false,
            other => panic!("the tenant is not unknown before it is created: {other}"),
        })
        .await;
    }

    async fn store(&self) -> Value {
        self.manage(Request::get("/status")).await.json()["store"].take()
    }
}

#[tokio::test]
async fn the_variables_of_supabases_compose_file_work_unchanged() {
    let postgres = Postgres::start();
    let (host, port) = (postgres.address().ip().to_string(), postgres.address().port().to_string());
    let url = postgres.url();
    let database = url.rsplit('/').next().unwrap();
    let variables = [
        ("PORT", "4000"),
        ("DB_HOST", &*host),
        ("DB_PORT", &*port),
        ("DB_USER", "postgres"),
        ("DB_PASSWORD", "your-super-secret-and-long-postgres-password"),
        ("DB_NAME", database),
        ("DB_AFTER_CONNECT_QUERY", "SET search_path TO _realtime"),
        ("DB_ENC_KEY", "supabaserealtime"),
        ("SECRET_KEY_BASE", "UpNVntn3cDxHJpq99YMc1T1AQgQpc8kfYTuRgBiYa15BLrx8etQoXz3gZv1/u2oq"),
        ("METRICS_JWT_SECRET", "the secret of scrapers, of thirty-two bytes"),
        ("ERL_AFLAGS", "-proto_dist inet_tcp"),
        ("DNS_NODES", "''"),
        ("RLIMIT_NOFILE", "10000"),
        ("APP_NAME", "realtime"),
        ("RUN_JANITOR", "true"),
        ("DISABLE_HEALTHCHECK_LOGGING", "true"),
    ];
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path(), &variables);
    node.seeded().await;
    assert_eq!(node.handshake("localhost", SECRET).await, 101, "a client that names no tenant");
    assert_eq!(node.handshake(HOST, OTHER).await, 401);
    let stored = postgres.sql(
        "SELECT t.external_id, t.name, t.jwt_secret <> '', e.type, e.settings->>'region' \
         FROM _realtime.tenants t JOIN _realtime.extensions e ON e.tenant_external_id = t.external_id",
    );
    assert_eq!(stored, "realtime-dev|realtime-dev|t|postgres_cdc_rls|us-east-1");
    assert!(!postgres.sql("SELECT jwt_secret FROM _realtime.tenants").contains("super-secret"));
    assert_eq!(node.put("realtime-dev", json!({"max_concurrent_users": 7})).await, 200);
    drop(node);

    let node = Node::start(folder.path(), &variables);
    node.seeded().await;
    let kept = postgres.sql("SELECT max_concurrent_users, count(*) OVER () FROM _realtime.tenants");
    assert_eq!(kept, "7|1", "what the API has changed stays");
    let delete = Request::new("DELETE", "/api/tenants/realtime-dev");
    assert_eq!(node.manage(delete).await.status, 204);
    assert_eq!(node.handshake(HOST, SECRET).await, 404);
    assert_eq!(node.handshake("localhost", SECRET).await, 404);
    drop(node);

    let node = Node::start(folder.path(), &variables);
    node.seeded().await;
    assert_eq!(postgres.sql("SELECT max_concurrent_users FROM _realtime.tenants"), "200", "a new one");
}

#[tokio::test]
async fn nodes_that_start_at_once_create_one_tenant() {
    let postgres = Postgres::start();
    let url = postgres.url();
    let variables = [("DATABASE_URL", &*url), ("DB_ENC_KEY", "supabaserealtime")];
    let folders = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let nodes = folders.each_ref().map(|folder| Node::start(folder.path(), &variables));
    for node in &nodes {
        node.seeded().await;
    }
    assert_eq!(postgres.sql("SELECT count(*) FROM _realtime.tenants"), "1");
    let lines = nodes.iter().filter(|node| node.0.process.log().contains("was created in the store"));
    assert_eq!(lines.count(), 1, "one of them has created it");
}

#[tokio::test]
async fn without_an_encryption_key_the_server_goes_on() {
    let postgres = Postgres::start();
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path(), &[("DATABASE_URL", &postgres.url())]);
    let line = node.0.process.log_line("is not created");
    assert!(line.contains("DB_ENC_KEY_GCM") && line.contains("realtime-dev"), "{line}");
    let seed = node.store().await["seed"].take();
    assert_eq!(seed["tenant"], "realtime-dev");
    assert!(seed["error"].as_str().unwrap().contains("DB_ENC_KEY_GCM"), "{seed}");
    assert_eq!(node.handshake(HOST, SECRET).await, 404);
    assert_eq!(node.0.world.send(Request::get("/readyz")).await.json(), json!({"status": "ready"}));
    assert_eq!(node.0.process.log().matches("is not created").count(), 1);
}

#[tokio::test]
async fn a_store_that_comes_late_is_seeded_when_it_comes() {
    let postgres = Postgres::start();
    let proxy = ChaosProxy::to(postgres.address()).await;
    proxy.cut();
    let folder = tempfile::tempdir().unwrap();
    let variables =
        [("DATABASE_URL", &*postgres.url_at(proxy.address())), ("DB_ENC_KEY", "supabaserealtime")];
    let node = Node::start(folder.path(), &variables);
    node.0.process.log_line("the store cannot be reached");
    assert_eq!(node.handshake(HOST, SECRET).await, 503);
    assert_eq!(node.store().await["connected"], json!(false));
    proxy.mend();
    node.seeded().await;
    let store = node.store().await;
    assert_eq!((&store["kind"], &store["connected"]), (&json!("postgres"), &json!(true)));
    assert_eq!(store["seed"], json!({"tenant": "realtime-dev", "error": null}));
    assert!(store["last_error"].as_str().unwrap().contains("cannot be reached"), "{store}");
}

#[tokio::test]
async fn beside_a_secret_of_the_configuration_the_seeded_tenant_is_not_the_default_one() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path(), &[("JWT_SECRET", OTHER)]);
    node.seeded().await;
    assert_eq!(node.handshake("localhost", OTHER).await, 101);
    assert_eq!(node.handshake("localhost", SECRET).await, 401);
    assert_eq!(node.put("default", json!({"suspend": true})).await, 409);
    assert_eq!(node.put("realtime-dev", json!({"suspend": true})).await, 200);
    assert_eq!(node.handshake(HOST, SECRET).await, 403);
}

#[tokio::test]
async fn a_write_of_a_configured_tenant_is_refused_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.toml");
    std::fs::write(&file, "# first\n[tenants.acme]\nprivate_only = true\n").unwrap();
    let by_variable = ("REALTIME__TENANTS__GLOBEX__PRIVATE_ONLY", "true");
    let node = Node::start(folder.path(), &[("JWT_SECRET", OTHER), by_variable]);
    let refusal = async |id: &str| {
        let request = Request::new("PUT", &format!("/api/tenants/{id}")).json(&json!({"tenant": {}}));
        let refused = node.manage(request).await;
        assert_eq!(refused.status, 409);
        refused.json()["message"].as_str().unwrap().to_owned()
    };
    for (id, place) in [
        ("acme", "(config.toml:2)"),
        ("ACME", "(config.toml:2)"),
        ("globex", "(variable REALTIME__TENANTS__GLOBEX__PRIVATE_ONLY)"),
        ("default", "(variable JWT_SECRET)"),
    ] {
        let refused = refusal(id).await;
        assert!(refused.contains(place), "{id}: {refused}");
    }
    std::fs::write(&file, "# first\n# second\n[tenants.acme]\nprivate_only = true\n").unwrap();
    eventually("a moved line is noticed", async || refusal("acme").await.contains("(config.toml:3)")).await;
    for (path, status) in [("health", 200), ("reload", 204), ("shutdown", 204)] {
        let target = format!("/api/tenants/acme/{path}");
        let request = if path == "health" { Request::get(&target) } else { Request::post(&target) };
        assert_eq!(node.manage(request).await.status, status, "{path}");
    }
}

#[tokio::test]
async fn a_stored_tenant_that_the_configuration_has_too_is_reported_once() {
    let folder = tempfile::tempdir().unwrap();
    let variables = [("JWT_SECRET", OTHER), ("TENANT_CACHE_EXPIRATION_IN_MS", "100")];
    let node = Node::start(folder.path(), &variables);
    node.seeded().await;
    drop(node);
    std::fs::write(folder.path().join("config.toml"), "[tenants.realtime-dev]\n").unwrap();
    let node = Node::start(folder.path(), &variables);
    let line = node.0.process.log_line("are in the configuration too");
    assert!(line.contains("tenants=realtime-dev"), "{line}");
    let reported = json!({"count": 1, "first": ["realtime-dev"]});
    assert_eq!(node.store().await["in_configuration"], reported);
    let tenants = node.manage(Request::get("/status")).await.json()["tenants"].take();
    let origins: Vec<_> = tenants.as_array().unwrap().iter().map(|it| (&it["id"], &it["origin"])).collect();
    let config = json!("config");
    assert_eq!(origins, [(&json!("default"), &config), (&json!("realtime-dev"), &config)]);
    assert_eq!(node.handshake(HOST, SECRET).await, 401, "the configuration applies");
    // At least one refresh later.
    std::fs::write(folder.path().join("config.toml"), "# none\n").unwrap();
    eventually("the store applies again", async || node.store().await["in_configuration"]["count"] == 0)
        .await;
    assert_eq!(node.0.process.log().matches("are in the configuration too").count(), 1);
    assert_eq!(node.handshake(HOST, SECRET).await, 101);
}
