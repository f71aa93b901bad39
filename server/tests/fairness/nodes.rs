//! Messages of the quiet tenant to another node, while another one sends more than the bus carries.

use std::time::Duration;

use harness::{ChaosProxy, Client, Redis, World, eventually};
use serde_json::{Value, json};

use super::{Load, Program, ROOM, alone, latencies};

async fn wait_for_nodes(world: &World, nodes: usize) {
    eventually("the node is connected to the others", async || {
        world.number("realtime_bus_connected").await == 1.0
            && world.number("realtime_bus_nodes").await == nodes as f64
    })
    .await;
}

fn broadcast(payload: &Value) -> Value {
    json!({"type": "broadcast", "event": "said", "payload": payload})
}

/// Sends 15 MB/s, within the default limits.
async fn broadcast_forever(mut client: Client, topic: String) {
    client.join(&topic, json!({})).await;
    let call = broadcast(&json!({"text": "x".repeat(30_000)}));
    let mut interval = tokio::time::interval(Duration::from_millis(20));
    loop {
        interval.tick().await;
        for _ in 0..10 {
            client.push("1", &topic, "broadcast", &call).await;
        }
        client.received().await;
    }
}

// Two clients send far more than the connection to Redis carries.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_message_to_another_node_is_lost_or_late_because_another_tenant_sends_too_much() {
    let _alone = alone();
    let redis = Redis::start().await;
    let proxy = ChaosProxy::to(redis.address()).await;
    let bounds = [("REALTIME__BUS__MAX_BYTES", "2 MiB"), ("REALTIME__BUS__TIMEOUT", "20s")];
    let [one, two] = [redis.url_at(proxy.address()), redis.url()].map(|url| {
        let url = ("REDIS_URL", &*url);
        Program::start(&[url, bounds[0], bounds[1]])
    });
    wait_for_nodes(&one.world, 2).await;
    wait_for_nodes(&two.world, 2).await;
    let mut quiet = [one.world.connect_for("quiet").await, two.world.connect_for("quiet").await];
    for client in &mut quiet {
        client.join(ROOM, json!({})).await;
    }
    let mut load = Load::default();
    proxy.limit_bandwidth(2_000_000);
    for number in 0..2 {
        load.add(broadcast_forever(one.world.connect().await, format!("realtime:busy {number}")));
    }
    eventually("the load exceeds the queue", async || {
        one.world.number("realtime_bus_unsent_total").await > 100.0
    })
    .await;
    let [from, to] = &mut quiet;
    let send = async |client: &mut Client, number: usize| {
        client.push("3", ROOM, "broadcast", &broadcast(&json!({"number": number}))).await;
    };
    let is_message = |frame: &Value, number: usize| frame[4]["payload"]["number"] == number;
    let latencies = latencies(20, [from, to], send, is_message).await;
    load.assert_running();
    assert!(latencies[latencies.len() - 1] < Duration::from_secs(2), "{latencies:?}");
}
