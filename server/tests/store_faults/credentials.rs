//! The password of the store's role is changed while the server runs.

use std::fs;
use std::path::Path;

use harness::{Postgres, Request, eventually};

use crate::node::{Node, command, end_connections};

const OLD: &str = "the first password";
const NEW: &str = "the second password";
const NEWEST: &str = "the third password";

/// A cluster that lets the role `own` in with a password only.
fn with_a_role() -> Postgres {
    let postgres = Postgres::alone(&["password_encryption=scram-sha-256"]);
    postgres.sql(&format!("CREATE ROLE own SUPERUSER LOGIN PASSWORD '{OLD}'"));
    let hba = "host all own 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n";
    postgres.write_file("pg_hba.conf", hba.as_bytes());
    postgres.sql("SELECT pg_reload_conf()");
    postgres
}

/// Puts a file in the place of the one before.
fn replace(folder: &Path, password: &str) {
    fs::write(folder.join("password.new"), password).expect("a file");
    fs::rename(folder.join("password.new"), folder.join("password")).expect("renamed");
}

#[tokio::test]
async fn a_rotated_password_is_used_whichever_of_role_and_file_changes_first() {
    let postgres = with_a_role();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_owned();
    replace(&path, OLD);
    let (port, file) = (postgres.address().port().to_string(), path.join("password"));
    let variables = [
        ("DB_HOST", "127.0.0.1"),
        ("DB_PORT", &port),
        ("DB_USER", "own"),
        ("DB_PASSWORD_FILE", file.to_str().expect("text")),
    ];
    let node = Node::run(command(&path, &variables), folder);
    let log = |text: &str| node.server.process.log_line(text);
    node.create("acme").await;
    let outages = node.outages();

    // The file is first: the role has its old password still, and connections are made with that.
    replace(&path, NEW);
    assert!(log("Settings have changed").contains("changed=store.password"));
    let line = log("refuses the new credentials");
    assert!(line.contains("password authentication failed for user \"own\""), "{line}");
    assert!(line.contains("error_code=StoreCredentialsRefused"), "{line}");
    let number = async |name: &str| node.server.world.number(name).await;
    assert_eq!(number("realtime_credentials_refused").await, 1.0);
    end_connections(&postgres);
    node.create("second").await;
    postgres.sql(&format!("ALTER ROLE own PASSWORD '{NEW}'"));
    log("accepts the new credentials");
    assert_eq!(number("realtime_credentials_refused").await, 0.0);
    end_connections(&postgres);
    node.create("third").await;
    assert_eq!(node.outages(), outages, "{}", node.server.process.log());

    // The role is first: connections that exist stay, and those that are ended heal with the file.
    postgres.sql(&format!("ALTER ROLE own PASSWORD '{NEWEST}'"));
    node.create("fourth").await;
    end_connections(&postgres);
    node.until_unusable().await;
    assert!(node.outage().contains("password authentication failed"));
    replace(&path, NEWEST);
    node.until_usable().await;
    node.create("fifth").await;
    end_connections(&postgres);
    node.create("sixth").await;

    let pending = node.server.manage(Request::get("/status")).await.json()["settings"]["pending"].clone();
    assert_eq!(pending, serde_json::json!([]));
    let log = node.server.process.log();
    assert_eq!(log.matches("refuses the new credentials").count(), 1, "{log}");
    assert!(![OLD, NEW, NEWEST].iter().any(|password| log.contains(password)), "{log}");
}

#[tokio::test]
async fn another_host_waits_for_a_restart_with_its_password() {
    let postgres = with_a_role();
    let folder = tempfile::tempdir().expect("a folder");
    let url = |host: &str, password: &str| {
        let address = format!("{host}:{}/postgres", postgres.address().port());
        format!("[store]\nurl = \"postgres://own:{}@{address}\"\n", password.replace(' ', "%20"))
    };
    let config = folder.path().join("config.toml");
    fs::write(&config, url("127.0.0.1", OLD)).expect("a file");
    let node = Node::run(command(folder.path(), &[]), folder);
    node.create("acme").await;
    fs::write(&config, url("localhost", NEW)).expect("a file");
    let line = node.server.process.log_line("wait for a restart");
    assert!(line.contains("pending=store.url") && !line.contains("second"), "{line}");
    end_connections(&postgres);
    eventually("new connections are as before", async || node.store_is_usable().await).await;
    node.create("second").await;
}
