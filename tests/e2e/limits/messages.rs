//! Broadcasts beyond a limit, and how their sender learns of it.

use harness::{World, check};
use serde_json::json;

use super::{ROOM, of, received, system};
use crate::count;

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
