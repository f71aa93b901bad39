//! The memory of a program whose rooms show much, and whose clients do not read it.

use std::process::{Command, Stdio};

use harness::{Client, ServerProcess, TokenIssuer, World, eventually};
use serde_json::json;

const SECRET: &str = "the secret of a program, of thirty-two bytes";
const ROOM: &str = "realtime:room";

/// What the members show, in bytes each, and how many they are.
const SHOWN: usize = 2_900_000;
const MEMBERS: usize = 20;

/// Clients that join, and read nothing.
const NEWCOMERS: usize = 40;

/// What the program may take, in bytes: 58 MB for what is shown, and few copies of it in all. When each client had a state
/// of its own, it was 2.4 GB.
const RESIDENT_MAX: f64 = 300e6;

/// Joins the room with presence.
async fn join(world: &World, key: usize) -> Client {
    let mut client = world.connect().await;
    client.join(ROOM, json!({"presence": {"key": key.to_string(), "enabled": true}})).await;
    client
}

#[tokio::test]
async fn clients_that_do_not_read_a_large_presence_state_share_it() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let mut command = Command::new(env!("CARGO_BIN_EXE_realtime-server"));
    command.arg("serve").current_dir(folder.path()).env("HOST", "127.0.0.1").env("PORT", "0");
    command.env("JWT_SECRET", SECRET).env("REALTIME__LIMITS__MAX_PRESENCE_BYTES_PER_ROOM", "64 MiB");
    command.stdout(Stdio::null());
    let process = ServerProcess::start(command);
    let world = World::at(process.listening(), TokenIssuer::new(SECRET));

    for key in 0..MEMBERS {
        let mut member = join(&world, key).await;
        let payload = json!({"type": "presence", "event": "track", "payload": {"text": "x".repeat(SHOWN)}});
        member.push("track", ROOM, "presence", &payload).await;
        while member.next_json().await[1] != "track" {}
        // It reads what the others show, and keeps nothing of it.
        tokio::spawn(async move { member.end().await });
    }

    let delivered = r#"realtime_channel_presence_events{tenant="default"}"#;
    let before = world.number(delivered).await;
    let mut newcomers = Vec::new();
    for key in 0..NEWCOMERS {
        newcomers.push(join(&world, MEMBERS + key).await);
    }
    eventually("each is sent a part of the state", async || {
        world.number(delivered).await >= before + NEWCOMERS as f64
    })
    .await;
    let resident = world.number("process_resident_memory_bytes").await;
    assert!(resident < RESIDENT_MAX, "{:.0} MB", resident / 1e6);

    // One of them reads after all.
    let (mut late, mut keys) = (newcomers.swap_remove(0), 0);
    while keys < MEMBERS {
        let frame = late.next_json().await;
        let metas = if keys == 0 { &frame[4] } else { &frame[4]["joins"] };
        keys += metas.as_object().expect("keys").len();
    }
    let resident = world.number("process_resident_memory_bytes").await;
    assert!(resident < RESIDENT_MAX, "{:.0} MB", resident / 1e6);
}
