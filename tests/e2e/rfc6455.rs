//! The WebSocket protocol itself, frame by frame, as RFC 6455 defines it.
//!
//! Section numbers here are those of the RFC.

use std::time::Duration;

use harness::{Conversation, RawFrame, RawSocket, WAIT_MAX, World, opcode};
use serde_json::{Value, json};
use settings::ByteSize;
use tokio::time::timeout;

const HEARTBEAT: &str = r#"[null,"1","phoenix","heartbeat",{}]"#;
const REPLY: &str = r#"[null,"1","phoenix","phx_reply",{"status":"ok","response":{}}]"#;

/// Asserts that the next frame is the reply to [`HEARTBEAT`], framed as a server must.
async fn assert_reply(socket: &mut RawSocket) {
    let frame = socket.next().await.expect("a reply");
    assert_eq!((frame.fin, frame.reserved, frame.opcode, frame.masked), (true, 0, opcode::TEXT, false));
    let json = |text: &[u8]| serde_json::from_slice::<Value>(text).expect("JSON");
    assert_eq!(json(&frame.payload), json(REPLY.as_bytes()));
}

/// The code with which the server closes after these frames.
async fn close_code_after(frames: &[RawFrame]) -> Option<u16> {
    let world = World::start().await;
    let mut socket = world.raw().await;
    for frame in frames {
        // The server may have closed after an earlier frame.
        let _ = socket.write(&frame.encode()).await;
    }
    let code = socket.drain_to_close().await;
    drop(socket);
    world.stop().await;
    code
}

#[tokio::test]
async fn a_message_may_be_fragmented() {
    let world = World::start().await;
    let mut socket = world.raw().await;
    let (start, rest) = HEARTBEAT.split_at(9);
    let (middle, end) = rest.split_at(1);
    socket.send(&RawFrame::text(start).unfinished()).await;
    socket.send(&RawFrame::new(opcode::CONTINUATION, middle).unfinished()).await;
    socket.send(&RawFrame::new(opcode::CONTINUATION, "").unfinished()).await;
    socket.send(&RawFrame::new(opcode::CONTINUATION, end)).await;
    assert_reply(&mut socket).await;
    world.stop().await;
}

// RFC 6455 §5.4: control frames may be interleaved with the fragments of a message, and are answered at once.
#[tokio::test]
async fn a_ping_between_fragments_is_answered_first() {
    let world = World::start().await;
    let mut socket = world.raw().await;
    let (start, end) = HEARTBEAT.split_at(20);
    socket.send(&RawFrame::text(start).unfinished()).await;
    socket.send(&RawFrame::new(opcode::PING, "x".repeat(125))).await;
    let pong = socket.next().await.expect("a pong");
    assert_eq!((pong.opcode, pong.payload), (opcode::PONG, vec![b'x'; 125]));
    socket.send(&RawFrame::new(opcode::PONG, "unsolicited")).await;
    socket.send(&RawFrame::new(opcode::CONTINUATION, end)).await;
    assert_reply(&mut socket).await;
    world.stop().await;
}

#[tokio::test]
async fn a_character_may_be_split_between_fragments() {
    let world = World::start().await;
    let mut socket = world.raw().await;
    let heartbeat = r#"[null,"é","phoenix","heartbeat",{}]"#.as_bytes();
    let inside_the_character = 8;
    assert!(std::str::from_utf8(&heartbeat[..inside_the_character]).is_err());
    socket.send(&RawFrame::new(opcode::TEXT, &heartbeat[..inside_the_character]).unfinished()).await;
    socket.send(&RawFrame::new(opcode::CONTINUATION, &heartbeat[inside_the_character..])).await;
    let reply = socket.next().await.expect("a reply");
    assert!(String::from_utf8(reply.payload).expect("UTF-8").contains("\"é\""));
    world.stop().await;
}

#[tokio::test]
async fn bytes_may_arrive_one_by_one_and_frames_all_at_once() {
    let world = World::start().await;
    let mut socket = world.raw().await;
    let frame = RawFrame::text(HEARTBEAT).encode();
    for byte in &frame {
        socket.write(&[*byte]).await.expect("the server listens");
    }
    assert_reply(&mut socket).await;
    socket.write(&frame.repeat(100)).await.expect("the server listens");
    for _ in 0..100 {
        assert_reply(&mut socket).await;
    }
    world.stop().await;
}

// Tokio lets a task read 128 times in one poll, and then returns «pending» without registering with the socket. A pause
// of the client at exactly that point must not stall the connection.
#[tokio::test]
async fn a_message_may_pause_after_any_number_of_reads() {
    let world = World::with(|settings| settings.server.read_buffer_size = ByteSize::kib(1)).await;
    let mut other = world.connect().await;
    let mut socket = world.raw().await;
    let padded = HEARTBEAT.replace("{}", &format!(r#"{{"a":"{}"}}"#, "x".repeat(300_000)));
    let message = RawFrame::text(&padded).encode();
    for reads in (120..=136).chain(248..=264) {
        let (start, rest) = message.split_at(reads * 1024 - 500);
        socket.write(start).await.expect("the server listens");
        // When another client gets its reply, the server has read everything.
        other.settle().await;
        other.settle().await;
        socket.write(rest).await.expect("the server listens");
        let reply = timeout(WAIT_MAX / 2, assert_reply(&mut socket)).await;
        assert!(reply.is_ok(), "nothing happens after a pause at read {reads}");
    }
    world.stop().await;
}

// RFC 6455 §5.2: 7 bits, 16 bits, 64 bits of length, in both directions.
#[tokio::test]
async fn every_size_comes_back_byte_for_byte() {
    let world = World::start().await;
    let mut socket = world.raw().await;
    let join = r#"["1","1","realtime:room","phx_join",{"config":{"broadcast":{"self":true}}}]"#;
    socket.send(&RawFrame::text(join)).await;
    assert_eq!(socket.next().await.map(|reply| reply.opcode), Some(opcode::TEXT));
    // The header of kind 4 and its names take 20 bytes, so these sizes are around 125, 126, 65,535 and 65,536.
    for size in [0, 1, 104, 105, 106, 107, 65_514, 65_515, 65_516, 65_517, 1_000_000] {
        let body: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
        let pushed = [&b"\x03\x01\x01\x0d\x02\x00\x00\x31\x32realtime:roomhi"[..], &body].concat();
        let echoed = [&b"\x04\x0d\x02\x00\x00realtime:roomhi"[..], &body].concat();
        socket.send(&RawFrame::new(opcode::BINARY, pushed)).await;
        let frame = socket.next().await.expect("the echo");
        assert_eq!((frame.opcode, frame.masked, frame.reserved), (opcode::BINARY, false, 0));
        assert!(frame.payload == echoed, "{size} bytes");
    }
    world.stop().await;
}

#[tokio::test]
async fn reserved_bits_and_opcodes_are_protocol_errors() {
    for reserved in [1, 2, 4] {
        let frame = RawFrame { reserved, ..RawFrame::text(HEARTBEAT) };
        assert_eq!(close_code_after(&[frame]).await, Some(1002), "RSV {reserved:03b}");
    }
    for reserved in [3, 7, 0xB, 0xF] {
        assert_eq!(close_code_after(&[RawFrame::new(reserved, "")]).await, Some(1002), "opcode {reserved:x}");
    }
}

// RFC 6455 §5.1: «a server MUST close the connection upon receiving a frame that is not masked».
#[tokio::test]
async fn an_unmasked_frame_is_a_protocol_error() {
    assert_eq!(
        close_code_after(&[RawFrame { masked: false, ..RawFrame::text(HEARTBEAT) }]).await,
        Some(1002)
    );
}

#[tokio::test]
async fn fragments_out_of_order_are_protocol_errors() {
    assert_eq!(
        close_code_after(&[RawFrame::new(opcode::CONTINUATION, "x")]).await,
        Some(1002),
        "no message was begun"
    );
    let begun_twice = [RawFrame::text("[").unfinished(), RawFrame::text("]")];
    assert_eq!(close_code_after(&begun_twice).await, Some(1002), "a message inside a message");
}

#[tokio::test]
async fn control_frames_are_short_and_not_fragmented() {
    assert_eq!(close_code_after(&[RawFrame::new(opcode::PING, "").unfinished()]).await, Some(1002));
    assert_eq!(close_code_after(&[RawFrame::new(opcode::PING, "x".repeat(126))]).await, Some(1002));
}

#[tokio::test]
async fn text_that_is_not_utf8_is_1007() {
    assert_eq!(close_code_after(&[RawFrame::new(opcode::TEXT, [b'"', 0xff, b'"'])]).await, Some(1007));
    let fragmented =
        [RawFrame::new(opcode::TEXT, [0xf0, 0x9f]).unfinished(), RawFrame::new(opcode::CONTINUATION, "x")];
    assert_eq!(close_code_after(&fragmented).await, Some(1007), "half a character");
}

fn close(code: u16, reason: &[u8]) -> RawFrame {
    RawFrame::new(opcode::CLOSE, [&code.to_be_bytes()[..], reason].concat())
}

#[tokio::test]
async fn a_close_is_answered_with_its_code() {
    for code in [1000, 1001, 1011, 3000, 4999] {
        assert_eq!(close_code_after(&[close(code, b"bye")]).await, Some(code));
    }
}

#[tokio::test]
async fn a_close_without_code_is_answered_and_the_connection_ends() {
    let world = World::start().await;
    let mut socket = world.raw().await;
    socket.send(&RawFrame::new(opcode::CLOSE, "")).await;
    let reply = socket.next().await.expect("a reply");
    assert_eq!(reply.opcode, opcode::CLOSE);
    assert!(matches!(reply.close_code(), None | Some(1000)), "{reply:?}");
    assert!(socket.is_dropped().await);
    world.stop().await;
}

#[tokio::test]
async fn a_close_that_is_malformed_is_a_protocol_error() {
    assert_eq!(close_code_after(&[RawFrame::new(opcode::CLOSE, [3])]).await, Some(1002), "half a code");
    for code in [0, 999, 1004, 1005, 1006, 1015, 2999, 5000] {
        assert_eq!(close_code_after(&[close(code, b"")]).await, Some(1002), "code {code}");
    }
}

#[tokio::test]
async fn frames_after_a_close_are_ignored() {
    let world = World::start().await;
    let mut socket = world.raw().await;
    socket
        .write(&[close(1000, b"").encode(), RawFrame::text(HEARTBEAT).encode()].concat())
        .await
        .expect("sent");
    assert_eq!(socket.next().await.and_then(|frame| frame.close_code()), Some(1000));
    assert_eq!(socket.next().await, None);
    world.stop().await;
}

const ROOM: &str = "realtime:room";

/// Ann sends ten messages.
async fn send_ten(room: &mut Conversation<'_>) {
    for n in 0..10 {
        room.client("ann").push("2", ROOM, "broadcast", &json!({"n": n})).await;
    }
}

/// Reads bob's frames up to eve's leave. It must come without a further message of ann's.
async fn expect_eves_leave(room: &mut Conversation<'_>) {
    let diff = loop {
        let frame = room.client("bob").next_json().await;
        match frame[3].as_str() {
            Some("presence_diff") => break frame,
            other => assert_eq!(other, Some("broadcast")),
        }
    };
    assert_eq!((&diff[4]["joins"], &diff[4]["leaves"]["eve"]["metas"][0]["is"]), (&json!({}), &json!("eve")));
}

/// Eve violates the protocol with these bytes in a room where ann keeps sending, and is closed with `code`. Before, eve is
/// sent `unread` messages of a quarter megabyte, which she has not read yet.
async fn violate(violation: Vec<u8>, code: u16, unread: usize) {
    let world = World::with(|settings| {
        // Longer than the timeouts of this test, so that nothing may wait for it.
        settings.server.close_timeout = Duration::from_secs(60);
        settings.outbox.max_bytes = ByteSize::mib(64);
        settings.presence.coalesce = Duration::ZERO;
    })
    .await;
    let mut room = world.conversation();
    room.check(
        r#"
        ann, bob join realtime:room {"presence":{"enabled":true}}
        ann, bob < ["1",null,"realtime:room","presence_state",{}]
        "#,
    )
    .await;
    let mut eve = world.raw().await;
    let join = r#"["1","1","realtime:room","phx_join",{"config":{"presence":{"key":"eve"}}}]"#;
    let track = r#"["1","2","realtime:room","presence",{"event":"track","payload":{"is":"eve"}}]"#;
    eve.write(&[RawFrame::text(join).encode(), RawFrame::text(track).encode()].concat()).await.expect("sent");
    room.check(r#"ann, bob < [null,null,"realtime:room","presence_diff",_]"#).await;
    let text = "x".repeat(250_000);
    for _ in 0..unread {
        room.client("ann").push("2", ROOM, "broadcast", &json!({"text": text})).await;
        assert_eq!(room.client("bob").next_json().await[3], "broadcast");
    }

    send_ten(&mut room).await;
    // The server need not read all of it.
    let _ = eve.write(&violation).await;
    expect_eves_leave(&mut room).await;
    send_ten(&mut room).await;
    room.client("ann").settle().await;

    let close = loop {
        let frame = eve.next().await.expect("a close frame");
        if frame.opcode == opcode::CLOSE {
            break frame;
        }
        serde_json::from_slice::<Value>(&frame.payload).expect("frames before it are complete");
    };
    assert_eq!(close.close_code(), Some(code));
    let after = eve.next().await.map(|frame| String::from_utf8_lossy(&frame.payload).into_owned());
    assert_eq!(after, None, "nothing follows a close frame");
    drop((room, eve));
    world.stop().await;
}

/// A frame that servers may send and clients may not.
fn unmasked() -> Vec<u8> {
    RawFrame { masked: false, ..RawFrame::text(HEARTBEAT) }.encode()
}

/// A frame over the limit.
fn oversized() -> Vec<u8> {
    RawFrame::new(opcode::BINARY, vec![b'x'; 5_000_001]).encode()
}

// RFC 6455 §5.5.1 and §7.1.7: an endpoint that fails the connection sends a close frame, and nothing after it.
#[tokio::test]
async fn a_violation_in_a_busy_room_is_closed_with_a_code_and_nothing_after_it() {
    violate(unmasked(), 1002, 0).await;
    violate(oversized(), 1009, 0).await;
}

// A frame that was sent in part is completed before the close frame; frames queued after it are not sent.
#[tokio::test]
async fn a_violation_of_a_slow_reader_is_closed_with_a_code_and_nothing_after_it() {
    const UNREAD: usize = 60;
    violate(unmasked(), 1002, UNREAD).await;
    violate(oversized()[..100].to_vec(), 1009, UNREAD).await;
}
