//! Limits: the sender is notified, receivers are not affected (docs/protocol/limits.md).
//!
//! Rates are token buckets that hold ten seconds' worth, so a limit of one per second lets ten through
//! at once. On a slow machine another one may be allowed meanwhile; the counts below allow for that.

use std::time::Duration;

use harness::{Client, Dialect, Frame, Request, Token, World, check, eventually};
use serde_json::{Value, json};
use settings::ByteSize;

use crate::{count, millis, size};

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
async fn too_many_messages_are_refused_to_their_sender_and_no_client_is_closed() {
    const SENT: usize = 40;
    let world = World::with(|settings| settings.limits.max_events_per_second = count(1)).await;
    let mut room = world.conversation();
    room.check(
        r#"
        ann joins realtime:room {"broadcast":{"ack":true}}
        ann joins realtime:other
        bob joins realtime:room
        "#,
    )
    .await;
    for n in 0..SENT {
        room.client("ann").push(&n.to_string(), ROOM, "broadcast", &json!({"n": n})).await;
    }
    let answers = received(room.client("ann")).await;
    let ok = of(&answers, "phx_reply").into_iter().filter(|frame| frame[4]["status"] == "ok").count();
    let refused: Vec<_> =
        of(&answers, "phx_reply").into_iter().filter(|frame| frame[4]["status"] == "error").collect();
    assert!((10..=15).contains(&ok), "{ok} of {SENT} accepted");
    assert_eq!(ok + refused.len(), SENT, "every message is answered");
    for refusal in refused {
        assert_eq!(refusal[4]["response"], json!({"reason": "Too many messages per second"}));
    }
    assert_eq!(
        of(&answers, "system"),
        [&system(ROOM, "Too many messages per second")],
        "one notice per window"
    );
    assert!(of(&answers, "phx_close").is_empty() && of(&answers, "phx_error").is_empty());

    let received = received(room.client("bob")).await;
    assert_eq!(of(&received, "broadcast").len(), ok, "what was accepted was delivered");
    assert_eq!(received.len(), ok, "and nothing else");
    world.stop().await;
}

// Whatever the reason, in both dialects, as text and in binary.
#[tokio::test]
async fn every_refused_broadcast_reaches_a_sender_without_ack_once_per_window() {
    let world = World::with(|settings| settings.limits.max_payload_size_in_kb = count(1)).await;
    let large = "x".repeat(2000);
    let notice =
        |text: &str| format!(r#"{{"extension":"system","status":"ok","message":"{text}","channel":"room"}}"#);
    let (too_large, no_map) = (notice("payload_size_exceeded"), notice("Broadcast payload must be a map"));
    let no_json = notice("payload of a binary frame is not JSON");
    world
        .check(&format!(
            r#"
            ann joins realtime:room
            bob (v1) joins realtime:room
            cid joins realtime:room

            ann > ["1","2","realtime:room","broadcast",{{"a":"{large}"}}]
            ann < ["1",null,"realtime:room","system",{too_large}]
            ann > ["1","3","realtime:room","broadcast",{{"a":"{large}"}}]
            ann > binary 03 01 01 0d 02 00 00 '1' '4' 'realtime:room' 'hi' '{large}'
            ann > ["1","5","realtime:room","broadcast","no map"]
            ann < ["1",null,"realtime:room","system",{no_map}]
            ann > ["1","6","realtime:room","broadcast",[]]
            ann > binary 03 01 01 0d 02 00 01 '1' '7' 'realtime:room' 'hi' '{{'
            ann < ["1",null,"realtime:room","system",{no_json}]
            ann > binary 03 01 01 0d 02 00 01 '1' '8' 'realtime:room' 'hi' ff

            bob > {{"topic":"realtime:room","event":"broadcast","payload":{{"a":"{large}"}},"ref":"2"}}
            bob < {{"topic":"realtime:room","event":"system","payload":{too_large},"ref":null}}
            bob > {{"topic":"realtime:room","event":"broadcast","payload":7,"ref":"3"}}
            bob < {{"topic":"realtime:room","event":"system","payload":{no_map},"ref":null}}

            ann, bob, cid are quiet
            ann > ["1","9","realtime:room","broadcast",{{}}]
            cid < [null,null,"realtime:room","broadcast",{{}}]
            "#
        ))
        .await;
    world.stop().await;
}

// The reply carries the reason, and comes for each.
#[tokio::test]
async fn every_refused_broadcast_is_answered_to_a_sender_with_ack() {
    check(
        r#"
        ann joins realtime:room {"broadcast":{"ack":true}}
        ann > ["1","2","realtime:room","broadcast","no map"]
        ann < ["1","2","realtime:room","phx_reply",{"status":"error","response":{"reason":"Broadcast payload must be a map"}}]
        ann > binary 03 01 01 0d 02 00 01 '1' '3' 'realtime:room' 'hi' '{'
        ann < ["1","3","realtime:room","phx_reply",{"status":"error","response":{"reason":"payload of a binary frame is not JSON"}}]
        ann > binary 03 01 01 0d 02 01 01 '1' '4' 'realtime:room' 'hi' '7' '{}'
        ann < ["1","4","realtime:room","phx_reply",{"status":"error","response":{"reason":"metadata of a binary frame is not a JSON object"}}]
        ann > binary 03 01 01 0d 02 00 01 '1' '5' 'realtime:room' ffff '{}'
        ann < ["1","5","realtime:room","phx_reply",{"status":"error","response":{"reason":"event is not a string"}}]
        ann is quiet
        "#,
    )
    .await;
}

// The limit of the payload is well below that of a frame, so what is refused is read.
#[tokio::test]
async fn three_and_a_half_megabytes_are_reported_with_the_defaults() {
    let world = World::start().await;
    let mut ann = world.connect().await;
    ann.join(ROOM, json!({})).await;
    ann.push("2", ROOM, "broadcast", &json!({"a": "x".repeat(3_500_000)})).await;
    assert_eq!(received(&mut ann).await, [system(ROOM, "payload_size_exceeded")]);
    world.stop().await;
}

#[tokio::test]
async fn without_ack_there_is_only_the_notice() {
    let world = World::with(|settings| settings.limits.max_events_per_second = count(1)).await;
    let mut ann = world.connect().await;
    ann.join(ROOM, json!({})).await;
    for n in 0..40 {
        ann.push("2", ROOM, "broadcast", &json!({"n": n})).await;
    }
    assert_eq!(received(&mut ann).await, [system(ROOM, "Too many messages per second")]);
    world.stop().await;
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
    let tenant = node.tenants.default_tenant();
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
async fn presence_calls_beyond_the_window_are_gathered_to_the_newest_state() {
    let world = World::with(|settings| {
        settings.limits.max_client_presence_events_per_window = count(5);
        settings.limits.client_presence_window_ms = millis(300);
        settings.presence.coalesce = Duration::ZERO;
    })
    .await;
    let mut ann = world.connect().await;
    ann.join(ROOM, json!({"presence": {"key": "ann", "enabled": true}})).await;
    let mut bob = world.connect().await;
    bob.join(ROOM, json!({"presence": {"enabled": true}})).await;
    assert_eq!(bob.next_json().await[3], "presence_state");
    for n in 1..=100 {
        let track = json!({"type": "presence", "event": "track", "payload": {"n": n}});
        ann.push(&n.to_string(), ROOM, "presence", &track).await;
    }
    let mut diffs = 0;
    loop {
        let frame = bob.next_json().await;
        assert_eq!(frame[3], "presence_diff");
        diffs += 1;
        if frame[4]["joins"]["ann"]["metas"][0]["n"] == 100 {
            break;
        }
    }
    assert!(diffs <= 40, "{diffs} diffs");
    let answers = received(&mut ann).await;
    assert_eq!(of(&answers, "phx_reply").len(), 100, "every call is answered");
    assert!(of(&answers, "phx_close").is_empty() && of(&answers, "phx_error").is_empty(), "{answers:?}");
    world.stop().await;
}

#[tokio::test]
async fn a_track_that_is_too_large_is_refused_and_the_channel_stays() {
    let world = World::with(|settings| settings.limits.max_payload_size_in_kb = count(1)).await;
    let mut ann = world.connect().await;
    ann.join(ROOM, json!({"presence": {"key": "ann", "enabled": true}})).await;
    let large = json!({"type": "presence", "event": "track", "payload": {"a": "x".repeat(4000)}});
    ann.push("2", ROOM, "presence", &large).await;
    let answers = received(&mut ann).await;
    let reply = json!(["1", "2", ROOM, "phx_reply", {"status": "error", "response": {"reason": "Track message size exceeded"}}]);
    assert_eq!(of(&answers, "phx_reply"), [&reply]);
    assert!(of(&answers, "phx_close").is_empty() && of(&answers, "presence_diff").is_empty(), "{answers:?}");
    let small = json!({"type": "presence", "event": "track", "payload": {"a": "x"}});
    ann.push("3", ROOM, "presence", &small).await;
    assert_eq!(of(&received(&mut ann).await, "phx_reply")[0][4]["status"], "ok");
    world.stop().await;
}

#[tokio::test]
async fn too_many_presence_calls_of_a_tenant_never_close_a_channel() {
    let world = World::with(|settings| {
        settings.limits.max_presence_events_per_second = count(1);
        settings.presence.coalesce = Duration::ZERO;
    })
    .await;
    let mut ann = world.connect().await;
    ann.join(ROOM, json!({"presence": {"key": "ann", "enabled": true}})).await;
    for n in 0..40 {
        let track = json!({"type": "presence", "event": "track", "payload": {"n": n}});
        ann.push(&n.to_string(), ROOM, "presence", &track).await;
    }
    let answers = received(&mut ann).await;
    assert_eq!(of(&answers, "phx_reply").len(), 40, "every call is answered");
    assert!(of(&answers, "phx_close").is_empty() && of(&answers, "phx_error").is_empty(), "{answers:?}");
    assert!(of(&answers, "system").len() <= 1, "one notice per window");
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

// Tracked objects are kept and sent to each new member, so all rooms of a client count together.
#[tokio::test]
async fn bytes_tracked_in_all_rooms_of_a_client_are_limited() {
    let world = World::with(|settings| {
        settings.presence.max_bytes_per_client = ByteSize::kib(2);
        settings.presence.coalesce = Duration::ZERO;
    })
    .await;
    let track =
        |bytes| format!(r#"{{"type":"presence","event":"track","payload":{{"a":"{}"}}}}"#, "x".repeat(bytes));
    let (much, more, little) = (track(1200), track(1100), track(10));
    let refused = r#"{"status":"error","response":{"reason":"Client presence size exceeded"}}"#;
    let notice =
        r#"{"extension":"system","status":"ok","message":"Client presence size exceeded","channel":"b"}"#;
    let shown = |key: &str, bytes| {
        format!(r#"{{"{key}":{{"metas":[{{"a":"{}","phx_ref":_}}]}}}}"#, "x".repeat(bytes))
    };
    world
        .check(&format!(
            r#"
            ann joins realtime:a {{"presence":{{"key":"ann","enabled":true}}}}
            ann < ["1",null,"realtime:a","presence_state",{{}}]
            ann joins realtime:b {{"presence":{{"key":"ann","enabled":true}}}}
            ann < ["2",null,"realtime:b","presence_state",{{}}]
            bob joins realtime:b {{"presence":{{"key":"bob","enabled":true}}}}
            bob < ["1",null,"realtime:b","presence_state",{{}}]

            ann > ["1","3","realtime:a","presence",{much}]
            ann <~ ["1","3","realtime:a","phx_reply",{{"status":"ok","response":{{}}}}]
            ann <~ [null,null,"realtime:a","presence_diff",_]
            ann > ["2","4","realtime:b","presence",{much}]
            ann <~ ["2","4","realtime:b","phx_reply",{refused}]
            ann <~ ["2",null,"realtime:b","system",{notice}]
            ann > ["2","5","realtime:b","presence",{more}]
            ann < ["2","5","realtime:b","phx_reply",{refused}]
            ann, bob are quiet

            # Other clients have limits of their own.
            bob > ["1","6","realtime:b","presence",{much}]
            bob <~ ["1","6","realtime:b","phx_reply",{{"status":"ok","response":{{}}}}]
            bob <~ [null,null,"realtime:b","presence_diff",{{"joins":{bob},"leaves":{{}}}}]
            ann < [null,null,"realtime:b","presence_diff",{{"joins":{bob},"leaves":{{}}}}]

            # What still fits is tracked, and an untrack makes room.
            ann > ["2","7","realtime:b","presence",{little}]
            bob < [null,null,"realtime:b","presence_diff",{{"joins":{ann_little},"leaves":{{}}}}]
            ann > ["1","8","realtime:a","presence",{{"type":"presence","event":"untrack"}}]
            ann > ["2","9","realtime:b","presence",{much}]
            bob < [null,null,"realtime:b","presence_diff",{{"joins":{{"ann":{{"metas":[_]}}}},"leaves":{ann_little}}}]
            bob is quiet
            "#,
            bob = shown("bob", 1200),
            ann_little = shown("ann", 10),
        ))
        .await;
    world.stop().await;
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
