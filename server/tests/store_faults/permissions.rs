//! A database that does not accept writes, or the password.

use harness::{Postgres, eventually};
use serde_json::json;

use crate::node::{Node, SECRET, end_connections};

/// Makes the database read-only for new sessions, and ends those that there are.
fn refuse_writes(postgres: &Postgres) {
    let database = postgres.sql("SELECT current_database()");
    postgres.sql(&format!("ALTER DATABASE {database} SET default_transaction_read_only = on"));
    end_connections(postgres);
}

fn accept_writes(postgres: &Postgres) {
    let database = postgres.sql("SELECT current_database()");
    let mut session = postgres.session();
    session.run("SET default_transaction_read_only = off");
    session.run(&format!("ALTER DATABASE {database} RESET default_transaction_read_only"));
    end_connections(postgres);
}

#[tokio::test]
async fn a_database_that_is_read_only_is_read() {
    let postgres = Postgres::start();
    let node = Node::of(&postgres.url());
    // Of several reasons in a short time the log has the first.
    node.until_usable().await;
    node.create("acme").await;
    refuse_writes(&postgres);
    // The sessions have ended: until the node has new ones it answers 503.
    let is_suspended_with = async |status| node.put("acme", json!({"suspend": true})).await.status == status;
    eventually("the change is refused", async || is_suspended_with(503).await).await;
    node.server.process.log_line("cannot execute SELECT in a read-only transaction");
    assert_eq!(node.get("acme").await.status, 200);
    assert_eq!(node.handshake("acme").await, 101);
    node.until_usable().await;

    // One that starts now finds its tables, and needs to write none.
    let late = Node::of(&postgres.url());
    eventually("it reads", async || late.handshake("acme").await == 101).await;
    assert_eq!(late.put("new", json!({ "jwt_secret": SECRET })).await.status, 503);

    accept_writes(&postgres);
    eventually("the change is accepted", async || is_suspended_with(200).await).await;
}

#[tokio::test]
async fn tables_that_cannot_be_made_yet_are_made_when_they_can() {
    let postgres = Postgres::start();
    refuse_writes(&postgres);
    let node = Node::of(&postgres.url());
    let line = node.outage();
    assert!(line.contains("in a read-only transaction"), "{line}");
    node.until_unusable().await;
    assert_eq!(node.put("acme", json!({})).await.status, 503);
    accept_writes(&postgres);
    node.create("acme").await;
    node.until_usable().await;
    assert_eq!(node.outages(), 1, "{}", node.server.process.log());
}

#[tokio::test]
async fn a_password_that_becomes_right_needs_no_restart() {
    const PASSWORD: &str = "the-password-of-the-server";
    let postgres = Postgres::alone(&[]);
    postgres.sql("CREATE ROLE app LOGIN SUPERUSER PASSWORD 'another-one'");
    let hba = b"host all app 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n";
    postgres.write_file("pg_hba.conf", hba);
    postgres.sql("SELECT pg_reload_conf()");
    let node = Node::of(&postgres.url().replace("postgres@", &format!("app:{PASSWORD}@")));
    let line = node.outage();
    assert!(line.contains("password authentication failed for user \"app\""), "{line}");
    node.until_unusable().await;
    assert_eq!(node.put("acme", json!({ "jwt_secret": SECRET })).await.status, 503);

    postgres.sql(&format!("ALTER ROLE app PASSWORD '{PASSWORD}'"));
    node.until_usable().await;
    node.create("acme").await;
    assert_eq!(node.handshake("acme").await, 101);
    let log = node.server.process.log();
    assert_eq!(node.outages(), 1, "{log}");
    assert!(!log.contains(PASSWORD), "{log}");
}
