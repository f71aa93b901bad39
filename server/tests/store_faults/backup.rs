//! A database that is replaced by an older backup of itself.

use std::path::Path;
use std::process::Command;

use harness::{Dialect, ManagedServer, Postgres, eventually};
use rustix::process::Signal;
use serde_json::json;

use crate::node::{Node, SECRET};

/// Copies a folder with its owners.
fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").args(["-a", "--no-target-directory"]).arg(from).arg(to).status();
    assert!(copied.expect("`cp` is installed").success());
}

#[tokio::test]
async fn tenants_follow_a_restored_backup() {
    let postgres = Postgres::alone(&[]);
    let (writing, other) = (Node::of(&postgres.url()), Node::of(&postgres.url()));
    writing.create("older").await;
    let folder = tempfile::tempdir().unwrap();
    let backup = folder.path().join("backup");
    postgres.end(Signal::INT);
    copy(&postgres.data(), &backup);
    postgres.start_again();

    writing.create("newer").await;
    eventually("it can be changed", async || {
        writing.put("older", json!({"suspend": true})).await.status == 200
    })
    .await;
    let mut clients = Vec::new();
    for node in [&writing, &other] {
        eventually("it applies", async || node.handshake("older").await == 403).await;
        eventually("it is known", async || node.handshake("newer").await == 101).await;
        let client = node.server.world.connect_to(Dialect::V2, &ManagedServer::target("newer")).await;
        clients.push(client.expect("the tenant is known"));
    }

    postgres.end(Signal::INT);
    std::fs::remove_dir_all(postgres.data()).unwrap();
    copy(&backup, &postgres.data());
    postgres.start_again();
    for node in [&writing, &other] {
        eventually("the older revision applies", async || node.handshake("older").await == 101).await;
        eventually("the newer tenant is gone", async || node.handshake("newer").await == 404).await;
    }
    for mut client in clients {
        assert_eq!(client.drain_to_close().await, Some(1012));
    }
    assert_eq!(writing.put("older", json!({"suspend": true})).await.status, 200);
    eventually("it is written on", async || other.handshake("older").await == 403).await;
    assert_eq!(writing.put("newer", json!({ "jwt_secret": SECRET })).await.status, 201);
}
