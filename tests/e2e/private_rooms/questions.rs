//! What waits for the database of a tenant: one question of each connection at a time, within the memory of the tenant.

use std::sync::Arc;
use std::time::Duration;

use harness::{Client, Postgres, eventually};
use hub::MemoryKind;
use serde_json::{Value, json};
use settings::ByteSize;

use super::{PrivateRooms, join};

/// A policy that takes longer for some rooms than a question may.
const SLOW: &str = "CREATE POLICY sleeps ON realtime.messages FOR SELECT TO authenticated
    USING (CASE WHEN topic LIKE 'slow%' THEN pg_sleep(60) IS NULL ELSE false END)";

/// Questions that are being asked.
const ASKED: &str = "SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'realtime_connect' AND wait_event = 'PgSleep'";

async fn begin_join(client: &mut Client, number: usize) -> String {
    let topic = format!("realtime:slow-{number}");
    client.push(&number.to_string(), &topic, "phx_join", &json!({"config": {"private": true}})).await;
    topic
}

// One connection had eight questions under way, more than its tenant has connections, and a join that was left still had its own.
#[tokio::test]
async fn a_client_with_slow_rooms_leaves_the_connections_to_others() {
    let rooms = PrivateRooms::with(Postgres::start(), |settings| {
        settings.database.query_timeout = Duration::from_secs(2);
    })
    .await;
    rooms.postgres.sql(SLOW);
    rooms.allow("bob", &["read broadcast"]);
    let mut ann = rooms.connect("ann").await;
    let mut bob = rooms.connect("bob").await;
    for number in 100..110 {
        let topic = begin_join(&mut ann, number).await;
        ann.settle().await;
        ann.push("leave", &topic, "phx_leave", &json!({})).await;
    }
    for number in 200..210 {
        begin_join(&mut ann, number).await;
    }
    eventually("a question is asked", async || rooms.postgres.sql(ASKED) == "1").await;
    assert_eq!(join(&mut bob, json!({})).await, Value::Null);
    assert_eq!(rooms.postgres.sql(ASKED), "1", "of all those of one connection");
    drop(ann);
    rooms.world.stop().await;
}

#[tokio::test]
async fn questions_are_within_the_memory_of_the_tenant_until_they_are_answered() {
    let rooms = PrivateRooms::with(Postgres::start(), |settings| {
        settings.server.memory_budget = Some(ByteSize::mib(64));
        settings.database.query_timeout = Duration::from_secs(2);
    })
    .await;
    rooms.postgres.sql(SLOW);
    rooms.allow("ann", &["read broadcast", "write broadcast"]);
    let held = async || rooms.world.number("realtime_memory_used_bytes{kind=\"held\"}").await;
    let mut ann = rooms.connect("ann").await;
    begin_join(&mut ann, 1).await;
    begin_join(&mut ann, 2).await;
    eventually("both questions are charged", async || held().await >= 2.0 * 1024.0).await;
    drop(ann);
    eventually("they are given back", async || held().await == 0.0).await;
    let target = "/api/broadcast/room/events/e?private=true";
    {
        let node = rooms.world.node();
        let memory = Arc::clone(&node.tenants.get("default").expect("it is configured").memory);
        let _used_up = memory.charge(MemoryKind::Presence, memory.budget().limit() * 2);
        let refused = rooms.post("ann", target, &json!({"text": "no"})).await;
        let text = "Memory for large messages is used up, try again later";
        assert_eq!((refused.status, refused.json()), (429, json!({"message": text})));
    }
    assert_eq!(rooms.world.number("realtime_memory_refused_total{kind=\"held\"}").await, 1.0);
    assert_eq!(rooms.post("ann", target, &json!({"text": "hi"})).await.status, 202);
    rooms.world.stop().await;
}
