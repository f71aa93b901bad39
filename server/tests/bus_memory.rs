//! The memory of a program while Redis does not take what it is to send to the other nodes.

use std::fs;
use std::process::{Command, Stdio};

use harness::{ChaosProxy, Redis, ServerProcess, TokenIssuer, World, eventually};
use serde_json::json;

const SECRET: &str = "the secret of a program, of thirty-two bytes";
const ROOM: &str = "realtime:room";
const TENANTS: [&str; 6] = ["ann", "bob", "cid", "dan", "eve", "fay"];

/// The budget, in bytes: less than `bus.max_bytes` by default.
const BUDGET: usize = 64 << 20;

// A queue of 64 MiB, which six tenants can fill but for a seventh, was beside the budget.
#[tokio::test]
async fn what_waits_for_redis_stays_inside_the_budget() {
    let redis = Redis::start().await;
    let proxy = ChaosProxy::to(redis.address()).await;
    let folder = tempfile::tempdir().expect("a folder for the test");
    let mut settings = format!(
        "[server]\nhost = \"127.0.0.1\"\nport = 0\nmemory_budget = \"64 MiB\"\n\
         [bus]\nredis_url = \"{}\"\ntimeout = \"60s\"\nlease = \"60s\"\nkeep_alive = \"60s\"\n",
        redis.url_at(proxy.address())
    );
    for tenant in TENANTS {
        settings += &format!("[tenants.{tenant}.auth]\njwt_secret = \"{SECRET}, of {tenant}\"\n");
    }
    fs::write(folder.path().join("config.toml"), settings).expect("writable");
    let mut command = Command::new(env!("CARGO_BIN_EXE_realtime-server"));
    command.args(["serve", "--config", "config.toml"]).current_dir(folder.path()).env_clear();
    command.env("JWT_SECRET", SECRET).stdout(Stdio::null());
    let process = ServerProcess::start(command);
    let world = World::at(process.listening(), TokenIssuer::new(SECRET));
    eventually("the node is connected", async || world.number("realtime_bus_connected").await == 1.0).await;

    let mut senders = Vec::new();
    for tenant in TENANTS {
        let mut sender = world.connect_for(tenant).await;
        sender.join(ROOM, json!({"broadcast": {"ack": true}})).await;
        senders.push(sender);
    }
    proxy.stick();
    let payload = json!({"type": "broadcast", "event": "e", "payload": {"text": "x".repeat(100_000)}});
    for _ in 0..300 {
        for sender in &mut senders {
            sender.push("2", ROOM, "broadcast", &payload).await;
            assert_eq!(sender.next_json().await[4]["status"], "ok");
        }
    }
    assert!(world.number("realtime_bus_unsent_total").await > 0.0, "the queue is full");
    let peak = process.resident_peak();
    assert!(peak < BUDGET, "{} MB were resident", peak / 1_000_000);
}
