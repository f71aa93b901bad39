//! Settings that change while clients are connected: what changes for which clients, without their sending anything. How
//! settings are read again is tested in server/tests/reload.

use std::time::{Duration, Instant};

use harness::{Client, Frame, Request, Token, TokenIssuer, World, eventually};
use serde_json::{Value, json};
use settings::{ByteSize, Settings};

use crate::{count, size};

const ROOM: &str = "realtime:room";

/// How soon a change has to reach an idle socket, on a busy machine. Without a notification it would at the next ping, after half a minute.
const SOON: Duration = Duration::from_secs(10);

fn tenant<'a>(settings: &'a mut Settings, id: &str) -> &'a mut settings::Tenant {
    settings.tenants.get_mut(id).expect("the tenant is there")
}

fn system_message(join_ref: &str, topic: &str, status: &str, message: &str) -> Value {
    let channel = topic.trim_start_matches("realtime:");
    json!([join_ref, null, topic, "system", {"extension": "system", "status": status, "message": message, "channel": channel}])
}

fn revoked(join_ref: &str, topic: &str) -> [Value; 2] {
    [
        system_message(join_ref, topic, "error", "The key that signed this token is no longer accepted"),
        json!([join_ref, join_ref, topic, "phx_error", {"reason": "channel_crash"}]),
    ]
}

/// Joins with a token in the join.
async fn join_with(client: &mut Client, reference: &str, topic: &str, token: &str) -> Value {
    let join = json!([reference, reference, topic, "phx_join", {"config": {}, "access_token": token}]);
    client.send_json(&join).await;
    client.next_json().await[4].clone()
}

fn joined() -> Value {
    json!({"status": "ok", "response": {"postgres_changes": []}})
}

#[tokio::test]
async fn a_removed_secret_ends_exactly_the_channels_it_verified() {
    let next = TokenIssuer::new("the next secret, of at least thirty-two bytes");
    let world = World::start().await;
    // Both are accepted for a while, as in every rotation.
    world.apply(|settings| settings.auth.jwt_secrets = vec![next.secret().into()]);
    let (old, new) = (world.token(Token::Valid), next.token(Token::Valid));
    let mut ann = world.connect().await;
    assert_eq!(join_with(&mut ann, "1", "realtime:old", &old).await, joined());
    assert_eq!(join_with(&mut ann, "2", "realtime:new", &new).await, joined());
    let mut bob = world.connect().await;
    bob.join("realtime:new", json!({})).await; // with the token of its handshake: the old one

    let since = Instant::now();
    world.apply(|settings| {
        settings.auth.jwt_secrets.clear();
        settings.auth.jwt_secret = Some(next.secret().into());
    });
    for expected in revoked("1", "realtime:old") {
        assert_eq!(ann.next_json().await, expected);
    }
    for expected in revoked("1", "realtime:new") {
        assert_eq!(bob.next_json().await, expected);
    }
    assert!(since.elapsed() < SOON, "noticed after {:?}", since.elapsed());

    // The sockets are open, ann's other channel is as it was, and a new token is accepted.
    ann.push("3", "realtime:new", "broadcast", &json!({"still": "in"})).await;
    ann.expect_quiet().await;
    bob.push("4", "realtime:new", "phx_join", &json!({"config": {}})).await;
    let reason = "JwtKeyRevoked: The key that signed this token is no longer accepted";
    assert_eq!(
        bob.next_json().await[4],
        json!({"status": "error", "response": {"reason": reason}}),
        "the token of the handshake is no longer accepted"
    );
    assert_eq!(join_with(&mut bob, "5", "realtime:new", &new).await, joined());
    ann.push("3", "realtime:new", "broadcast", &json!({"hello": "again"})).await;
    assert_eq!(bob.next_json().await[4], json!({"hello": "again"}));
    world.stop().await;
}

#[tokio::test]
async fn a_suspended_tenant_disconnects_its_idle_sockets_and_no_others() {
    let world = World::with_tenants(&["acme", "globex"]).await;
    let mut ann = world.connect_for("acme").await;
    ann.join(ROOM, json!({})).await;
    let mut idle = world.connect_for("acme").await;
    let mut bob = world.connect_for("globex").await;
    bob.join(ROOM, json!({})).await;
    idle.settle().await;

    let since = Instant::now();
    world.apply(|settings| tenant(settings, "acme").suspended = true);
    assert_eq!(ann.next_json().await, system_message("1", ROOM, "ok", "Server requested disconnect"));
    assert_eq!((ann.expect_close().await, idle.expect_close().await), (Some(1012), Some(1012)));
    assert!(since.elapsed() < SOON, "noticed after {:?}", since.elapsed());
    bob.expect_quiet().await;

    world.apply(|settings| tenant(settings, "acme").suspended = false);
    let mut ann = world.connect_for("acme").await;
    ann.join(ROOM, json!({})).await;
    ann.expect_quiet().await;
    // The disconnect was for the connections accepted before it: the next change does not repeat it.
    world.apply(|settings| tenant(settings, "acme").private_only = true);
    ann.next_json().await;
    assert_eq!(ann.next_json().await, json!(["1", "1", ROOM, "phx_close", {}]));
    ann.expect_quiet().await;
    world.stop().await;
}

#[tokio::test]
async fn a_removed_tenant_disconnects_its_sockets_and_is_unknown() {
    let world = World::with_tenants(&["acme", "globex"]).await;
    let mut ann = world.connect_for("acme").await;
    ann.join(ROOM, json!({})).await;
    let mut bob = world.connect_for("globex").await;
    bob.join(ROOM, json!({})).await;
    world.apply(|settings| drop(settings.tenants.remove("acme")));
    assert_eq!(ann.next_json().await, system_message("1", ROOM, "ok", "Server requested disconnect"));
    assert_eq!(ann.expect_close().await, Some(1012));
    bob.expect_quiet().await;
    let token = world.tenant_token_issuer("acme").token(Token::Valid);
    let request = Request::upgrade("/socket/websocket?tenant=acme").header("x-api-key", &token);
    assert_eq!(world.send(request).await.status, 404);

    // A later tenant of the same name is a new one.
    let again = world.tenant_settings("acme");
    world.apply(|settings| drop(settings.tenants.insert("acme".into(), again)));
    let mut ann = world.connect_for("acme").await;
    ann.join(ROOM, json!({})).await;
    ann.expect_quiet().await;
    world.stop().await;
}

#[tokio::test]
async fn adding_and_changing_tenants_touches_no_other_tenant() {
    let world = World::with_tenants(&["acme"]).await;
    let mut clients = [world.connect().await, world.connect_for("acme").await];
    for client in &mut clients {
        client.join(ROOM, json!({"broadcast": {"self": true}})).await;
    }
    let globex = world.tenant_settings("globex");
    world.apply(|settings| drop(settings.tenants.insert("globex".into(), globex)));
    let mut new = world.connect_for("globex").await;
    new.join(ROOM, json!({})).await;
    world.apply(|settings| tenant(settings, "globex").suspended = true);
    assert_eq!(new.drain_to_close().await, Some(1012));
    world.apply(|settings| drop(settings.tenants.remove("globex")));
    // The same sockets, in the same rooms, and they have received nothing.
    for client in &mut clients {
        client.expect_quiet().await;
        client.push("2", ROOM, "broadcast", &json!({"still": "here"})).await;
        assert_eq!(client.next_json().await[4], json!({"still": "here"}));
    }
    world.stop().await;
}

#[tokio::test]
async fn private_only_ends_public_channels_and_leaves_the_socket() {
    let world = World::with_tenants(&["acme", "globex"]).await;
    let mut ann = world.connect_for("acme").await;
    ann.join(ROOM, json!({})).await;
    let mut bob = world.connect_for("globex").await;
    bob.join(ROOM, json!({})).await;
    world.apply(|settings| tenant(settings, "acme").private_only = true);
    assert_eq!(
        ann.next_json().await,
        system_message("1", ROOM, "error", "This project only allows private channels")
    );
    assert_eq!(ann.next_json().await, json!(["1", "1", ROOM, "phx_close", {}]));
    ann.expect_quiet().await;
    bob.expect_quiet().await;
    world.stop().await;
}

#[tokio::test]
async fn a_lowered_limit_of_users_applies_to_new_users_and_present_ones_stay() {
    let world = World::start().await;
    let mut clients = world.conversation();
    clients.check("ann, bob, cid connect\n ann, bob join realtime:room").await;
    world.apply(|settings| settings.limits.max_concurrent_users = Some(size(1)));
    clients
        .check(
            r#"
            ann > ["1","2","realtime:room","broadcast",{"n":1}]
            bob < [null,null,"realtime:room","broadcast",{"n":1}]
            bob joins realtime:other
            cid > ["1","1","realtime:room","phx_join",{"config":{}}]
            cid < ["1","1","realtime:room","phx_reply",{"status":"error","response":{"reason":"ConnectionRateLimitReached: Too many connected users"}}]
            ann vanishes
            "#,
        )
        .await;
    // One has left, but one was one too many.
    let users = "realtime_connections_connected{tenant=\"default\"} 1";
    eventually("ann is gone", async || world.send(Request::get("/metrics")).await.text().contains(users))
        .await;
    clients
        .check(
            r#"
            cid > ["2","2","realtime:room","phx_join",{"config":{}}]
            cid < ["2","2","realtime:room","phx_reply",{"status":"error","response":{"reason":"ConnectionRateLimitReached: Too many connected users"}}]
            "#,
        )
        .await;
    world.apply(|settings| settings.limits.max_concurrent_users = None);
    clients
        .check(
            r#"
            cid > ["3","3","realtime:room","phx_join",{"config":{}}]
            cid < ["3","3","realtime:room","phx_reply",{"status":"ok","response":{"postgres_changes":[]}}]
            "#,
        )
        .await;
    world.stop().await;
}

#[tokio::test]
async fn lowered_limits_apply_at_their_next_use() {
    let world = World::start().await;
    let mut ann = world.connect().await;
    ann.join(ROOM, json!({"broadcast": {"ack": true}})).await;
    ann.join("realtime:b", json!({})).await;
    let payload = json!({"text": "x".repeat(3_000)});
    ann.push("2", ROOM, "broadcast", &payload).await;
    assert_eq!(ann.next_json().await[4]["status"], "ok");

    world.apply(|settings| {
        settings.limits.max_payload_size_in_kb = count(1);
        settings.limits.max_channels_per_client = size(1);
        settings.limits.max_client_presence_events_per_window = count(1);
    });
    ann.push("3", ROOM, "broadcast", &payload).await;
    assert_eq!(ann.next_json().await[4]["response"]["reason"], "payload_size_exceeded");
    ann.push("4", "realtime:c", "phx_join", &json!({"config": {}})).await;
    assert_eq!(ann.next_json().await[4]["response"]["reason"], "ChannelRateLimitReached: Too many channels");
    ann.push("5", "realtime:b", "broadcast", &json!({})).await;
    ann.expect_quiet().await;

    world.apply(|settings| settings.limits.max_events_per_second = count(1));
    let mut refused = 0;
    for _ in 0..20 {
        ann.push("6", ROOM, "broadcast", &json!({})).await;
        let answer = loop {
            let frame = ann.next_json().await;
            if frame[3] == "phx_reply" {
                break frame;
            }
        };
        refused += u32::from(answer[4]["response"]["reason"] == "Too many messages per second");
    }
    assert!(refused >= 5, "{refused} of 20 refused");

    world.apply(|settings| settings.limits.max_joins_per_second = count(1));
    for n in 10..40 {
        ann.push(&n.to_string(), "realtime:d", "phx_join", &json!({"config": {}})).await;
    }
    let received = ann.received().await;
    let too_many = |frame: &&Frame| frame.to_string().contains("ClientJoinRateLimitReached");
    assert!(received.iter().filter(too_many).count() >= 10, "{received:?}");
    world.stop().await;
}

#[tokio::test]
async fn presence_enabled_applies_from_the_next_join_on() {
    let world = World::start().await;
    let mut ann = world.connect().await;
    ann.join(ROOM, json!({})).await;
    world.apply(|settings| settings.presence.enabled = true);
    ann.expect_quiet().await;
    ann.join("realtime:b", json!({})).await;
    assert_eq!(ann.next_json().await[3], "presence_state");
    world.stop().await;
}

// With ten seconds of coalescing, the second diff would arrive after the timeout of the test.
#[tokio::test]
async fn how_long_presence_is_coalesced_applies_at_once() {
    let world = World::with(|settings| settings.presence.coalesce = Duration::from_secs(10)).await;
    let mut ann = world.connect().await;
    ann.join(ROOM, json!({"presence": {"key": "ann", "enabled": true}})).await;
    assert_eq!(ann.next_json().await[3], "presence_state");
    world.apply(|settings| settings.presence.coalesce = Duration::ZERO);
    for n in 0..3 {
        ann.push("2", ROOM, "presence", &json!({"event": "track", "payload": {"n": n}})).await;
        while ann.next_json().await[3] != "presence_diff" {}
    }
    world.stop().await;
}

#[tokio::test]
async fn the_configuration_of_connections_applies_to_new_ones() {
    let world = World::start().await;
    let mut old = world.connect().await;
    old.join(ROOM, json!({})).await;
    world.apply(|settings| settings.server.max_frame_size = ByteSize::kib(1));
    let mut new = world.connect().await;
    new.join(ROOM, json!({})).await;
    let payload = json!({"text": "x".repeat(2_000)});
    old.push("2", ROOM, "broadcast", &payload).await;
    assert_eq!(new.next_json().await[4], payload);
    new.push("2", ROOM, "broadcast", &payload).await;
    assert_eq!(new.drain_to_close().await, Some(1009));
    old.expect_quiet().await;
    world.stop().await;
}

#[tokio::test]
async fn the_timeout_without_a_channel_applies_to_new_connections() {
    let world = World::start().await;
    let mut old = world.connect().await;
    old.join(ROOM, json!({})).await;
    world.apply(|settings| settings.server.no_channel_timeout = Duration::from_millis(200));
    assert_eq!(world.connect().await.drain_to_close().await, Some(1013));
    old.expect_quiet().await;
    world.stop().await;
}

#[tokio::test]
async fn the_limit_of_connections_applies_at_once() {
    let world = World::start().await;
    let mut ann = world.connect().await;
    ann.settle().await;
    world.apply(|settings| settings.server.max_connections = size(1));
    let request = Request::upgrade("/socket/websocket").header("x-api-key", &world.token(Token::Valid));
    assert_eq!(world.send(request.clone()).await.status, 503);
    ann.settle().await;
    world.apply(|settings| settings.server.max_connections = size(2));
    assert_eq!(world.send(request).await.status, 101);
    world.stop().await;
}
