//! Messages to a topic whose join waits: they are held, within bounds, and answered after the join.

use std::sync::Arc;
use std::time::Duration;

use hub::MemoryKind;
use serde_json::json;
use settings::{ByteSize, Settings};

use realtime_server::auth::Rights;

use super::gate::Gate;
use super::world;
use crate::size;

#[tokio::test]
async fn messages_to_a_topic_that_is_being_joined_are_answered_in_order_after_the_join() {
    let gate = Arc::new(Gate::default());
    let world = world(&gate, |_| {}).await;
    let mut room = world.conversation();
    room.check(
        r#"
        ann connects
        ann > ["1","1","realtime:wait","phx_join",{"config":{"broadcast":{"ack":true,"self":true},"presence":{"key":"ann"}}}]
        ann > ["1","2","realtime:wait","broadcast",{"event":"first"}]
        ann > ["1","3","realtime:wait","presence",{"event":"track","payload":[]}]
        ann > binary 03 01 01 0d 06 00 01 '1' '4' 'realtime:wait' 'second' '{}'
        ann > ["1","5","realtime:wait","presence",{"event":"untrack"}]
        # Heartbeats and other topics go on.
        ann is quiet
        ann > ["7","7","realtime:other","phx_join",{"config":{"broadcast":{"ack":true}}}]
        ann > ["7","8","realtime:other","broadcast",{"event":"meanwhile"}]
        ann < ["7","7","realtime:other","phx_reply",{"status":"ok","response":{"postgres_changes":[]}}]
        ann < ["7","8","realtime:other","phx_reply",{"status":"ok","response":{}}]
        ann is quiet
        "#,
    )
    .await;
    gate.decide("wait", Ok(Rights::ALL));
    room.check(
        r#"
        ann < ["1","1","realtime:wait","phx_reply",{"status":"ok","response":{"postgres_changes":[]}}]
        ann < [null,null,"realtime:wait","broadcast",{"event":"first"}]
        ann < ["1","2","realtime:wait","phx_reply",{"status":"ok","response":{}}]
        ann < ["1","3","realtime:wait","phx_reply",{"status":"error","response":{"reason":"Presence track payload must be a map"}}]
        ann < binary 04 0d 06 00 01 'realtime:wait' 'second' '{}'
        ann < ["1","4","realtime:wait","phx_reply",{"status":"ok","response":{}}]
        ann < ["1","5","realtime:wait","phx_reply",{"status":"ok","response":{}}]
        ann < ["1",null,"realtime:wait","presence_state",{}]
        ann > ["1","6","realtime:wait","broadcast",{"event":"later"}]
        ann < [null,null,"realtime:wait","broadcast",{"event":"later"}]
        ann < ["1","6","realtime:wait","phx_reply",{"status":"ok","response":{}}]
        ann is quiet
        "#,
    )
    .await;
    world.stop().await;
}

#[tokio::test]
async fn held_messages_are_answered_before_a_delayed_refusal() {
    let gate = Arc::new(Gate::default());
    let delayed =
        |settings: &mut Settings| settings.server.channel_error_backoff = Duration::from_millis(300);
    let world = world(&gate, delayed).await;
    let mut room = world.conversation();
    room.check(
        r#"
        ann connects
        ann > ["1","1","realtime:wait","phx_join",{"config":{}}]
        ann > ["1","2","realtime:wait","broadcast",{"event":"hi"}]
        ann is quiet
        "#,
    )
    .await;
    gate.decide("wait", Err(Gate::refused()));
    room.check(
        r#"
        ann < [null,"2","realtime:wait","phx_reply",{"status":"error","response":{"reason":"unmatched topic"}}]
        ann < ["1","1","realtime:wait","phx_reply",{"status":"error","response":{"reason":"UnableToConnectToProject: not allowed"}}]
        "#,
    )
    .await;
    world.stop().await;
}

#[tokio::test]
async fn held_messages_are_bounded_by_number_and_by_bytes() {
    let gate = Arc::new(Gate::default());
    let world = world(&gate, |settings| {
        settings.server.max_held_messages = size(2);
        settings.server.max_held_bytes = ByteSize::kib(1);
    })
    .await;
    let long = json!({ "event": "long", "text": "x".repeat(1_000) });
    let mut room = world.conversation();
    room.check(&format!(
        r#"
        ann connects
        ann > ["1","1","realtime:wait","phx_join",{{"config":{{"broadcast":{{"ack":true}}}}}}]
        ann > ["2","2","realtime:wait-2","phx_join",{{"config":{{"broadcast":{{"ack":true}}}}}}]
        ann > ["9","9","realtime:wait-3","phx_join",{{"config":{{"broadcast":{{"ack":true}}}}}}]
        ann > ["1","3","realtime:wait","broadcast",{long}]
        ann > ["1","4","realtime:wait","broadcast",{long}]
        ann < ["1","4","realtime:wait","phx_reply",{{"status":"error","response":{{"reason":"Too large messages before the join is answered"}}}}]
        ann > ["2","5","realtime:wait-2","broadcast",{{}}]
        ann < ["2","5","realtime:wait-2","phx_reply",{{"status":"error","response":{{"reason":"Too large messages before the join is answered"}}}}]
        ann is quiet
        "#,
    ))
    .await;
    gate.decide("wait", Ok(Rights::ALL));
    room.check(
        r#"
        ann < ["1","1","realtime:wait","phx_reply",_]
        ann < ["1","3","realtime:wait","phx_reply",{"status":"ok","response":{}}]
        # There is room again, but none for a topic whose earlier message was refused.
        ann > ["2","6","realtime:wait-2","broadcast",{}]
        ann < ["2","6","realtime:wait-2","phx_reply",{"status":"error","response":{"reason":"Too large messages before the join is answered"}}]
        ann > ["9","10","realtime:wait-3","broadcast",{}]
        ann > ["9","11","realtime:wait-3","broadcast",{}]
        ann > ["9","12","realtime:wait-3","broadcast",{}]
        ann < ["9","12","realtime:wait-3","phx_reply",{"status":"error","response":{"reason":"Too many messages before the join is answered"}}]
        "#,
    )
    .await;
    gate.decide("wait-2", Ok(Rights::ALL));
    room.check(
        r#"
        ann < ["2","2","realtime:wait-2","phx_reply",_]
        ann > ["2","7","realtime:wait-2","broadcast",{}]
        ann < ["2","7","realtime:wait-2","phx_reply",{"status":"ok","response":{}}]
        "#,
    )
    .await;
    gate.decide("wait-3", Ok(Rights::ALL));
    room.check(
        r#"
        ann < ["9","9","realtime:wait-3","phx_reply",_]
        ann < ["9","10","realtime:wait-3","phx_reply",{"status":"ok","response":{}}]
        ann < ["9","11","realtime:wait-3","phx_reply",{"status":"ok","response":{}}]
        ann is quiet
        "#,
    )
    .await;
    for (setting, expected) in [("server.max_held_messages", 1.0), ("server.max_held_bytes", 3.0)] {
        let counter = format!(r#"realtime_limits_refused_total{{tenant="default",setting="{setting}"}}"#);
        assert!((world.number(&counter).await - expected).abs() < f64::EPSILON, "{setting}");
    }
    world.stop().await;
}

#[tokio::test]
async fn held_messages_are_within_the_memory_of_the_tenant() {
    let gate = Arc::new(Gate::default());
    let world = world(&gate, |_| {}).await;
    let node = world.node();
    let memory = Arc::clone(&node.tenants.get("default").expect("it is configured").memory);
    let mut ann = world.connect().await;
    ann.push("1", "realtime:wait", "phx_join", &json!({"config": {"broadcast": {"ack": true}}})).await;
    let long = json!({"event": "long", "text": "x".repeat(10_000)});
    for reference in ["2", "3"] {
        ann.push(reference, "realtime:wait", "broadcast", &long).await;
    }
    ann.settle().await;
    let held = memory.used(MemoryKind::Held);
    assert!((20_000..21_000).contains(&held), "{held}");
    let used_up = memory.charge(MemoryKind::Connections, memory.budget().limit());
    ann.push("4", "realtime:wait", "broadcast", &long).await;
    let refused = ann.next_json().await;
    assert_eq!((&refused[1], &refused[4]["status"]), (&json!("4"), &json!("error")));
    drop(used_up);
    gate.decide("wait", Ok(Rights::ALL));
    for reference in ["1", "2", "3"] {
        let reply = ann.next_json().await;
        assert_eq!((&reply[1], &reply[4]["status"]), (&json!(reference), &json!("ok")));
    }
    assert_eq!(memory.used(MemoryKind::Held), 0);
    world.stop().await;
}
