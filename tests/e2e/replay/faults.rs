//! A replay that fails ends the join, and nothing else.

use std::time::Duration;

use harness::{ChaosProxy, Redis, World};
use serde_json::{Value, json};
use settings::ByteSize;

use super::database::{ann, send};
use super::refusal;
use crate::bus::{at, wait_for_disconnect, wait_for_nodes};
use crate::private_rooms::PrivateRooms;

const ROOM: &str = "realtime:room";
const UNABLE: &str = "UnableToReplayMessages: Realtime was unable to replay messages";

#[tokio::test]
async fn a_query_that_takes_too_long_refuses_the_join() {
    let rooms = PrivateRooms::with(harness::Postgres::start(), |settings| {
        settings.database.query_timeout = Duration::from_millis(300);
    })
    .await;
    rooms.allow("ann", &["read broadcast"]);
    send(&rooms, 1..=1);
    let mut reason = Value::Null;
    // The rights of a client that has just asked are known, so that the lock delays the messages alone. On a slow machine
    // they may be asked again.
    for _ in 0..10 {
        let mut session = rooms.postgres.session();
        assert_eq!(refusal(&mut ann(&rooms).await, ROOM, json!(null), true).await, Value::Null);
        session.run("BEGIN; LOCK TABLE realtime.messages IN ACCESS EXCLUSIVE MODE");
        reason = refusal(&mut ann(&rooms).await, ROOM, json!({"since": 0}), true).await;
        session.run("ROLLBACK");
        if reason == UNABLE {
            break;
        }
    }
    assert_eq!(reason, UNABLE);
    assert_eq!(rooms.world.number(r#"realtime_replays_failed_total{tenant="default"}"#).await, 1.0);
    let codes = r#"realtime_codes_total{tenant="default",code="UnableToReplayMessages"}"#;
    assert!(rooms.world.number(codes).await >= 1.0);
    assert_eq!(refusal(&mut ann(&rooms).await, ROOM, json!({"since": 0}), true).await, Value::Null);
    rooms.world.stop().await;
}

#[tokio::test]
async fn a_table_that_cannot_be_read_refuses_the_join() {
    let rooms = super::database::rooms().await;
    rooms.postgres.sql("ALTER TABLE realtime.messages RENAME COLUMN binary_payload TO other");
    assert_eq!(refusal(&mut ann(&rooms).await, ROOM, json!({"since": 0}), true).await, UNABLE);
    assert_eq!(refusal(&mut ann(&rooms).await, ROOM, json!(null), true).await, Value::Null);
    rooms.world.stop().await;
}

#[tokio::test]
async fn messages_that_there_is_no_memory_for_refuse_the_join() {
    let rooms = super::database::rooms().await;
    rooms.postgres.sql(
        "SELECT realtime.send(jsonb_build_object('text', repeat('x', 2000000)), 'e', 'room') FROM generate_series(1, 25)",
    );
    rooms.world.apply(|settings| settings.server.memory_budget = Some(ByteSize::mib(48)));
    let reason = refusal(&mut ann(&rooms).await, ROOM, json!({"since": 0}), true).await;
    assert!(reason.as_str().is_some_and(|reason| reason.starts_with("MemoryLimitReached: ")), "{reason}");
    let messages = super::database::replayed(&rooms, json!({"since": 0, "limit": 1})).await;
    assert_eq!(messages.len(), 1);
    rooms.world.stop().await;
}

// Otherwise what follows would be dropped.
#[tokio::test]
async fn no_more_is_sent_than_half_of_what_may_be_queued() {
    let rooms = super::database::rooms().await;
    rooms.postgres.sql(
        "SELECT realtime.send(jsonb_build_object('text', repeat('x', 1000000)), 'e', 'room') FROM generate_series(1, 9)",
    );
    let messages = super::database::replayed(&rooms, json!({"since": 0})).await;
    assert_eq!((messages.len(), &messages[0]["status"]), (5, &json!("ok")), "a notice, and 4 MB of 8 MiB");
    rooms.world.stop().await;
}

// Otherwise a client that joins many rooms would have all connections to the database of its tenant.
#[tokio::test]
async fn the_messages_of_one_connection_are_read_one_room_after_the_other() {
    let rooms = super::database::rooms().await;
    let topic = |number: u32| format!("realtime:room-{number}");
    rooms.postgres.sql(
        "INSERT INTO public.rights SELECT 'ann', 'room-' || n, 'read broadcast' FROM generate_series(0, 9) AS n",
    );
    let mut session = rooms.postgres.session();
    let mut client = ann(&rooms).await;
    for number in 0..10 {
        assert_eq!(refusal(&mut client, &topic(number), Value::Null, true).await, Value::Null);
    }
    session.run("BEGIN; LOCK TABLE realtime.messages IN ACCESS EXCLUSIVE MODE");
    let mut client = ann(&rooms).await;
    for number in 0..10 {
        let config = json!({"private": true, "broadcast": {"replay": {"since": 0}}});
        client.push("1", &topic(number), "phx_join", &json!({ "config": config })).await;
    }
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'realtime_connect' AND wait_event_type = 'Lock'";
    harness::eventually("one waits", async || rooms.postgres.sql(waiting) != "0").await;
    client.settle().await;
    assert_eq!(rooms.postgres.sql(waiting), "1");
    session.run("ROLLBACK");
    for _ in 0..10 {
        assert_eq!(client.next_json().await["payload"]["status"], "ok");
    }
    rooms.world.stop().await;
}

#[tokio::test]
async fn a_room_whose_history_cannot_be_read_refuses_the_join() {
    let redis = Redis::start().await;
    let proxy = ChaosProxy::to(redis.address()).await;
    let world = World::with(|settings| {
        at(&redis, proxy.address())(settings);
        settings.broadcast.history = super::history();
    })
    .await;
    wait_for_nodes(&world, 1).await;
    super::send(&world, super::ROOM, 1..=2).await;
    proxy.cut();
    wait_for_disconnect(&world).await;
    let mut client = super::v1(&world).await;
    assert_eq!(refusal(&mut client, super::ROOM, json!({"since": 0}), false).await, UNABLE);
    assert_eq!(refusal(&mut client, super::ROOM, Value::Null, false).await, Value::Null);
    proxy.mend();
    wait_for_nodes(&world, 1).await;
    assert_eq!(super::numbers(&super::replayed(&world, super::ROOM, json!({"since": 0})).await), [1, 2]);
    world.stop().await;
}
