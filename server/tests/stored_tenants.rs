//! Tenants in the store of a real process: what was answered survives its end, and the other nodes notice it.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use harness::{ChaosProxy, Dialect, ManagedServer, Postgres, Redis, Request, ServerProcess, eventually};
use rustix::process::Signal;
use serde_json::json;

const SECRET: &str = ManagedServer::USERS;
const KEY: &str = "a key for AES-GCM of 32 bytes !!";

const PROGRAM: &str = env!("CARGO_BIN_EXE_realtime-server");

/// A node with a data folder, and the database if it has one.
fn start(folder: &Path, variables: &[(&str, &str)]) -> ManagedServer {
    ManagedServer::start(ManagedServer::command(PROGRAM, folder, variables))
}

#[tokio::test]
async fn the_embedded_store_survives_the_kill_of_its_server() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(folder.path(), &[]);
    for number in 0..20 {
        assert_eq!(node.put(&format!("t{number}"), json!({"jwt_secret": SECRET})).await.status, 201);
    }
    drop(node);
    let node = start(folder.path(), &[]);
    assert_eq!(node.handshake("t19").await, 101);
    let list = node.manage(Request::get("/api/tenants")).await.json();
    assert_eq!(list["data"].as_array().unwrap().len(), 21, "and the default tenant");
    for file in ["encryption-key", "store.sqlite", "store.sqlite-wal"] {
        let permissions = std::fs::metadata(folder.path().join("data").join(file)).unwrap().permissions();
        let mode = std::os::unix::fs::PermissionsExt::mode(&permissions);
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    let stored = std::fs::read(folder.path().join("data/store.sqlite")).unwrap();
    assert!(!String::from_utf8_lossy(&stored).contains(SECRET), "it is encrypted");
}

// Another key would not read what is there, and hide that until a client comes.
#[tokio::test]
async fn a_store_without_its_key_is_not_opened() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(folder.path(), &[]);
    assert_eq!(node.put("acme", json!({"jwt_secret": SECRET})).await.status, 201);
    drop(node);
    std::fs::remove_file(folder.path().join("data/encryption-key")).unwrap();
    let mut process = ServerProcess::start(ManagedServer::command(PROGRAM, folder.path(), &[]));
    let (status, log) = process.exit();
    assert!(!status.success() && log.contains("restore that from a backup"), "{log}");
    assert!(!folder.path().join("data/encryption-key").exists(), "none is made");
}

// Without its tenants the server would refuse their clients for good, and lose what is written meanwhile.
#[tokio::test]
async fn a_server_does_not_start_without_the_store_that_it_had() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("data")).unwrap();
    for (file, text) in [("store.sqlite", "no database"), ("encryption-key", "short")] {
        let path = folder.path().join("data").join(file);
        std::fs::write(&path, text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_realtime-server"));
        command.args(["serve", "--host", "127.0.0.1", "--port", "0"]).current_dir(folder.path()).env_clear();
        command.env("JWT_SECRET", "the secret of the default tenant, of 32 bytes");
        let mut process = ServerProcess::start(command);
        let (status, log) = process.exit();
        assert!(!status.success() && log.contains(file), "{log}");
        std::fs::remove_file(path).unwrap();
    }
}

#[tokio::test]
async fn nodes_with_one_database_notice_what_the_other_changes() {
    let postgres = Postgres::start();
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let url = postgres.url();
    let variables =
        [("DATABASE_URL", &*url), ("DB_ENC_KEY_GCM", KEY), ("TENANT_CACHE_EXPIRATION_IN_MS", "200")];
    let (one, two) = (start(one.path(), &variables), start(two.path(), &variables));
    eventually("the schema is there", async || {
        one.put("acme", json!({"jwt_secret": SECRET})).await.status < 300
    })
    .await;
    eventually("the other node has it", async || two.handshake("acme").await == 101).await;
    assert_eq!(one.put("acme", json!({"suspend": true})).await.status, 200);
    eventually("the other node suspends it", async || two.handshake("acme").await == 403).await;
    assert_eq!(one.manage(Request::new("DELETE", "/api/tenants/acme")).await.status, 204);
    eventually("the other node forgets it", async || two.handshake("acme").await == 404).await;
    let secret = postgres.sql("SELECT count(*) FROM _realtime.tenants");
    assert_eq!(secret, "0");
}

#[tokio::test]
async fn a_change_applies_although_its_client_has_gone() {
    let postgres = Postgres::start();
    let folder = tempfile::tempdir().unwrap();
    let node = start(folder.path(), &[("DATABASE_URL", &postgres.url()), ("DB_ENC_KEY_GCM", KEY)]);
    eventually("the schema is there", async || {
        node.put("acme", json!({"jwt_secret": SECRET})).await.status < 300
    })
    .await;
    let mut session = postgres.session();
    session.run("BEGIN; LOCK TABLE _realtime.tenants IN SHARE ROW EXCLUSIVE MODE");
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
    tokio::select! {
        _ = node.put("acme", json!({"suspend": true})) => unreachable!("the table is locked"),
        () = eventually("it waits for the lock", async || postgres.sql(waiting) == "1") => {}
    }
    session.run("COMMIT");
    eventually("the tenant is suspended", async || node.handshake("acme").await == 403).await;
    node.process.log_line("action=update outcome=done");
}

#[tokio::test]
async fn without_a_key_secrets_are_refused_in_a_database() {
    let postgres = Postgres::start();
    let folder = tempfile::tempdir().unwrap();
    let node = start(folder.path(), &[("DATABASE_URL", &postgres.url())]);
    eventually("the schema is there", async || node.put("acme", json!({})).await.status == 422).await;
    let refused = node.put("acme", json!({"jwt_secret": SECRET})).await;
    assert_eq!(refused.status, 422);
    assert!(refused.text().contains("DB_ENC_KEY_GCM"), "{}", refused.text());
}

#[tokio::test]
async fn a_database_that_comes_late_or_goes_away_ends_nothing() {
    let postgres = Postgres::start();
    let proxy = ChaosProxy::to(postgres.address()).await;
    let folder = tempfile::tempdir().unwrap();
    let closed = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    let away = postgres.url_at(closed);
    let node = start(folder.path(), &[("DATABASE_URL", &away), ("DB_QUEUE_TARGET", "300")]);
    assert_eq!(node.handshake("acme").await, 503, "nothing says that there is no such tenant");
    assert_eq!(node.put("acme", json!({"jwt_secret": SECRET})).await.status, 503);
    let refused = format!("the store cannot be reached: {closed}: Connection refused");
    assert!(node.process.log_line(&refused).contains("ERROR"));
    let ready = node.world.send(Request::get("/readyz")).await;
    assert_eq!((ready.status, ready.json()), (200, json!({"status": "degraded", "degraded": ["store"]})));
    drop(node);

    let url = postgres.url_at(proxy.address());
    let timeout = ("REALTIME__STORE__TIMEOUT", "500ms");
    let node = start(folder.path(), &[("DATABASE_URL", &url), ("DB_ENC_KEY_GCM", KEY), timeout]);
    eventually("the schema is there", async || {
        node.put("acme", json!({"jwt_secret": SECRET})).await.status < 300
    })
    .await;
    // It accepts connections, and does not answer.
    proxy.stick();
    assert_eq!(node.put("acme", json!({"suspend": true})).await.status, 503);
    // A host name that no tenant is known to have is the default tenant's, who does not wait for the store.
    let by_host = Request::get("/api/ping").header("host", "unlisted.example.com");
    assert_eq!(node.world.send(by_host).await.status, 200);
    proxy.mend();
    eventually("it can be written after that", async || {
        node.put("acme", json!({"suspend": false})).await.status == 200
    })
    .await;
    proxy.cut();
    assert_eq!(node.handshake("acme").await, 101, "a known tenant is served from memory");
    proxy.mend();
    eventually("it can be written again", async || {
        node.put("acme", json!({"suspend": false})).await.status == 200
    })
    .await;
}

#[tokio::test]
async fn an_outage_is_noticed_without_a_request() {
    let postgres = Postgres::alone(&[]);
    let folder = tempfile::tempdir().unwrap();
    let node = start(folder.path(), &[("DATABASE_URL", &postgres.url())]);
    let readiness = async || node.world.send(Request::get("/readyz")).await.json()["status"].clone();
    // From then on it asks the store for nothing.
    eventually("the tenants are read", async || {
        node.manage(Request::get("/status")).await.json()["store"]["tenants"] == 0
    })
    .await;
    assert_eq!(readiness().await, "ready");
    postgres.end(Signal::KILL);
    eventually("the node is degraded", async || readiness().await == "degraded").await;
    node.process.log_line("the store cannot be reached");
}

#[tokio::test]
async fn over_the_bus_a_change_reaches_the_other_node_at_once() {
    let (postgres, redis) = (Postgres::start(), Redis::start().await);
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (database, bus) = (postgres.url(), redis.url());
    // Not by the refresh, which comes after ten minutes.
    let refresh = ("TENANT_CACHE_EXPIRATION_IN_MS", "600000");
    let variables = [("DATABASE_URL", &*database), ("DB_ENC_KEY_GCM", KEY), ("REDIS_URL", &*bus), refresh];
    let (one, two) = (start(one.path(), &variables), start(two.path(), &variables));
    for node in [&one, &two] {
        node.process.log_line("Connected to Redis");
    }
    eventually("the schema is there", async || {
        one.put("acme", json!({"jwt_secret": SECRET})).await.status < 300
    })
    .await;
    eventually("the other node has it", async || two.handshake("acme").await == 101).await;
    let parked = two.world.connect_to(Dialect::V2, &ManagedServer::target("acme")).await;
    let changed = Instant::now();
    assert_eq!(one.put("acme", json!({"suspend": true})).await.status, 200);
    assert_eq!(parked.expect("it is known").drain_to_close().await, Some(1012));
    assert!(changed.elapsed() < Duration::from_secs(10), "it took {:?}", changed.elapsed());
    assert_eq!(two.handshake("acme").await, 403);
}

// The command line of a deployment that migrates once for all nodes.
#[tokio::test]
async fn a_server_that_does_not_migrate_waits_for_the_tables() {
    let postgres = Postgres::start();
    let folder = tempfile::tempdir().unwrap();
    let url = postgres.url();
    let never = ("REALTIME__STORE__MIGRATE", "never");
    let variables = [("DATABASE_URL", &*url), ("DB_ENC_KEY_GCM", KEY), never];
    let node = start(folder.path(), &variables);
    node.process.log_line("its tables are not migrated (`realtime-server migrate`)");
    let ready = node.world.send(Request::get("/readyz")).await;
    assert_eq!(ready.json(), json!({"status": "degraded", "degraded": ["store"]}));
    assert_eq!(node.put("acme", json!({"jwt_secret": SECRET})).await.status, 503);
    assert_eq!(postgres.sql("SELECT to_regnamespace('_realtime') IS NULL"), "t");
    let mut migrate = Command::new(PROGRAM);
    let migrate = migrate.arg("migrate").current_dir(folder.path()).env_clear().env("DATABASE_URL", &url);
    assert!(migrate.output().unwrap().status.success());
    eventually("it can be written", async || {
        node.put("acme", json!({"jwt_secret": SECRET})).await.status == 201
    })
    .await;
    assert_eq!(node.process.log().matches("its tables are not migrated").count(), 1, "one line");
}

#[tokio::test]
async fn nodes_that_share_no_store_do_not_write_tenants() {
    let redis = Redis::start().await;
    let folder = tempfile::tempdir().unwrap();
    let node = start(folder.path(), &[("REDIS_URL", &redis.url())]);
    let refused = node.put("acme", json!({"jwt_secret": SECRET})).await;
    assert_eq!(refused.status, 409);
    assert!(refused.text().contains("DATABASE_URL"), "{}", refused.text());
}
