//! The memory of a program that Redis or the other nodes fill: what it is to send to them and Redis does not take, and what
//! their members show.

use std::fs;
use std::process::{Command, Stdio};

use harness::{ChaosProxy, Client, Redis, ServerProcess, TokenIssuer, World, eventually};
use serde_json::json;
use tempfile::TempDir;

const SECRET: &str = "the secret of a program, of thirty-two bytes";
const ROOM: &str = "realtime:room";
const TENANTS: [&str; 6] = ["ann", "bob", "cid", "dan", "eve", "fay"];

/// The budget of a node, in bytes: less than `bus.max_bytes` by default.
const BUDGET: usize = 64 << 20;

/// What the members on one node show: 60 MB, which is more than the other may hold.
const SHOWN_ROOMS: usize = 100;
const SHOWING: usize = 12;
const SHOWN: usize = 50_000;

/// A running program.
struct Program {
    process: ServerProcess,
    world: World,
    _folder: TempDir,
}

impl Program {
    /// With this budget, and the bus at `url`.
    async fn start(url: &str, budget: usize, bus: &str) -> Program {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let mut settings = format!(
            "[server]\nhost = \"127.0.0.1\"\nport = 0\nmemory_budget = \"{budget} B\"\n\
             [bus]\nredis_url = \"{url}\"\n{bus}\n"
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
        eventually("the node is connected", async || world.number("realtime_bus_connected").await == 1.0)
            .await;
        Program { process, world, _folder: folder }
    }

    fn assert_inside_budget(&self) {
        let peak = self.process.resident_peak();
        assert!(peak < BUDGET, "{} MB were resident", peak / 1_000_000);
    }
}

/// Joins all the rooms, with a key whose presence is not sent to the client.
async fn join_rooms(world: &World, key: &str) -> Client {
    let mut client = world.connect_for(TENANTS[0]).await;
    for room in 0..SHOWN_ROOMS {
        let config = json!({"presence": {"key": key, "enabled": false}});
        client.join(&format!("{ROOM} {room}"), config).await;
    }
    client
}

async fn track(client: &mut Client, topic: &str, text: &str) {
    let payload = json!({"type": "presence", "event": "track", "payload": {"text": text}});
    client.push("track", topic, "presence", &payload).await;
    while client.next_json().await[1] != "track" {}
}

// A queue of 64 MiB, which six tenants can fill but for a seventh, was beside the budget.
#[tokio::test]
async fn what_waits_for_redis_stays_inside_the_budget() {
    let redis = Redis::start().await;
    let proxy = ChaosProxy::to(redis.address()).await;
    let bus = "timeout = \"60s\"\nlease = \"60s\"\nkeep_alive = \"60s\"";
    let node = Program::start(&redis.url_at(proxy.address()), BUDGET, bus).await;
    let world = &node.world;

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
    node.assert_inside_budget();
}

// Each node had admitted what its own members show, and the others held it in addition to their budgets.
#[tokio::test]
async fn what_other_nodes_show_stays_inside_the_budget() {
    let redis = Redis::start().await;
    let (url, bus) = (redis.url(), "lease = \"1s\"");
    let (large, small) = tokio::join!(Program::start(&url, 1 << 30, bus), Program::start(&url, BUDGET, bus));
    let failing = async || small.world.number("realtime_bus_presence_failing_rooms").await;
    let _reader = join_rooms(&small.world, "reader").await;
    let text = "x".repeat(SHOWN);
    let mut showing = Vec::new();
    for key in 0..SHOWING {
        let mut member = join_rooms(&large.world, &format!("{key}")).await;
        for room in 0..SHOWN_ROOMS {
            track(&mut member, &format!("{ROOM} {room}"), &text).await;
        }
        showing.push(member);
    }

    // Another tenant is not concerned.
    let enabled = json!({"presence": {"key": "other", "enabled": true}});
    let mut here = small.world.connect_for(TENANTS[1]).await;
    here.join(ROOM, enabled.clone()).await;
    let mut there = large.world.connect_for(TENANTS[1]).await;
    there.join(ROOM, enabled).await;
    track(&mut there, ROOM, "x").await;
    while !here.next_json().await[4]["joins"]["other"].is_object() {}
    small.assert_inside_budget();
    eventually("rooms are not shown in full", async || failing().await > 0.0).await;

    // What is left fits.
    showing.truncate(1);
    eventually("all rooms are shown", async || failing().await == 0.0).await;
    for room in 0..SHOWN_ROOMS {
        let mut client = small.world.connect_for(TENANTS[0]).await;
        client.join(&format!("{ROOM} {room}"), json!({"presence": {"enabled": true}})).await;
        let state = client.next_json().await;
        let keys: Vec<_> = state[4].as_object().expect("a state").keys().collect();
        assert_eq!(keys, ["0"], "in room {room}");
    }
    small.assert_inside_budget();
}
