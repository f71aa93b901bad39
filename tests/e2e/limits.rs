//! Limits: the sender is notified, receivers are not affected (docs/protocol/limits.md).
//!
//! Rates are token buckets that hold ten seconds' worth, so a limit of one per second lets ten through
//! at once. On a slow machine another one may be allowed meanwhile; the counts below allow for that.

mod messages;
mod presence;

use harness::{Client, Dialect, Frame, Request, Token, World, check, eventually};
use serde_json::{Value, json};

use crate::{count, size};

const ROOM: &str = "realtime:room";

/// The JSON frames that a client has received.
async fn received(client: &mut Client) -> Vec<Value> {
    let frames = client.received().await.into_iter();
    frames.filter_map(|frame| if let Frame::Json(value) = frame { Some(value) } else { None }).collect()
}

fn of<'a>(frames: &'a [Value], event: &str) -> Vec<&'a Value> {
    frames.iter().filter(|frame| frame[3] == event).collect()
}

/// Of status `ok`: the channel stays, and Dart's client gives up a channel at the first error.
fn system(topic: &str, message: &str) -> Value {
    let channel = topic.trim_start_matches("realtime:");
    json!(["1", null, topic, "system", {"extension": "system", "status": "ok", "message": message, "channel": channel}])
}

#[tokio::test]
async fn channels_per_client_are_limited_and_a_leave_frees_one() {
    let world = World::with(|settings| settings.limits.max_channels_per_client = size(2)).await;
    world
        .check(
            r#"
            ann joins realtime:a
            ann joins realtime:b
            ann > ["3","3","realtime:c","phx_join",{"config":{}}]
            ann < ["3","3","realtime:c","phx_reply",{"status":"error","response":{"reason":"ChannelRateLimitReached: Too many channels"}}]
            ann leaves realtime:a
            ann > ["4","4","realtime:c","phx_join",{"config":{}}]
            ann < ["4","4","realtime:c","phx_reply",{"status":"ok","response":{"postgres_changes":[]}}]
            ann > ["5","5","realtime:c","phx_join",{"config":{}}]
            ann < ["5","5","realtime:c","phx_reply",{"status":"ok","response":{"postgres_changes":[]}}]
            ann < ["4","4","realtime:c","phx_close",{}]
            bob joins realtime:c
            "#,
        )
        .await;
    world.stop().await;
}

// Connections that all passed the first check, and then join at once.
#[tokio::test]
async fn no_more_users_are_accepted_than_the_limit_allows() {
    let world = World::with(|settings| settings.limits.max_concurrent_users = Some(size(3))).await;
    let node = world.node();
    let tenant = node.tenants.get("default").expect("it is configured");
    let users: Vec<_> = (0..5).filter_map(|_| tenant.acquire_user()).collect();
    assert_eq!((users.len(), tenant.users_here()), (3, 3));
    drop(users);
    assert_eq!(tenant.users_here(), 0);
    world.stop().await;
}

#[tokio::test]
async fn users_of_a_tenant_are_limited_and_sockets_without_a_room_do_not_count() {
    let world = World::with(|settings| settings.limits.max_concurrent_users = Some(size(1))).await;
    let mut people = world.conversation();
    people
        .check(
            r#"
            ann, bob connect
            ann joins realtime:a
            ann joins realtime:b
            bob > ["1","1","realtime:a","phx_join",{"config":{}}]
            bob < ["1","1","realtime:a","phx_reply",{"status":"error","response":{"reason":"ConnectionRateLimitReached: Too many connected users"}}]
            bob is alive
            "#,
        )
        .await;
    let target = world.target("/socket/websocket", Dialect::V2, Token::Valid);
    let refusal = world.send(Request::upgrade(&target)).await;
    assert_eq!((refusal.status, refusal.json()), (429, json!({"error": "Too many connected users"})));
    people.check("ann vanishes").await;
    eventually("the place of ann is free", async || {
        world.send(Request::upgrade(&target)).await.status == 101
    })
    .await;
    people
        .check(
            r#"
            bob > ["2","2","realtime:a","phx_join",{"config":{}}]
            bob < ["2","2","realtime:a","phx_reply",{"status":"ok","response":{"postgres_changes":[]}}]
            "#,
        )
        .await;
    world.stop().await;
}

// docs/protocol/limits.md#rates-and-counts: a limit does not end existing channels.
#[tokio::test]
async fn too_many_joins_are_refused_and_new_sockets_get_429() {
    let world = World::with(|settings| settings.limits.max_joins_per_second = count(1)).await;
    let mut bob = world.connect().await;
    bob.join(ROOM, json!({})).await;
    let mut ann = world.connect().await;
    let (mut joined, reason) = (0, "ClientJoinRateLimitReached: Too many joins per second");
    let refused = loop {
        ann.push("2", &format!("realtime:{joined}"), "phx_join", &json!({"config": {}})).await;
        let reply = ann.next_json().await;
        match reply[4]["status"].as_str() {
            Some("ok") => joined += 1,
            _ => break reply,
        }
    };
    assert_eq!(refused[4], json!({"status": "error", "response": {"reason": reason}}));
    assert!((9..=14).contains(&joined), "{joined} joins");
    let target = world.target("/socket/websocket", Dialect::V2, Token::Valid);
    let refusal = world.send(Request::upgrade(&target)).await;
    assert_eq!((refusal.status, refusal.json()), (429, json!({"error": "Too many joins per second"})));
    bob.expect_quiet().await;
    world.stop().await;
}

#[tokio::test]
async fn http_requests_are_refused_with_429() {
    let world = World::with(|settings| settings.limits.max_events_per_second = count(1)).await;
    world.check("ann joins realtime:room").await;
    let message = json!({"topic": "room", "event": "e", "payload": {}});
    let batch = json!({"messages": vec![message.clone(); 11]});
    let bearer = world.token(Token::Valid);
    let refusal = world.send(Request::post("/api/broadcast").bearer(&bearer).json(&batch)).await;
    let text = "Too many messages to broadcast, please reduce the batch size";
    assert_eq!((refusal.status, refusal.json()), (429, json!({"message": text})));
    eventually("the limit is reached", async || {
        let one = Request::post("/api/broadcast").bearer(&bearer).json(&json!({"messages": [message]}));
        let answer = world.send(one).await;
        assert!(answer.status == 202 || answer.json()["message"].is_string(), "{}", answer.text());
        answer.status == 429
    })
    .await;
    world.stop().await;
}

// One length byte in a binary frame. Longer names are still answered, up to a limit.
#[tokio::test]
async fn a_topic_that_is_too_long_is_refused_for_that_reason() {
    let topic = format!("realtime:{}", "x".repeat(291));
    let reason = "TopicNameTooLong: A topic name has at most 255 bytes";
    check(&format!(
        r#"
        ann connects
        ann > ["1","1","{topic}","phx_join",{{"config":{{}}}}]
        ann < ["1","1","{topic}","phx_reply",{{"status":"error","response":{{"reason":"{reason}"}}}}]
        ann > ["1","2","{topic}","broadcast",{{}}]
        ann < [null,"2","{topic}","phx_reply",{{"status":"error","response":{{"reason":"unmatched topic"}}}}]
        bob (v1) connects
        bob > {{"topic":"{topic}","event":"phx_join","payload":{{"config":{{}}}},"ref":"1","join_ref":"1"}}
        bob < {{"topic":"{topic}","event":"phx_reply","payload":{{"status":"error","response":{{"reason":"{reason}"}}}},"ref":"1"}}
        ann, bob are quiet
        "#
    ))
    .await;
}

// A client that exceeds two limits in turns is not notified at each turn.
#[tokio::test]
async fn every_limit_is_notified_once() {
    const EACH: usize = 40;
    let world = World::with(|settings| {
        settings.limits.max_events_per_second = count(1);
        settings.limits.max_payload_size_in_kb = count(1);
    })
    .await;
    let mut ann = world.connect().await;
    ann.join(ROOM, json!({"presence": {"key": "ann", "enabled": true}})).await;
    assert_eq!(ann.next_json().await[3], "presence_state");
    let large = json!({"type": "presence", "event": "track", "payload": {"a": "x".repeat(4000)}});
    for n in 0..EACH {
        ann.push("2", ROOM, "broadcast", &json!({"n": n})).await;
        ann.push("3", ROOM, "presence", &large).await;
    }
    let answers = received(&mut ann).await;
    assert_eq!(of(&answers, "phx_reply").len(), EACH, "every track is answered");
    let notices = [system(ROOM, "Track message size exceeded"), system(ROOM, "Too many messages per second")];
    assert_eq!(of(&answers, "system"), notices.iter().collect::<Vec<_>>());
    world.stop().await;
}
