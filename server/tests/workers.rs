//! Several workers serve one room, and a stop ends them all.

use std::process::{Command, Stdio};

use harness::{Client, ServerProcess, TokenIssuer, World};
use rustix::process::Signal;
use serde_json::json;

const PROGRAM: &str = env!("CARGO_BIN_EXE_realtime-server");
const SECRET: &str = "the secret of the workers' test, of 32 bytes or more";
const TOPIC: &str = "realtime:room";
const WORKERS: usize = 3;
const MEMBERS: usize = 12;
const MESSAGES: usize = 50;

fn threads(process: &ServerProcess) -> Vec<String> {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", process.id())).expect("the process runs");
    let name =
        |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
    tasks.flatten().map(|task| name(task).trim().to_owned()).collect()
}

/// Sends numbered messages, and receives those of all others: each sender's in order.
async fn talk(mut client: Client, own: usize) -> Client {
    for number in 0..MESSAGES {
        let payload = json!({"type": "broadcast", "event": "m", "payload": {"from": own, "number": number}});
        client.push(&number.to_string(), TOPIC, "broadcast", &payload).await;
    }
    let mut next = [0; MEMBERS];
    for _ in 0..MESSAGES * (MEMBERS - 1) {
        let message = client.next_json().await;
        let payload = &message[4]["payload"];
        let from = payload["from"].as_u64().expect("a sender") as usize;
        assert_eq!(payload["number"], next[from], "of {from} to {own}: {message}");
        next[from] += 1;
    }
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn members_on_all_workers_receive_every_message_in_order() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let mut command = Command::new(PROGRAM);
    command.arg("serve").current_dir(folder.path()).env("HOST", "127.0.0.1").env("PORT", "0");
    command.env("JWT_SECRET", SECRET).env("REALTIME__SERVER__WORKER_THREADS", WORKERS.to_string());
    command.env("REALTIME__SERVER__DRAIN_DELAY", "0s").env("REALTIME__SERVER__DRAIN_TIMEOUT", "0s");
    command.env("REALTIME__LIMITS__MAX_EVENTS_PER_SECOND", "100000").stdout(Stdio::null());
    let mut process = ServerProcess::start(command);
    let world = World::at(process.listening(), TokenIssuer::new(SECRET));
    for worker in 1..WORKERS {
        assert!(threads(&process).contains(&format!("worker-{worker}")), "{:?}", threads(&process));
    }

    let mut members = Vec::new();
    for _ in 0..MEMBERS {
        let mut client = world.connect().await;
        client.join(TOPIC, json!({})).await;
        members.push(client);
    }
    let talks: Vec<_> =
        members.into_iter().enumerate().map(|(own, client)| tokio::spawn(talk(client, own))).collect();
    let mut members = Vec::new();
    for talk in talks {
        members.push(talk.await.expect("every message arrives"));
    }
    process.signal(Signal::TERM);
    for member in &mut members {
        assert_eq!(member.drain_to_close().await, Some(1012), "clients of all workers learn of the stop");
    }
    drop(members);
    assert!(process.exit().0.success());
}
