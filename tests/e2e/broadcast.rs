//! Broadcast: the form that each member receives, echo, acknowledgement, order (docs/protocol/channels.md#broadcasts).

use harness::{Conversation, Dialect, Frame, RawFrame, World, check, opcode};
use serde_json::{Value, json};

use crate::count;

#[tokio::test]
async fn text_reaches_the_others_as_it_was_sent_and_not_its_sender() {
    check(
        r#"
        ann, bob join realtime:room
        cid (v1) joins realtime:room
        ann > ["1","2","realtime:room","broadcast",{"type":"broadcast","event":"hi","payload":{"n":1}}]
        bob < [null,null,"realtime:room","broadcast",{"type":"broadcast","event":"hi","payload":{"n":1}}]
        cid < {"topic":"realtime:room","event":"broadcast","payload":{"type":"broadcast","event":"hi","payload":{"n":1}},"ref":null}
        ann, bob, cid are quiet
        "#,
    )
    .await;
}

#[tokio::test]
async fn text_of_the_first_serializer_reaches_both() {
    check(
        r#"
        ann (v1), bob (v1) join realtime:room
        cid joins realtime:room
        ann > {"topic":"realtime:room","event":"broadcast","payload":{"type":"broadcast","event":"hi","payload":{"n":1}},"ref":"7","join_ref":null}
        bob < {"topic":"realtime:room","event":"broadcast","payload":{"type":"broadcast","event":"hi","payload":{"n":1}},"ref":null}
        cid < [null,null,"realtime:room","broadcast",{"type":"broadcast","event":"hi","payload":{"n":1}}]
        ann is quiet
        "#,
    )
    .await;
}

#[tokio::test]
async fn a_payload_is_not_inspected() {
    check(
        r#"
        ann, bob join realtime:room
        ann > ["1","2","realtime:room","broadcast",{}]
        bob < [null,null,"realtime:room","broadcast",{}]
        ann > ["1","3","realtime:room","broadcast",{"payload":[1,2.5,null,"é\u0000\"\\",{"deep":{"er":true}}]}]
        bob < [null,null,"realtime:room","broadcast",{"payload":[1,2.5,null,"é\u0000\"\\",{"deep":{"er":true}}]}]
        "#,
    )
    .await;
}

// docs/protocol/channels.md#broadcasts: it crashes the channel of upstream's sender, and realtime-js on the other side.
#[tokio::test]
async fn a_payload_that_is_not_an_object_reaches_no_member() {
    check(
        r#"
        ann, bob join realtime:room
        cid (v1) joins realtime:room
        ann > ["1","2","realtime:room","broadcast",null]
        ann < ["1",null,"realtime:room","system",{"extension":"system","status":"ok","message":"Broadcast payload must be a map","channel":"room"}]
        ann > ["1","3","realtime:room","broadcast","text"]
        ann > ["1","4","realtime:room","broadcast",[1]]
        cid > {"topic":"realtime:room","event":"broadcast","payload":7,"ref":"2"}
        cid < {"topic":"realtime:room","event":"system","payload":{"extension":"system","status":"ok","message":"Broadcast payload must be a map","channel":"room"},"ref":null}
        bob, cid are quiet
        ann is alive
        "#,
    )
    .await;
}

// The bytes are those of docs/protocol/websocket.md#binary-frames, measured with realtime-js.
#[tokio::test]
async fn binary_json_becomes_kind_4_and_text_for_the_first_serializer() {
    check(
        r#"
        ann, bob join realtime:room1
        cid (v1) joins realtime:room1
        ann > binary 03 01 01 0e 06 00 01 36 37 7265616c74696d653a726f6f6d31 637572736f72 7b2278223a317d
        bob < binary 04 0e 06 00 01 7265616c74696d653a726f6f6d31 637572736f72 7b2278223a317d
        cid < {"topic":"realtime:room1","event":"broadcast","payload":{"type":"broadcast","event":"cursor","payload":{"x":1}},"ref":null}
        ann, bob, cid are quiet
        "#,
    )
    .await;
}

#[tokio::test]
async fn binary_bytes_reach_the_second_serializer_only() {
    check(
        r#"
        ann, bob join realtime:room1
        cid (v1) joins realtime:room1
        ann > binary 03 01 01 0e 03 00 00 36 38 7265616c74696d653a726f6f6d31 62696e 0102ff
        bob < binary 04 0e 03 00 00 7265616c74696d653a726f6f6d31 62696e 0102ff
        ann, cid are quiet
        "#,
    )
    .await;
}

#[tokio::test]
async fn metadata_of_a_client_is_discarded() {
    check(
        r#"
        ann, bob join realtime:room
        cid (v1) joins realtime:room
        ann > binary 03 01 01 0d 02 0a 01 '1' '2' 'realtime:room' 'hi' '{"id":"x"}' '{"x":1}'
        bob < binary 04 0d 02 00 01 'realtime:room' 'hi' '{"x":1}'
        cid < {"topic":"realtime:room","event":"broadcast","payload":{"type":"broadcast","event":"hi","payload":{"x":1}},"ref":null}
        "#,
    )
    .await;
}

#[tokio::test]
async fn an_event_name_that_needs_escapes_is_escaped_for_the_first_serializer() {
    check(
        r#"
        ann, bob join realtime:room
        cid (v1) joins realtime:room
        ann > binary 03 01 01 0d 04 00 01 '1' '2' 'realtime:room' 'a"\' 0a '{}'
        bob < binary 04 0d 04 00 01 'realtime:room' 'a"\' 0a '{}'
        cid < {"topic":"realtime:room","event":"broadcast","payload":{"type":"broadcast","event":"a\"\\\n","payload":{}},"ref":null}
        "#,
    )
    .await;
}

// Otherwise one client could send the others a frame that is not JSON.
#[tokio::test]
async fn binary_json_that_is_not_json_never_becomes_text() {
    check(
        r#"
        ann joins realtime:room
        cid (v1) joins realtime:room
        ann > binary 03 01 01 0d 02 00 01 '1' '2' 'realtime:room' 'hi' '{"x":'
        ann > binary 03 01 01 0d 02 00 01 '1' '3' 'realtime:room' 'hi' '},"event":"phx_close"'
        ann > binary 03 01 01 0d 02 00 01 '1' '4' 'realtime:room' 'hi' ff fe
        ann > binary 03 01 01 0d 02 00 01 '1' '5' 'realtime:room' 'hi'
        cid is quiet
        ann is alive
        "#,
    )
    .await;
}

#[tokio::test]
async fn with_self_the_sender_receives_its_own_broadcast() {
    check(
        r#"
        ann joins realtime:room {"broadcast":{"self":true}}
        ann > ["1","2","realtime:room","broadcast",{"event":"hi"}]
        ann < [null,null,"realtime:room","broadcast",{"event":"hi"}]
        ann > binary 03 01 01 0d 02 00 00 '1' '3' 'realtime:room' 'hi' ff
        ann < binary 04 0d 02 00 00 'realtime:room' 'hi' ff
        bob (v1) joins realtime:room {"broadcast":{"self":true}}
        bob > {"topic":"realtime:room","event":"broadcast","payload":{"event":"yo"},"ref":"2"}
        bob < {"topic":"realtime:room","event":"broadcast","payload":{"event":"yo"},"ref":null}
        ann < [null,null,"realtime:room","broadcast",{"event":"yo"}]
        ann, bob are quiet
        "#,
    )
    .await;
}

#[tokio::test]
async fn with_ack_the_reply_follows_the_echo() {
    check(
        r#"
        ann joins realtime:room {"broadcast":{"self":true,"ack":true}}
        bob (v1) joins realtime:room {"broadcast":{"ack":true}}
        ann > ["1","2","realtime:room","broadcast",{"event":"hi"}]
        ann < [null,null,"realtime:room","broadcast",{"event":"hi"}]
        ann < ["1","2","realtime:room","phx_reply",{"status":"ok","response":{}}]
        ann > binary 03 01 01 0d 02 00 01 '1' '3' 'realtime:room' 'hi' '{"x":1}'
        ann < binary 04 0d 02 00 01 'realtime:room' 'hi' '{"x":1}'
        ann < ["1","3","realtime:room","phx_reply",{"status":"ok","response":{}}]
        bob < {"topic":"realtime:room","event":"broadcast","payload":{"event":"hi"},"ref":null}
        bob < {"topic":"realtime:room","event":"broadcast","payload":{"type":"broadcast","event":"hi","payload":{"x":1}},"ref":null}
        bob > {"topic":"realtime:room","event":"broadcast","payload":{"event":"yo"},"ref":"2"}
        bob < {"topic":"realtime:room","event":"phx_reply","payload":{"status":"ok","response":{}},"ref":"2"}
        ann < [null,null,"realtime:room","broadcast",{"event":"yo"}]
        ann, bob are quiet
        "#,
    )
    .await;
}

// The limit is kilobytes × 1000 + 500, measured as a term, whose size is near the length of the JSON.
#[tokio::test]
async fn an_oversized_broadcast_is_refused_by_a_reply_with_ack_and_by_a_notice_without() {
    let world = World::with(|settings| settings.limits.max_payload_size_in_kb = count(1)).await;
    let (fits, too_large) = ("x".repeat(1200), "x".repeat(2000));
    world
        .check(&format!(
            r#"
            ann joins realtime:room {{"broadcast":{{"ack":true}}}}
            bob joins realtime:room
            cid joins realtime:room
            ann > ["1","2","realtime:room","broadcast",{{"a":"{too_large}"}}]
            ann < ["1","2","realtime:room","phx_reply",{{"status":"error","response":{{"reason":"payload_size_exceeded"}}}}]
            ann > binary 03 01 01 0d 02 00 00 '1' '3' 'realtime:room' 'hi' '{too_large}'
            ann < ["1","3","realtime:room","phx_reply",{{"status":"error","response":{{"reason":"payload_size_exceeded"}}}}]
            bob > ["1","2","realtime:room","broadcast",{{"a":"{too_large}"}}]
            bob < ["1",null,"realtime:room","system",{{"extension":"system","status":"ok","message":"payload_size_exceeded","channel":"room"}}]
            ann, bob, cid are quiet
            bob > ["1","3","realtime:room","broadcast",{{"a":"{fits}"}}]
            ann, cid < [null,null,"realtime:room","broadcast",{{"a":"{fits}"}}]
            "#
        ))
        .await;
    world.stop().await;
}

#[tokio::test]
async fn three_megabytes_are_not_too_large() {
    let world = World::start().await;
    let mut room = world.conversation();
    room.check("ann, bob join realtime:room").await;
    let text = "x".repeat(2_999_000);
    room.client("ann").push("2", "realtime:room", "broadcast", &json!({"text": text})).await;
    assert_eq!(room.client("bob").next_json().await[4]["text"], text);
    world.stop().await;
}

#[tokio::test]
async fn rooms_are_separate_and_one_client_may_be_in_several() {
    check(
        r#"
        ann joins realtime:a
        ann joins realtime:b
        bob joins realtime:b
        cid joins realtime:c
        ann > ["2","3","realtime:b","broadcast",{"event":"hi"}]
        bob < [null,null,"realtime:b","broadcast",{"event":"hi"}]
        bob > ["1","2","realtime:b","broadcast",{"event":"yo"}]
        ann < [null,null,"realtime:b","broadcast",{"event":"yo"}]
        ann, bob, cid are quiet
        "#,
    )
    .await;
}

#[tokio::test]
async fn the_order_of_one_sender_is_kept_across_all_forms() {
    let world = World::start().await;
    let mut room = world.conversation();
    room.check("ann, bob join realtime:room").await;
    for n in 0..300u32 {
        let ann = room.client("ann");
        if n % 3 == 0 {
            let mut frame = b"\x03\x01\x01\x0d\x01\x00\x0112realtime:roomn".to_vec();
            frame.extend(format!(r#"{{"n":{n}}}"#).bytes());
            ann.send_binary(frame).await;
        } else {
            ann.push("2", "realtime:room", "broadcast", &json!({"payload": {"n": n}})).await;
        }
    }
    for n in 0..300u32 {
        let payload = match room.client("bob").next().await {
            Frame::Json(frame) => frame[4]["payload"].clone(),
            Frame::Binary(frame) => serde_json::from_slice::<Value>(&frame[19..]).expect("a JSON payload"),
            other => panic!("expected a broadcast, got {other}"),
        };
        assert_eq!(payload, json!({"n": n}));
    }
    world.stop().await;
}

const KIND_3: u32 = 50;
const TEXT: u32 = 10;

/// Fifty broadcasts of kind 3 to room a, ten as text to room b, and a leave of room a.
fn many_at_once() -> Vec<u8> {
    let kind_3 = (0..KIND_3).map(|n| {
        let mut frame = b"\x03\x01\x01\x0a\x02\x00\x0112realtime:ahi".to_vec();
        frame.extend(format!(r#"{{"n":{n}}}"#).bytes());
        RawFrame::new(opcode::BINARY, frame)
    });
    let text =
        (0..TEXT).map(|n| RawFrame::text(&format!(r#"["2","3","realtime:b","broadcast",{{"n":{n}}}]"#)));
    let leave = RawFrame::text(r#"["1","leave","realtime:a","phx_leave",{}]"#);
    kind_3.chain(text).chain([leave]).flat_map(|frame| frame.encode()).collect()
}

/// What a member of both rooms receives of [`many_at_once`].
fn received_of_many(dialect: Dialect) -> Vec<Frame> {
    let kind_3 = (0..KIND_3).map(|n| match dialect {
        Dialect::V1 => Frame::Json(json!({"topic": "realtime:a", "event": "broadcast",
            "payload": {"type": "broadcast", "event": "hi", "payload": {"n": n}}, "ref": null})),
        Dialect::V2 => {
            let mut frame = b"\x04\x0a\x02\x00\x01realtime:ahi".to_vec();
            frame.extend(format!(r#"{{"n":{n}}}"#).bytes());
            Frame::Binary(frame)
        }
    });
    let text = (0..TEXT).map(|n| {
        Frame::Json(match dialect {
            Dialect::V1 => {
                json!({"topic": "realtime:b", "event": "broadcast", "payload": {"n": n}, "ref": null})
            }
            Dialect::V2 => json!([null, null, "realtime:b", "broadcast", {"n": n}]),
        })
    });
    kind_3.chain(text).collect()
}

async fn receives_all(room: &mut Conversation<'_>, name: &str) {
    let client = room.client(name);
    for (number, expected) in received_of_many(client.dialect()).into_iter().enumerate() {
        let got = client.next().await;
        assert!(got == expected, "{name}, message {number}: expected {expected}, got {got}");
    }
    client.expect_quiet().await;
}

// Messages that are read together are sent together, but each in a frame of its own.
#[tokio::test]
async fn many_messages_sent_at_once_arrive_complete_and_in_order() {
    let world = World::start().await;
    let mut room = world.conversation();
    room.check(
        r#"
        bob joins realtime:a
        bob joins realtime:b
        cid (v1) joins realtime:a
        cid (v1) joins realtime:b
        "#,
    )
    .await;
    let mut ann = world.raw().await;
    for join in [
        r#"["1","1","realtime:a","phx_join",{"config":{"broadcast":{"self":true}}}]"#,
        r#"["2","2","realtime:b","phx_join",{"config":{"broadcast":{"self":true}}}]"#,
    ] {
        ann.send(&RawFrame::text(join)).await;
        assert_eq!(ann.next().await.map(|reply| reply.opcode), Some(opcode::TEXT));
    }
    ann.write(&many_at_once()).await.expect("sent");

    let replies = [
        json!(["1", "leave", "realtime:a", "phx_reply", {"status": "ok", "response": {}}]),
        json!(["1", "1", "realtime:a", "phx_close", {}]),
    ];
    let echoes = received_of_many(Dialect::V2).into_iter().chain(replies.map(Frame::Json));
    for (number, expected) in echoes.enumerate() {
        let frame = ann.next().await.expect("an echo");
        assert!(frame.fin && !frame.masked && frame.reserved == 0, "{frame:?}");
        let got = match frame.opcode {
            opcode::BINARY => Frame::Binary(frame.payload),
            _ => Frame::Json(serde_json::from_slice(&frame.payload).expect("JSON")),
        };
        assert!(got == expected, "message {number}: expected {expected}, got {got}");
    }
    receives_all(&mut room, "bob").await;
    receives_all(&mut room, "cid").await;
    world.stop().await;
}
