//! Joins that wait for their authorization (docs/protocol/channels.md#waiting-joins).
//!
//! The authorizer of these tests answers topics that begin with `wait` only when the test says so, and all others at
//! once.

mod gate;

use std::sync::Arc;
use std::time::Duration;

use harness::{World, eventually};
use hub::MemoryKind;
use serde_json::json;
use settings::{ByteSize, Settings};

use crate::size;
use gate::Gate;

async fn world(gate: &Arc<Gate>, change: impl FnOnce(&mut Settings)) -> World {
    World::extended(|server| server.authorizer(Arc::clone(gate) as _), change).await
}

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
    gate.decide("wait", Ok(()));
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
async fn a_refusal_after_the_wait_is_that_of_a_refused_join() {
    let gate = Arc::new(Gate::default());
    let world = world(&gate, |_| {}).await;
    let mut room = world.conversation();
    room.check(
        r#"
        ann (v1) connects
        ann > {"topic":"realtime:wait","event":"phx_join","payload":{"config":{}},"ref":"1","join_ref":"1"}
        ann > {"topic":"realtime:wait","event":"broadcast","payload":{"event":"hi"},"ref":"2"}
        ann is quiet
        "#,
    )
    .await;
    gate.decide("wait", Err(Gate::refused()));
    room.check(
        r#"
        ann < {"topic":"realtime:wait","event":"phx_reply","payload":{"status":"error","response":{"reason":"UnableToConnectToProject: not allowed"}},"ref":"1"}
        ann < {"topic":"realtime:wait","event":"phx_reply","payload":{"status":"error","response":{"reason":"unmatched topic"}},"ref":"2"}
        ann is quiet
        ann > {"topic":"realtime:open","event":"phx_join","payload":{"config":{}},"ref":"3","join_ref":"3"}
        ann < {"topic":"realtime:open","event":"phx_reply","payload":{"status":"ok","response":{"postgres_changes":[]}},"ref":"3"}
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

// The time counts from the join on, so that a join which waits for its turn is refused as early.
#[tokio::test]
async fn a_join_is_refused_when_its_authorization_takes_too_long() {
    let gate = Arc::new(Gate::default());
    let world = world(&gate, |settings| {
        settings.server.authorization_timeout = Duration::from_millis(300);
        settings.server.max_tasks_per_connection = size(1);
    })
    .await;
    let mut room = world.conversation();
    room.check(
        r#"
        ann connects
        ann > ["1","1","realtime:wait-1","phx_join",{"config":{}}]
        ann > ["2","2","realtime:wait-2","phx_join",{"config":{}}]
        ann > ["1","3","realtime:wait-1","broadcast",{"event":"hi"}]
        ann < ["1","1","realtime:wait-1","phx_reply",{"status":"error","response":{"reason":"UnableToConnectToProject: Realtime was unable to connect to the project database"}}]
        ann < [null,"3","realtime:wait-1","phx_reply",{"status":"error","response":{"reason":"unmatched topic"}}]
        ann < ["2","2","realtime:wait-2","phx_reply",{"status":"error","response":{"reason":"UnableToConnectToProject: Realtime was unable to connect to the project database"}}]
        ann is quiet
        "#,
    )
    .await;
    gate.cancelled(2).await;
    world.apply(|settings| settings.server.authorization_timeout = Duration::from_secs(60));
    room.check(
        r#"
        ann > ["4","4","realtime:wait-1","phx_join",{"config":{}}]
        ann is quiet
        "#,
    )
    .await;
    gate.decide("wait-1", Ok(()));
    room.check(
        r#"ann < ["4","4","realtime:wait-1","phx_reply",{"status":"ok","response":{"postgres_changes":[]}}]"#,
    )
    .await;
    world.stop().await;
}

#[tokio::test]
async fn a_leave_cancels_the_wait() {
    let gate = Arc::new(Gate::default());
    let world = world(&gate, |_| {}).await;
    let mut room = world.conversation();
    room.check(
        r#"
        ann connects
        ann > ["4","4","realtime:wait","phx_join",{"config":{}}]
        ann > ["4","5","realtime:wait","broadcast",{"event":"hi"}]
        # That of an earlier join is not meant.
        ann > ["3","6","realtime:wait","phx_leave",{}]
        ann is quiet
        ann > ["4","7","realtime:wait","phx_leave",{}]
        ann < [null,"5","realtime:wait","phx_reply",{"status":"error","response":{"reason":"unmatched topic"}}]
        ann < ["4","7","realtime:wait","phx_reply",{"status":"ok","response":{}}]
        ann < ["4","4","realtime:wait","phx_close",{}]
        ann is quiet
        "#,
    )
    .await;
    gate.cancelled(1).await;
    room.check("ann > [null,\"8\",\"realtime:wait\",\"phx_leave\",{}]").await;
    room.check(r#"ann < [null,"8","realtime:wait","phx_reply",{"status":"ok","response":{}}]"#).await;
    world.stop().await;
}

#[tokio::test]
async fn the_end_of_the_connection_cancels_the_wait() {
    let gate = Arc::new(Gate::default());
    let world = world(&gate, |_| {}).await;
    let mut room = world.conversation();
    room.check(
        r#"
        ann connects
        ann > ["1","1","realtime:wait-1","phx_join",{"config":{}}]
        ann > ["2","2","realtime:wait-2","phx_join",{"config":{}}]
        ann is quiet
        "#,
    )
    .await;
    gate.working(2).await;
    room.check("ann vanishes").await;
    gate.cancelled(2).await;
    eventually("the connection has ended", async || world.node().connections() == 0).await;
    world.stop().await;
}

// docs/protocol/websocket.md#connections-without-channels
#[tokio::test]
async fn a_client_whose_join_waits_is_not_one_without_channels() {
    let gate = Arc::new(Gate::default());
    let world =
        world(&gate, |settings| settings.server.no_channel_timeout = Duration::from_millis(200)).await;
    let mut room = world.conversation();
    room.check(
        r#"
        ann connects
        ann > ["1","1","realtime:wait","phx_join",{"config":{}}]
        ann is quiet
        "#,
    )
    .await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    gate.decide("wait", Err(Gate::refused()));
    room.check(
        r#"
        ann < ["1","1","realtime:wait","phx_reply",{"status":"error","response":{"reason":"UnableToConnectToProject: not allowed"}}]
        ann is closed 1013
        "#,
    )
    .await;
    world.stop().await;
}

// docs/protocol/channels.md#repeated-joins, for a join that has not been answered yet.
#[tokio::test]
async fn another_join_of_the_topic_replaces_the_waiting_one() {
    let gate = Arc::new(Gate::default());
    let world = world(&gate, |_| {}).await;
    let mut room = world.conversation();
    room.check(
        r#"
        bob connects
        bob > ["1","1","realtime:wait","phx_join",{"config":{}}]
        bob is quiet
        "#,
    )
    .await;
    gate.decide("wait", Ok(()));
    room.check(
        r#"
        bob < ["1","1","realtime:wait","phx_reply",_]
        ann connects
        ann > ["1","1","realtime:wait","phx_join",{"config":{}}]
        ann > ["1","2","realtime:wait","broadcast",{"event":"to the old join"}]
        ann > ["3","3","realtime:wait","phx_join",{"config":{}}]
        ann > ["3","4","realtime:wait","broadcast",{"event":"to the new join"}]
        ann < [null,"2","realtime:wait","phx_reply",{"status":"error","response":{"reason":"unmatched topic"}}]
        ann is quiet
        "#,
    )
    .await;
    gate.cancelled(1).await;
    gate.decide("wait", Ok(()));
    room.check(
        r#"
        ann < ["3","3","realtime:wait","phx_reply",{"status":"ok","response":{"postgres_changes":[]}}]
        ann < ["1","1","realtime:wait","phx_close",{}]
        bob < [null,null,"realtime:wait","broadcast",{"event":"to the new join"}]
        ann, bob are quiet
        # A joined topic that is joined again, twice: the member leaves at once, and each join but the last is closed.
        ann > ["5","5","realtime:wait","phx_join",{"config":{}}]
        bob > ["1","9","realtime:wait","broadcast",{"event":"between"}]
        bob is quiet
        ann is quiet
        ann > ["6","6","realtime:wait","phx_join",{"config":{}}]
        ann < ["3","3","realtime:wait","phx_close",{}]
        ann is quiet
        "#,
    )
    .await;
    gate.decide("wait", Err(Gate::refused()));
    room.check(
        r#"
        ann < ["6","6","realtime:wait","phx_reply",{"status":"error","response":{"reason":"UnableToConnectToProject: not allowed"}}]
        ann < ["5","5","realtime:wait","phx_close",{}]
        ann is quiet
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
        ann < ["1","4","realtime:wait","phx_reply",{{"status":"error","response":{{"reason":"Too many messages before the join is answered"}}}}]
        ann > ["2","5","realtime:wait-2","broadcast",{{}}]
        ann < ["2","5","realtime:wait-2","phx_reply",{{"status":"error","response":{{"reason":"Too many messages before the join is answered"}}}}]
        ann is quiet
        "#,
    ))
    .await;
    gate.decide("wait", Ok(()));
    room.check(
        r#"
        ann < ["1","1","realtime:wait","phx_reply",_]
        ann < ["1","3","realtime:wait","phx_reply",{"status":"ok","response":{}}]
        # There is room again, but none for a topic whose earlier message was refused.
        ann > ["2","6","realtime:wait-2","broadcast",{}]
        ann < ["2","6","realtime:wait-2","phx_reply",{"status":"error","response":{"reason":"Too many messages before the join is answered"}}]
        ann > ["9","10","realtime:wait-3","broadcast",{}]
        ann > ["9","11","realtime:wait-3","broadcast",{}]
        ann > ["9","12","realtime:wait-3","broadcast",{}]
        ann < ["9","12","realtime:wait-3","phx_reply",{"status":"error","response":{"reason":"Too many messages before the join is answered"}}]
        "#,
    )
    .await;
    gate.decide("wait-2", Ok(()));
    room.check(
        r#"
        ann < ["2","2","realtime:wait-2","phx_reply",_]
        ann > ["2","7","realtime:wait-2","broadcast",{}]
        ann < ["2","7","realtime:wait-2","phx_reply",{"status":"ok","response":{}}]
        "#,
    )
    .await;
    gate.decide("wait-3", Ok(()));
    room.check(
        r#"
        ann < ["9","9","realtime:wait-3","phx_reply",_]
        ann < ["9","10","realtime:wait-3","phx_reply",{"status":"ok","response":{}}]
        ann < ["9","11","realtime:wait-3","phx_reply",{"status":"ok","response":{}}]
        ann is quiet
        "#,
    )
    .await;
    let refused = world
        .number(r#"realtime_limits_refused_total{tenant="default",setting="server.max_held_messages"}"#)
        .await;
    assert!((refused - 4.0).abs() < f64::EPSILON, "{refused} messages counted as refused");
    world.stop().await;
}

#[tokio::test]
async fn held_messages_are_within_the_memory_of_the_tenant() {
    let gate = Arc::new(Gate::default());
    let world = world(&gate, |_| {}).await;
    let node = world.node();
    let memory = &node.tenants.default_tenant().memory;
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
    gate.decide("wait", Ok(()));
    for reference in ["1", "2", "3"] {
        let reply = ann.next_json().await;
        assert_eq!((&reply[1], &reply[4]["status"]), (&json!(reference), &json!("ok")));
    }
    assert_eq!(memory.used(MemoryKind::Held), 0);
    world.stop().await;
}

#[tokio::test]
async fn only_so_many_tasks_of_a_connection_work_at_once() {
    let gate = Arc::new(Gate::default());
    let world = world(&gate, |settings| {
        settings.server.max_tasks_per_connection = size(1);
        settings.limits.max_channels_per_client = size(3);
    })
    .await;
    let mut room = world.conversation();
    room.check(
        r#"
        ann joins realtime:open
        ann > ["2","2","realtime:wait-1","phx_join",{"config":{}}]
        ann > ["3","3","realtime:wait-2","phx_join",{"config":{}}]
        # Waiting joins count among the channels of the connection.
        ann > ["4","4","realtime:third","phx_join",{"config":{}}]
        ann < ["4","4","realtime:third","phx_reply",{"status":"error","response":{"reason":"ChannelRateLimitReached: Too many channels"}}]
        ann is quiet
        "#,
    )
    .await;
    gate.decide("wait-2", Ok(()));
    gate.working(1).await;
    room.check("ann is quiet").await;
    gate.decide("wait-1", Ok(()));
    room.check(
        r#"
        ann < ["2","2","realtime:wait-1","phx_reply",_]
        ann < ["3","3","realtime:wait-2","phx_reply",_]
        "#,
    )
    .await;
    world.stop().await;
}

// The setting is that of the connection's handshake, whenever its first join waits.
#[tokio::test]
async fn a_change_of_the_number_of_tasks_applies_to_new_connections() {
    let gate = Arc::new(Gate::default());
    let world = world(&gate, |_| {}).await;
    let mut room = world.conversation();
    room.check("ann joins realtime:open").await;
    world.apply(|settings| settings.server.max_tasks_per_connection = size(1));
    room.check(
        r#"
        ann > ["2","2","realtime:wait-1","phx_join",{"config":{}}]
        ann > ["3","3","realtime:wait-2","phx_join",{"config":{}}]
        ann is quiet
        "#,
    )
    .await;
    gate.working(2).await;
    room.check(
        r#"
        bob connects
        bob > ["1","1","realtime:wait-3","phx_join",{"config":{}}]
        bob > ["2","2","realtime:wait-4","phx_join",{"config":{}}]
        bob is quiet
        "#,
    )
    .await;
    gate.working(3).await;
    world.stop().await;
}

#[tokio::test]
async fn what_has_changed_during_the_wait_is_checked_again() {
    let gate = Arc::new(Gate::default());
    let world = world(&gate, |_| {}).await;
    let mut room = world.conversation();
    room.check(
        r#"
        ann connects
        ann > ["1","1","realtime:wait-public","phx_join",{"config":{}}]
        ann > ["2","2","realtime:wait-private","phx_join",{"config":{"private":true}}]
        ann > ["3","3","realtime:wait-token","phx_join",{"config":{"private":true}}]
        ann is quiet
        "#,
    )
    .await;
    world.apply(|settings| settings.tenants.entry("default".into()).or_default().private_only = true);
    gate.decide("wait-public", Ok(()));
    room.check(r#"ann < ["1","1","realtime:wait-public","phx_reply",{"status":"error","response":{"reason":"PrivateOnly: This project only allows private channels"}}]"#).await;
    gate.decide("wait-private", Ok(()));
    room.check(
        r#"
        ann < ["2","2","realtime:wait-private","phx_reply",{"status":"ok","response":{"postgres_changes":[]}}]
        ann is quiet
        "#,
    )
    .await;
    world.apply(|settings| settings.auth.jwt_secret = Some("another secret".into()));
    room.check(
        r#"
        ann < ["2",null,"realtime:wait-private","system",{"status":"error","extension":"system","message":"The key that signed this token is no longer accepted","channel":"wait-private"}]
        ann < ["2","2","realtime:wait-private","phx_error",{"reason":"channel_crash"}]
        "#,
    )
    .await;
    gate.decide("wait-token", Ok(()));
    room.check(r#"ann < ["3","3","realtime:wait-token","phx_reply",{"status":"error","response":{"reason":"JwtKeyRevoked: The key that signed this token is no longer accepted"}}]"#).await;
    world.stop().await;
}

// A public channel ends when its tenant allows none any more, a private one stays.
#[tokio::test]
async fn private_channels_stay_when_public_ones_end() {
    let gate = Arc::new(Gate::default());
    let world = world(&gate, |_| {}).await;
    let mut room = world.conversation();
    room.check(
        r#"
        ann joins realtime:public
        ann joins realtime:private {"private":true}
        bob joins realtime:private {"private":true}
        # A public room of the same name is another room.
        carl joins realtime:private
        ann > ["2","3","realtime:private","broadcast",{"event":"hi"}]
        bob < [null,null,"realtime:private","broadcast",{"event":"hi"}]
        carl is quiet
        "#,
    )
    .await;
    world.apply(|settings| settings.tenants.entry("default".into()).or_default().private_only = true);
    room.check(
        r#"
        ann < ["1",null,"realtime:public","system",_]
        ann < ["1","1","realtime:public","phx_close",{}]
        ann, bob are quiet
        ann > ["2","4","realtime:private","broadcast",{"event":"again"}]
        bob < [null,null,"realtime:private","broadcast",{"event":"again"}]
        "#,
    )
    .await;
    world.stop().await;
}

#[tokio::test]
async fn a_stop_disconnects_clients_whose_join_waits() {
    let gate = Arc::new(Gate::default());
    let world = world(&gate, |_| {}).await;
    let mut room = world.conversation();
    room.check(
        r#"
        ann connects
        ann > ["1","1","realtime:wait","phx_join",{"config":{}}]
        ann > ["1","2","realtime:wait","broadcast",{"event":"hi"}]
        ann is quiet
        the server stops
        ann is closed 1012
        "#,
    )
    .await;
    gate.cancelled(1).await;
}
