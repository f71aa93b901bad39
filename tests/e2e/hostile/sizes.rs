//! Messages, topics and nesting as large as they may be, and larger.

use settings::ByteSize;

use super::*;

/// A heartbeat of exactly so many bytes.
fn heartbeat_of(bytes: usize) -> String {
    let empty = r#"[null,"1","phoenix","heartbeat",{"a":""}]"#;
    empty.replace("\"\"", &format!("\"{}\"", "x".repeat(bytes - empty.len())))
}

#[tokio::test]
async fn five_megabytes_pass_and_one_byte_more_closes_with_1009() {
    let world = World::start().await;
    let pair = bystanders(&world).await;
    let mut ann = world.raw().await;
    ann.send(&RawFrame::text(&heartbeat_of(5_000_000))).await;
    assert_eq!(ann.next().await.map(|answer| answer.opcode), Some(opcode::TEXT));
    // The server may close before it has read everything.
    let _ = ann.write(&RawFrame::text(&heartbeat_of(5_000_001)).encode()).await;
    assert_eq!(ann.drain_to_close().await, Some(1009));

    let mut bob = world.raw().await;
    let piece = "x".repeat(2_600_000);
    bob.send(&RawFrame::text(&piece).unfinished()).await;
    let _ = bob.write(&RawFrame::new(opcode::CONTINUATION, piece).encode()).await;
    assert_eq!(bob.drain_to_close().await, Some(1009), "also in pieces");

    let mut cid = world.raw().await;
    let only_the_head = [0x81, 0xff, 0x3f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4];
    cid.write(&only_the_head).await.expect("the server listens");
    assert_eq!(cid.drain_to_close().await, Some(1009), "the announcement is enough");
    assert_unaffected(pair).await;
    world.stop().await;
}

// The reason reaches the sender of a broadcast above the frame size, and the log.
#[tokio::test]
async fn a_message_over_the_frame_size_is_refused_with_the_limit() {
    let world = World::with(|settings| settings.server.max_frame_size = ByteSize::kib(1)).await;
    let mut ann = world.raw().await;
    let _ = ann.write(&RawFrame::text(&heartbeat_of(1025)).encode()).await;
    let close = ann.next().await.expect("a close frame");
    assert_eq!((close.opcode, &close.payload[..2]), (opcode::CLOSE, &1009_u16.to_be_bytes()[..]));
    assert_eq!(&close.payload[2..], b"message is larger than 1024 bytes");
    let page = world.send(Request::new("GET", "/metrics")).await.text();
    let refused = r#"realtime_limits_refused_total{tenant="default",setting="server.max_frame_size"} 1"#;
    assert!(page.contains(refused), "{page}");
    world.stop().await;
}

// Neither the buffer nor the position in the stream depends on it afterwards.
#[tokio::test]
async fn after_five_megabytes_the_connection_is_as_before() {
    let world = World::start().await;
    let pair = bystanders(&world).await;
    let mut ann = world.raw().await;
    ann.send(&RawFrame::text(r#"["1","1","realtime:room","phx_join",{"config":{}}]"#)).await;
    assert_eq!(ann.next().await.map(|reply| reply.opcode), Some(opcode::TEXT));
    let filler = "x".repeat(4_999_900);
    for (round, topic) in ["realtime:room", "realtime:nowhere", "realtime:room"].into_iter().enumerate() {
        ann.send(&RawFrame::text(&format!(r#"["1","2","{topic}","dance",{{"a":"{filler}"}}]"#))).await;
        ann.send(&RawFrame::new(opcode::BINARY, filler.as_bytes())).await;
        let ping = RawFrame::new(opcode::PING, format!("round {round}"));
        ann.send(&ping).await;
        if topic == "realtime:nowhere" {
            let refusal = ann.next().await.expect("an answer");
            assert!(String::from_utf8_lossy(&refusal.payload).contains("unmatched topic"), "{refusal:?}");
        }
        let pong = ann.next().await.expect("a pong");
        assert_eq!((pong.opcode, pong.payload), (opcode::PONG, ping.payload));
        ann.send(&RawFrame::text(r#"[null,"3","phoenix","heartbeat",{}]"#)).await;
        assert_eq!(ann.next().await.map(|answer| answer.opcode), Some(opcode::TEXT));
    }
    assert_unaffected(pair).await;
    world.stop().await;
}

// A reply would have to return it.
#[tokio::test]
async fn a_topic_of_five_megabytes_is_not_answered() {
    let world = World::start().await;
    let pair = bystanders(&world).await;
    let topic = format!("realtime:{}", "x".repeat(4_999_800));
    for dialect in [Dialect::V1, Dialect::V2] {
        let mut ann = world.connect_as(dialect, Token::Valid).await;
        ann.join("realtime:room", json!({})).await;
        for event in ["phx_join", "phx_leave", "broadcast", "presence", "access_token", "heartbeat", "dance"]
        {
            ann.push("2", &topic, event, &json!({})).await;
        }
        ann.expect_quiet().await;
    }
    assert_unaffected(pair).await;
    world.stop().await;
}

#[tokio::test]
async fn json_a_hundred_thousand_levels_deep_is_read() {
    let world = World::start().await;
    let pair = bystanders(&world).await;
    let mut ann = world.connect().await;
    ann.join("realtime:room", json!({"broadcast": {"self": true}, "presence": {"enabled": true}})).await;
    const LEVELS: usize = 100_000;
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        let deep = format!("{}1{}", open.repeat(LEVELS), close.repeat(LEVELS));
        for event in ["broadcast", "presence", "access_token", "phx_join", "dance"] {
            ann.send_text(format!(r#"["1","2","realtime:room","{event}",{{"config":{deep}}}]"#)).await;
            ann.send_text(format!(
                r#"["1","2","realtime:room","{event}",{{"event":"track","payload":{deep}}}]"#
            ))
            .await;
        }
        ann.send_text(&deep).await;
        ann.send_text(open.repeat(LEVELS)).await;
        let mut kind3 = b"\x03\x01\x01\x0d\x02\x00\x01\x31\x32realtime:roomhi".to_vec();
        kind3.extend(deep.bytes());
        ann.send_binary(kind3).await;
        for path in ["/api/broadcast", "/api/broadcast/room/events/e"] {
            let body = format!(r#"{{"messages":[{{"topic":"t","event":"e","payload":{{"a":{deep}}}}}]}}"#);
            let post = Request::post(path)
                .bearer(&world.token(Token::Valid))
                .header("content-type", "application/json");
            let status = world.send(post.body(body)).await.status;
            assert!((200..500).contains(&status), "{path}: {status}");
        }
    }
    ann.settle().await;
    assert_unaffected(pair).await;
    world.stop().await;
}
