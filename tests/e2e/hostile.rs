//! Hostile input: refused as documented or quietly dropped, bounded, and nobody else notices.
//!
//! Every test ends with a pair of bystanders who were in a room all the time and still hear each other,
//! and with a server that has not panicked (the harness sees to that).

use std::sync::Arc;
use std::time::Duration;

use harness::{Client, Conversation, Dialect, RawFrame, Request, Token, World, check, eventually, opcode};
use serde_json::json;
use tokio::time::timeout;

use crate::{count, size};

/// Two people in a room of their own.
async fn bystanders(world: &World) -> Conversation<'_> {
    let mut pair = world.conversation();
    pair.check("yin, yang join realtime:quiet").await;
    pair
}

/// Asserts that the two hear each other and have heard nothing else.
async fn untouched(mut pair: Conversation<'_>) {
    pair.check(
        r#"
        yin > ["1","2","realtime:quiet","broadcast",{"event":"still here"}]
        yang < [null,null,"realtime:quiet","broadcast",{"event":"still here"}]
        yin, yang are quiet
        "#,
    )
    .await;
}

/// Reproducible noise (xorshift).
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn bytes(&mut self, most: u64) -> Vec<u8> {
        (0..self.next() % most).map(|_| self.next() as u8).collect()
    }
}

#[tokio::test]
async fn noise_is_dropped() {
    let world = World::start().await;
    let pair = bystanders(&world).await;
    let mut noise = Noise(0x5eed);
    for dialect in [Dialect::V1, Dialect::V2] {
        let mut ann = world.connect_as(dialect, Token::Valid).await;
        ann.join("realtime:room", json!({})).await;
        for kind in 0..600u64 {
            let mut bytes = noise.bytes(64);
            match kind % 3 {
                0 => ann.send_text(String::from_utf8_lossy(&bytes)).await,
                1 => ann.send_binary(bytes).await,
                // Looks right at first sight.
                _ => {
                    bytes.insert(0, 3);
                    ann.send_binary(bytes).await;
                }
            }
        }
        ann.settle().await;
    }
    untouched(pair).await;
    world.stop().await;
}

#[tokio::test]
async fn good_messages_cut_short_and_turned_over_are_dropped() {
    let world = World::start().await;
    let pair = bystanders(&world).await;
    let mut ann = world.connect().await;
    ann.join("realtime:room", json!({})).await;
    let good = r#"["1","2","realtime:room","presence",{"type":"presence","event":"track","payload":{"é":[1,-2.5e3,"\u00e9"]}}]"#;
    let binary = b"\x03\x01\x01\x0d\x02\x02\x01\x31\x32realtime:roomhi{}{\"x\":1}";
    for end in (0..good.len()).filter(|end| good.is_char_boundary(*end)) {
        ann.send_text(&good[..end]).await;
    }
    for end in 0..binary.len() {
        ann.send_binary(binary[..end].to_vec()).await;
    }
    for at in 0..binary.len() {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut turned = binary.to_vec();
            turned[at] = value;
            ann.send_binary(turned).await;
        }
    }
    ann.settle().await;
    untouched(pair).await;
    world.stop().await;
}

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
    // The server may hang up before it has read everything.
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
    untouched(pair).await;
    world.stop().await;
}

// Nothing of it is kept for the sake of the next message: neither the buffer nor the place in the stream.
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
    untouched(pair).await;
    world.stop().await;
}

// An answer would have to carry it back.
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
    untouched(pair).await;
    world.stop().await;
}

#[tokio::test]
async fn json_a_hundred_thousand_levels_deep_is_survived() {
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
    untouched(pair).await;
    world.stop().await;
}

#[tokio::test]
async fn invalid_utf8_closes_with_1007() {
    let world = World::start().await;
    let pair = bystanders(&world).await;
    let mut ann = world.raw().await;
    ann.send(&RawFrame::new(opcode::TEXT, b"[null,\"\xff\",\"phoenix\",\"heartbeat\",{}]")).await;
    assert_eq!(ann.drain_to_close().await, Some(1007));
    untouched(pair).await;
    world.stop().await;
}

#[tokio::test]
async fn strange_names_are_only_names() {
    check(
        r#"
        ann, bob join realtime:\u0000
        ann > ["1","2","realtime:\\u0000","broadcast",{"event":"\u0000\u001b[31m"}]
        bob < [null,null,"realtime:\\u0000","broadcast",{"event":"\u0000\u001b[31m"}]
        ann > ["2","2","realtime:../../etc/passwd","phx_join",{"config":{"presence":{"key":"__proto__","enabled":true}}}]
        ann < ["2","2","realtime:../../etc/passwd","phx_reply",{"status":"ok","response":{"postgres_changes":[]}}]
        ann < ["2",null,"realtime:../../etc/passwd","presence_state",{}]
        ann > ["2","3","realtime:../../etc/passwd","presence",{"event":"track","payload":{"__proto__":{"x":1}}}]
        ann <~ ["2","3","realtime:../../etc/passwd","phx_reply",{"status":"ok","response":{}}]
        ann <~ [null,null,"realtime:../../etc/passwd","presence_diff",{"joins":{"__proto__":{"metas":[{"phx_ref":_,"__proto__":{"x":1}}]}},"leaves":{}}]
        "#,
    )
    .await;
}

#[tokio::test]
async fn a_handshake_that_is_never_finished_is_dropped() {
    let world = World::with(|settings| settings.server.handshake_timeout = Duration::from_millis(300)).await;
    let pair = bystanders(&world).await;
    let mut silent = world.dial().await;
    let mut halfway = world.dial().await;
    halfway.write(b"GET /socket/websocket HTTP/1.1\r\nhost: x\r\nx-wait").await.expect("the server listens");
    assert!(silent.is_dropped().await, "said nothing");
    assert!(halfway.is_dropped().await, "said half of it");
    untouched(pair).await;
    world.stop().await;
}

#[tokio::test]
async fn bytes_that_are_not_http_are_refused() {
    let world = World::start().await;
    let pair = bystanders(&world).await;
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"[..],
        b"\x00\x00\x00\x00\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /socket/websocket HTTP/1.1\r\nhost: x\r\nbad header\r\n\r\n",
        b"POST /api/broadcast HTTP/1.1\r\nhost: x\r\ncontent-length: -5\r\n\r\n",
    ] {
        let mut stranger = world.dial().await;
        stranger.write(bytes).await.expect("the server listens");
        assert!(stranger.is_dropped().await, "{:?}", String::from_utf8_lossy(bytes));
    }
    untouched(pair).await;
    world.stop().await;
}

#[tokio::test]
async fn header_floods_are_answered_with_431() {
    let world = World::start().await;
    let pair = bystanders(&world).await;
    let target = world.target("/socket/websocket", Dialect::V2, Token::Valid);
    let one_long = Request::upgrade(&target).header("x-filler", &"x".repeat(100_000));
    assert_eq!(world.send(one_long).await.status, 431);
    let many = (0..2000)
        .fold(Request::upgrade(&target), |request, n| request.header(&format!("x-{n}"), &"x".repeat(100)));
    assert_eq!(world.send(many).await.status, 431);
    let mut endless = world.dial().await;
    endless.write(b"GET / HTTP/1.1\r\nhost: x\r\n").await.expect("the server listens");
    // A megabyte would be thirty times what a head may have.
    let flood =
        async { while endless.write(b"x-filler: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n").await.is_ok() {} };
    timeout(harness::PATIENCE, flood).await.expect("the server hangs up");
    let long_line = Request::get(&format!("/{}", "x".repeat(200_000)));
    let status = world.send(long_line).await.status;
    assert!(matches!(status, 400 | 414 | 431), "{status}");
    untouched(pair).await;
    world.stop().await;
}

/// Sends joins of `topics` in batches, reads the answers, and counts those that are ok.
async fn join_all(client: &mut Client, topics: std::ops::Range<u32>) -> usize {
    let (mut joined, topics) = (0, topics.collect::<Vec<_>>());
    for batch in topics.chunks(200) {
        for n in batch {
            client.send_text(format!(r#"["{n}","{n}","realtime:{n}","phx_join",{{"config":{{}}}}]"#)).await;
        }
        for n in batch {
            let reply = client.next_json().await;
            assert_eq!((&reply[1], &reply[3]), (&json!(n.to_string()), &json!("phx_reply")));
            joined += usize::from(reply[4]["status"] == "ok");
        }
    }
    joined
}

#[tokio::test]
async fn ten_thousand_joins_are_each_answered_and_all_but_a_hundred_refused() {
    let world = World::start().await;
    let pair = bystanders(&world).await;
    let mut ann = world.connect().await;
    assert_eq!(join_all(&mut ann, 0..10_000).await, 100);
    ann.settle().await;
    untouched(pair).await;
    world.stop().await;
}

#[tokio::test]
async fn ten_thousand_rooms_of_one_client_are_gone_when_it_is() {
    let world = World::with(|settings| {
        settings.limits.max_channels_per_client = size(20_000);
        settings.limits.max_joins_per_second = count(20_000);
    })
    .await;
    let pair = bystanders(&world).await;
    let mut ann = world.connect().await;
    assert_eq!(join_all(&mut ann, 0..10_000).await, 10_000);
    drop(ann);
    eventually("only the bystanders' room is left", async || {
        world.send(Request::get("/health")).await.json()["rooms"] == 1
    })
    .await;
    untouched(pair).await;
    world.stop().await;
}

#[tokio::test]
async fn a_flood_of_joins_and_leaves_of_one_room_ends_where_it_should() {
    let world = World::start().await;
    let pair = bystanders(&world).await;
    let mut ann = world.connect().await;
    for n in 0..500 {
        ann.send_text(format!(r#"["{n}","{n}","realtime:room","phx_join",{{"config":{{}}}}]"#)).await;
        if n % 3 == 0 {
            ann.send_text(format!(r#"["{n}","l{n}","realtime:room","phx_leave",{{}}]"#)).await;
        }
    }
    ann.heard().await;
    let members = world.send(Request::get("/health")).await.json()["members"].clone();
    assert_eq!(members, 3, "the bystanders and ann's last join");
    untouched(pair).await;
    world.stop().await;
}

// Its answers have nowhere to go, so the server must stop to listen instead of piling them up.
#[tokio::test]
async fn somebody_who_asks_and_never_reads_is_not_listened_to_for_ever() {
    let world = World::with(|settings| settings.outbox.stall_timeout = Duration::from_millis(500)).await;
    let pair = bystanders(&world).await;
    let mut ann = world.raw().await;
    let burst = RawFrame::text(r#"[null,"1","phoenix","heartbeat",{}]"#).encode().repeat(2000);
    let asking = async { while ann.write(&burst).await.is_ok() {} };
    timeout(Duration::from_secs(60), asking).await.expect("the server stops to listen");
    untouched(pair).await;
    world.stop().await;
}

#[tokio::test]
async fn forged_tokens_open_nothing() {
    check(
        r#"
        ann joins realtime:room {"broadcast":{"self":true}}
        ann > ["2","2","realtime:a","phx_join",{"config":{},"access_token":"$forged"}]
        ann < ["2","2","realtime:a","phx_reply",{"status":"error","response":{"reason":"JwtSignatureError: Failed to validate JWT signature"}}]
        ann > ["3","3","realtime:a","phx_join",{"config":{},"access_token":"$unsigned"}]
        ann < ["3","3","realtime:a","phx_reply",{"status":"error","response":{"reason":_}}]
        ann > ["4","4","realtime:a","phx_join",{"config":{},"access_token":"$confused"}]
        ann < ["4","4","realtime:a","phx_reply",{"status":"error","response":{"reason":_}}]
        ann > ["5","5","realtime:a","phx_join",{"config":{},"access_token":"$valid.more"}]
        ann < ["5","5","realtime:a","phx_reply",{"status":"error","response":{"reason":_}}]
        ann > ["6","6","realtime:a","phx_join",{"config":{},"access_token":"..."}]
        ann < ["6","6","realtime:a","phx_reply",{"status":"error","response":{"reason":_}}]
        ann > ["1","7","realtime:room","broadcast",{"event":"untouched"}]
        ann < [null,null,"realtime:room","broadcast",{"event":"untouched"}]
        "#,
    )
    .await;
}

#[tokio::test]
async fn a_megabyte_of_token_is_no_token() {
    let world = World::start().await;
    let pair = bystanders(&world).await;
    let mut ann = world.connect().await;
    let huge = format!("{0}.{0}.{0}", "e".repeat(400_000));
    ann.push("2", "realtime:a", "phx_join", &json!({"config": {}, "access_token": huge})).await;
    assert_eq!(ann.next_json().await[4]["status"], "error");
    untouched(pair).await;
    world.stop().await;
}

/// One visitor of a crowd: comes, joins, talks, tracks, and goes, politely or not.
async fn visit(world: &World, number: u64) {
    let mut noise = Noise(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    for _ in 0..15 {
        let mut visitor = world.connect().await;
        for n in 0..1 + noise.next() % 4 {
            let (topic, join_ref) = (format!("realtime:{}", noise.next() % 3), n.to_string());
            let config = json!({"config": {"broadcast": {"self": true}, "presence": {"enabled": noise.next() & 1 == 0}}});
            visitor.send_json(&json!([join_ref, join_ref, topic, "phx_join", config])).await;
            let track = json!({"event": "track", "payload": {"n": n}});
            visitor.send_json(&json!([join_ref, "t", topic, "presence", track])).await;
            visitor.send_json(&json!([join_ref, "b", topic, "broadcast", {"n": n}])).await;
            if noise.next() & 1 == 0 {
                visitor.send_json(&json!([join_ref, "l", topic, "phx_leave", {}])).await;
            }
        }
        if noise.next() & 1 == 0 {
            visitor.heard().await;
        }
    }
}

// On several threads, because what goes wrong between two of them goes wrong nowhere else.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_crowd_that_comes_and_goes_leaves_nothing_behind() {
    let world = Arc::new(World::start().await);
    let pair = bystanders(&world).await;
    let visits = (1..=24).map(|number| {
        let world = Arc::clone(&world);
        tokio::spawn(async move { visit(&world, number).await })
    });
    for visit in visits.collect::<Vec<_>>() {
        visit.await.expect("a visit ends well");
    }
    eventually("only the bystanders are left", async || {
        let health = world.send(Request::get("/health")).await.json();
        health == json!({"status": "ok", "connections": 2, "rooms": 1, "members": 2})
    })
    .await;
    untouched(pair).await;
    world.check("ann, bob join realtime:0\n ann > [\"1\",\"2\",\"realtime:0\",\"broadcast\",{}]\n bob < [null,null,\"realtime:0\",\"broadcast\",{}]").await;
}
