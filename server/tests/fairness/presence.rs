//! Presence of the quiet tenant, while another one rejoins rooms that show much.

use std::time::Duration;

use harness::{Client, RawFrame, RawSocket};
use serde_json::{Value, json};

use super::{Load, Program, ROOM, alone, latencies};

fn presence(event: &str, payload: &Value) -> Value {
    json!({"type": "presence", "event": event, "payload": payload})
}

/// Joins with presence, and waits for the state.
async fn join_with_presence(client: &mut Client, topic: &str) {
    let config = json!({"config": {"presence": {"enabled": true}}});
    client.send_json(&json!(["1", "1", topic, "phx_join", config])).await;
    while client.next_json().await[3] != "presence_state" {}
}

/// The rooms of the busy tenant, and who tracks in each.
const ROOMS: usize = 90;
const HOLDERS: usize = 6;

fn busy(number: usize) -> String {
    format!("realtime:busy {number}")
}

/// Tracks 80 KB in each room.
async fn hold(client: &mut Client) {
    let much = presence("track", &json!({"text": "x".repeat(80_000)}));
    for number in 0..ROOMS {
        let join = number.to_string();
        client.send_json(&json!([join, "1", busy(number), "phx_join", {"config": {}}])).await;
        client.send_json(&json!([join, "2", busy(number), "presence", much])).await;
        client.received().await;
    }
}

async fn read_forever(mut client: Client) {
    loop {
        client.received().await;
    }
}

/// Rejoins each room, reads the states, and begins again.
async fn rejoin_forever(mut client: RawSocket) {
    let config = json!({"config": {"presence": {"enabled": true}}});
    let heartbeat =
        RawFrame::text(&json!([null, "end of the round", "phoenix", "heartbeat", {}]).to_string());
    loop {
        for number in 0..ROOMS {
            let join = json!([number.to_string(), "1", busy(number), "phx_join", config]);
            client.send(&RawFrame::text(&join.to_string())).await;
        }
        client.send(&heartbeat).await;
        loop {
            let frame = client.next().await.expect("the connection holds");
            if frame.payload.len() < 200
                && String::from_utf8_lossy(&frame.payload).contains("end of the round")
            {
                break;
            }
        }
    }
}

// The announcer serves tenants in turns: with a single line for all, 1,440 rejoins are answered before this room.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn presence_is_not_late_because_another_tenant_rejoins_rooms() {
    let _alone = alone();
    let program = Program::start(&[]);
    let mut quiet = [program.world.connect_for("quiet").await, program.world.connect_for("quiet").await];
    for client in &mut quiet {
        join_with_presence(client, ROOM).await;
    }
    let mut load = Load::default();
    for _ in 0..HOLDERS {
        let mut client = program.world.connect().await;
        hold(&mut client).await;
        load.add(read_forever(client));
    }
    for _ in 0..16 {
        load.add(rejoin_forever(program.world.raw().await));
    }
    let [from, to] = &mut quiet;
    let track = async |client: &mut Client, number: usize| {
        client.push("3", ROOM, "presence", &presence("track", &json!({"number": number}))).await;
    };
    let is_diff = |frame: &Value, number: usize| {
        let joins = frame[4]["joins"].as_object();
        joins.is_some_and(|joins| joins.values().any(|entry| entry["metas"][0]["number"] == number))
    };
    let latencies = latencies(60, [from, to], track, is_diff).await;
    load.assert_running();
    // They are gathered for 50 ms. Nine in ten: a machine that stands still for a moment delays one.
    assert!(latencies[latencies.len() * 9 / 10] < Duration::from_millis(400), "{latencies:?}");
}
