//! The claim `permissions` in channels and over HTTP (docs/protocol/tokens.md#permissions): which rooms the holder of a token
//! may use, and how. Documents: `protocols/tokens.rs`.

use harness::{Client, Frame, Request, World};
use serde_json::{Value, json};

const FOREVER: i64 = 4_000_000_000;

const REFUSED: &str = "Unauthorized: You do not have permissions to read from this Channel topic: ";

fn token(world: &World, permissions: &Value) -> String {
    world.sign(&json!({"role": "authenticated", "exp": FOREVER, "permissions": permissions}))
}

/// Joins a room with a token of its own; the payload of the reply.
async fn join(client: &mut Client, room: &str, token: &str) -> Value {
    let config = json!({"broadcast": {"ack": true, "self": true}, "presence": {"enabled": false}});
    let payload = json!({"config": config, "access_token": token});
    client.push("1", &format!("realtime:{room}"), "phx_join", &payload).await;
    client.next_json().await[4].clone()
}

/// Sends a broadcast; the payload of the reply.
async fn send(client: &mut Client, room: &str) -> Value {
    client.push("2", &format!("realtime:{room}"), "broadcast", &json!({"event": "e", "payload": {}})).await;
    loop {
        let frame = client.next_json().await;
        if frame[3] == "phx_reply" {
            return frame[4].clone();
        }
    }
}

#[tokio::test]
async fn a_room_that_no_pattern_matches_is_refused() {
    let world = World::start().await;
    let mut client = world.connect().await;
    let own = token(&world, &json!({"rooms": ["team-*"]}));
    assert_eq!(join(&mut client, "team-1", &own).await["status"], "ok");
    assert_eq!(send(&mut client, "team-1").await["status"], "ok");
    let reply = join(&mut client, "lobby", &own).await;
    assert_eq!(reply["response"]["reason"], format!("{REFUSED}lobby"));
    let none = token(&world, &json!({"rooms": []}));
    assert_eq!(join(&mut client, "team-2", &none).await["status"], "error");
    // Other identity providers have a list there, and lists of names of their own.
    for (room, permissions) in [("a", json!(["read:messages"])), ("b", json!({"teams": ["a"]}))] {
        let reply = join(&mut client, room, &token(&world, &permissions)).await;
        assert_eq!(reply["status"], "ok", "{permissions}");
    }
    let invalid = join(&mut client, "lobby", &token(&world, &json!({"rooms": [1]}))).await;
    let reason = invalid["response"]["reason"].as_str().expect("a reason");
    assert!(reason.starts_with("InvalidJWTToken: Claim `permissions` has an entry of `rooms`"), "{reason}");
    world.stop().await;
}

#[tokio::test]
async fn who_may_read_receives_and_does_not_send() {
    let world = World::start().await;
    let (mut ann, mut bob) = (world.connect().await, world.connect().await);
    bob.join("realtime:lobby", json!({})).await;
    let reader = token(&world, &json!({"rooms": [{"pattern": "lobby", "access": "read"}]}));
    assert_eq!(join(&mut ann, "lobby", &reader).await["status"], "ok");
    bob.push("2", "realtime:lobby", "broadcast", &json!({"event": "hi"})).await;
    assert_eq!(ann.next_json().await[3], "broadcast");
    assert_eq!(send(&mut ann, "lobby").await["status"], "error");
    bob.expect_quiet().await;
    world.stop().await;
}

#[tokio::test]
async fn who_may_only_be_present_receives_no_broadcasts() {
    let world = World::start().await;
    let (mut ann, mut bob) = (world.connect().await, world.connect().await);
    let present = token(&world, &json!({"rooms": [{"pattern": "*", "access": "presence"}]}));
    assert_eq!(join(&mut ann, "lobby", &present).await["status"], "error", "it joins for broadcasts alone");
    let payload = json!({"config": {"presence": {"enabled": true}}, "access_token": present});
    ann.push("1", "realtime:lobby", "phx_join", &payload).await;
    assert_eq!(ann.next_json().await[4]["status"], "ok");
    assert_eq!(ann.next_json().await[3], "presence_state");
    bob.join("realtime:lobby", json!({})).await;
    bob.push("2", "realtime:lobby", "broadcast", &json!({"event": "hi"})).await;
    bob.settle().await;
    ann.expect_quiet().await;
    world.stop().await;
}

#[tokio::test]
async fn a_new_token_changes_what_its_channel_may() {
    let world = World::start().await;
    let mut client = world.connect().await;
    let all = token(&world, &json!({"rooms": ["*"]}));
    let reader = token(&world, &json!({"rooms": [{"pattern": "*", "access": "read"}]}));
    let none = token(&world, &json!({"rooms": []}));
    assert_eq!(join(&mut client, "lobby", &all).await["status"], "ok");
    for (token, status) in [(&reader, "error"), (&all, "ok")] {
        client.push("3", "realtime:lobby", "access_token", &json!({"access_token": token})).await;
        assert_eq!(send(&mut client, "lobby").await["status"], status);
    }
    client.push("4", "realtime:lobby", "access_token", &json!({"access_token": none})).await;
    let mut events = Vec::new();
    for frame in client.received().await {
        if let Frame::Json(frame) = frame {
            events.push(frame[3].as_str().unwrap_or_default().to_owned());
        }
    }
    assert!(events.ends_with(&["system".to_owned(), "phx_close".to_owned()]), "{events:?}");
    world.stop().await;
}

#[tokio::test]
async fn a_tenant_may_require_permissions_while_clients_are_connected() {
    let world = World::start().await;
    let mut client = world.connect().await;
    client.join("realtime:lobby", json!({})).await;
    let listed = token(&world, &json!({"rooms": ["team"]}));
    assert_eq!(join(&mut client, "team", &listed).await["status"], "ok");

    world.apply(|settings| settings.auth.require_permissions = true);
    let (system, close) = (client.next_json().await, client.next_json().await);
    assert_eq!(
        (&system[2], &system[3], &close[3]),
        (&json!("realtime:lobby"), &json!("system"), &json!("phx_close"))
    );
    assert_eq!(send(&mut client, "team").await["status"], "ok");
    client.push("5", "realtime:lobby", "phx_join", &json!({"config": {}})).await;
    assert_eq!(client.next_json().await[4]["response"]["reason"], format!("{REFUSED}lobby"));
    world.stop().await;
}

#[tokio::test]
async fn a_request_sends_to_rooms_that_its_token_permits() {
    let world = World::start().await;
    let mut client = world.connect().await;
    client.join("realtime:team", json!({})).await;
    client.join("realtime:lobby", json!({})).await;
    let rooms = json!({"rooms": ["team", {"pattern": "lobby", "access": "read"}]});
    let token = token(&world, &rooms);

    let single =
        |room| Request::post(&format!("/api/broadcast/{room}/events/e")).bearer(&token).json(&json!({}));
    assert_eq!(world.send(single("team")).await.status, 202);
    assert!(matches!(client.next().await, Frame::Binary(_)));
    let refusal = world.send(single("lobby")).await;
    assert_eq!((refusal.status, refusal.json()["message"].clone()), (403, json!("Unauthorized")));

    let message = |room| json!({"topic": room, "event": "e", "payload": {}});
    let batch = json!({"messages": [message("lobby"), message("team"), message("other")]});
    let response = world.send(Request::post("/api/broadcast").bearer(&token).json(&batch)).await;
    assert_eq!(response.status, 202);
    assert_eq!(client.next_json().await[2], "realtime:team");
    client.expect_quiet().await;
    world.stop().await;
}
