//! A server whose tenants are all in a database that nodes share: operators have a secret, and there is no default tenant.

use std::process::Command;

use harness::{ManagedServer, Postgres, Request, Token, TokenIssuer, eventually};
use serde_json::json;

const PROGRAM: &str = env!("CARGO_BIN_EXE_realtime-server");

#[tokio::test]
async fn it_starts_without_a_secret_of_users_and_refuses_who_names_no_tenant() {
    let (folder, postgres) = (tempfile::tempdir().unwrap(), Postgres::start());
    let variables =
        [("DATABASE_URL", &*postgres.url()), ("DB_ENC_KEY_GCM", "a key for AES-GCM of 32 bytes !!")];
    let mut command = ManagedServer::command(PROGRAM, folder.path(), &variables);
    command.env_remove("JWT_SECRET");
    let server = ManagedServer::start(command);
    eventually("the store is there", async || {
        server.world.send(Request::get("/readyz")).await.json() == json!({"status": "ready"})
    })
    .await;
    let token = TokenIssuer::new(ManagedServer::USERS).token(Token::Valid);
    let handshake = async |query: &str| {
        let request = Request::upgrade(&format!("/socket/websocket{query}"));
        server.world.send(request.header("x-api-key", &token)).await.status
    };
    assert_eq!((handshake("").await, handshake("?tenant=acme").await), (404, 404));
    let created = server.put("acme", json!({"jwt_secret": ManagedServer::USERS})).await;
    assert_eq!(created.status, 201, "{}", created.text());
    assert_eq!((handshake("").await, handshake("?tenant=acme").await), (404, 101));
    assert_eq!(server.manage(Request::get("/api/tenants/default")).await.status, 404);
    // One of that name is that of clients that name none.
    assert_eq!(server.put("default", json!({"jwt_secret": ManagedServer::USERS})).await.status, 201);
    assert_eq!(handshake("").await, 101);
}

#[test]
fn without_operators_it_does_not_start() {
    let (folder, postgres) = (tempfile::tempdir().unwrap(), Postgres::start());
    let mut command = Command::new(PROGRAM);
    command.args(["serve", "--port", "0"]).current_dir(folder.path()).env_clear();
    let started = command.env("DATABASE_URL", postgres.url()).output().unwrap();
    let text = String::from_utf8_lossy(&started.stderr);
    assert_eq!(started.status.code(), Some(1));
    assert!(
        text.contains("error: no secret to verify tokens with: set JWT_SECRET, or API_JWT_SECRET"),
        "{text}"
    );
}
