//! The WebSocket protocol itself, frame by frame, as RFC 6455 draws and forbids it.
//!
//! Section numbers here are those of the RFC.

use std::time::Duration;

use harness::{Conversation, RawFrame, RawSocket, WAIT_MAX, World, opcode};
use serde_json::{Value, json};
use settings::ByteSize;
use tokio::time::timeout;

const HEARTBEAT: &str = r#"[null,"1","phoenix","heartbeat",{}]"#;
const ANSWER: &str = r#"[null,"1","phoenix","phx_reply",{"status":"ok","response":{}}]"#;

/// Asserts that the next frame is the answer to [`HEARTBEAT`], and drawn as servers must.
async fn answered(socket: &mut RawSocket) {
    let frame = socket.next().await.expect("an answer");
    assert_eq!((frame.fin, frame.reserved, frame.opcode, frame.masked), (true, 0, opcode::TEXT, false));
    let json = |text: &[u8]| serde_json::from_slice::<Value>(text).expect("JSON");
    assert_eq!(json(&frame.payload), json(ANSWER.as_bytes()));
}

/// What the server closes with after these frames.
async fn verdict(frames: &[RawFrame]) -> Option<u16> {
    let world = World::start().await;
    let mut socket = world.raw().await;
    for frame in frames {
        // It may have hung up after an earlier one.
        let _ = socket.write(&frame.encode()).await;
    }
    let code = socket.drain_to_close().await;
    drop(socket);
    world.stop().await;
    code
}

#[tokio::test]
async fn a_message_may_come_in_pieces() {
    let world = World::start().await;
    let mut socket = world.raw().await;
    let (start, rest) = HEARTBEAT.split_at(9);
    let (middle, end) = rest.split_at(1);
    socket.send(&RawFrame::text(start).unfinished()).await;
    socket.send(&RawFrame::new(opcode::CONTINUATION, middle).unfinished()).await;
    socket.send(&RawFrame::new(opcode::CONTINUATION, "").unfinished()).await;
    socket.send(&RawFrame::new(opcode::CONTINUATION, end)).await;
    answered(&mut socket).await;
    world.stop().await;
}

// RFC 6455 §5.4: control frames may come between the pieces of a message, and must be answered there.
#[tokio::test]
async fn a_ping_between_the_pieces_is_answered_first() {
    let world = World::start().await;
    let mut socket = world.raw().await;
    let (start, end) = HEARTBEAT.split_at(20);
    socket.send(&RawFrame::text(start).unfinished()).await;
    socket.send(&RawFrame::new(opcode::PING, "x".repeat(125))).await;
    let pong = socket.next().await.expect("a pong");
    assert_eq!((pong.opcode, pong.payload), (opcode::PONG, vec![b'x'; 125]));
    socket.send(&RawFrame::new(opcode::PONG, "nobody asked")).await;
    socket.send(&RawFrame::new(opcode::CONTINUATION, end)).await;
    answered(&mut socket).await;
    world.stop().await;
}

#[tokio::test]
async fn a_letter_may_be_split_between_pieces() {
    let world = World::start().await;
    let mut socket = world.raw().await;
    let heartbeat = r#"[null,"é","phoenix","heartbeat",{}]"#.as_bytes();
    let inside_the_letter = 8;
    assert!(std::str::from_utf8(&heartbeat[..inside_the_letter]).is_err());
    socket.send(&RawFrame::new(opcode::TEXT, &heartbeat[..inside_the_letter]).unfinished()).await;
    socket.send(&RawFrame::new(opcode::CONTINUATION, &heartbeat[inside_the_letter..])).await;
    let answer = socket.next().await.expect("an answer");
    assert!(String::from_utf8(answer.payload).expect("UTF-8").contains("\"é\""));
    world.stop().await;
}

#[tokio::test]
async fn bytes_may_trickle_in_one_by_one_and_frames_all_at_once() {
    let world = World::start().await;
    let mut socket = world.raw().await;
    let frame = RawFrame::text(HEARTBEAT).encode();
    for byte in &frame {
        socket.write(&[*byte]).await.expect("the server listens");
    }
    answered(&mut socket).await;
    socket.write(&frame.repeat(100)).await.expect("the server listens");
    for _ in 0..100 {
        answered(&mut socket).await;
    }
    world.stop().await;
}

// Tokio lets a task read so often in one turn, 128 times, and then says «pending» without asking the socket
// to wake it. A pause of the client just there must not be taken for one the socket knows of.
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
        // When somebody else is answered, it has read what there was.
        other.settle().await;
        other.settle().await;
        socket.write(rest).await.expect("the server listens");
        let answer = timeout(WAIT_MAX / 2, answered(&mut socket)).await;
        assert!(answer.is_ok(), "nothing happens after a pause at read {reads}");
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
    // The header of kind 4 and its names take 20 bytes, so these lie around 125, 126, 65,535 and 65,536.
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
        assert_eq!(verdict(&[frame]).await, Some(1002), "RSV {reserved:03b}");
    }
    for reserved in [3, 7, 0xB, 0xF] {
        assert_eq!(verdict(&[RawFrame::new(reserved, "")]).await, Some(1002), "opcode {reserved:x}");
    }
}

// RFC 6455 §5.1: «a server MUST close the connection upon receiving a frame that is not masked».
#[tokio::test]
async fn an_unmasked_frame_is_a_protocol_error() {
    assert_eq!(verdict(&[RawFrame { masked: false, ..RawFrame::text(HEARTBEAT) }]).await, Some(1002));
}

#[tokio::test]
async fn pieces_out_of_order_are_protocol_errors() {
    assert_eq!(verdict(&[RawFrame::new(opcode::CONTINUATION, "x")]).await, Some(1002), "nothing was begun");
    let begun_twice = [RawFrame::text("[").unfinished(), RawFrame::text("]")];
    assert_eq!(verdict(&begun_twice).await, Some(1002), "a message inside a message");
}

#[tokio::test]
async fn control_frames_are_short_and_whole() {
    assert_eq!(verdict(&[RawFrame::new(opcode::PING, "").unfinished()]).await, Some(1002));
    assert_eq!(verdict(&[RawFrame::new(opcode::PING, "x".repeat(126))]).await, Some(1002));
}

#[tokio::test]
async fn text_that_is_not_utf8_is_1007() {
    assert_eq!(verdict(&[RawFrame::new(opcode::TEXT, [b'"', 0xff, b'"'])]).await, Some(1007));
    let in_pieces =
        [RawFrame::new(opcode::TEXT, [0xf0, 0x9f]).unfinished(), RawFrame::new(opcode::CONTINUATION, "x")];
    assert_eq!(verdict(&in_pieces).await, Some(1007), "half a letter");
}

fn close(code: u16, reason: &[u8]) -> RawFrame {
    RawFrame::new(opcode::CLOSE, [&code.to_be_bytes()[..], reason].concat())
}

#[tokio::test]
async fn a_close_is_answered_with_its_code() {
    for code in [1000, 1001, 1011, 3000, 4999] {
        assert_eq!(verdict(&[close(code, b"bye")]).await, Some(code));
    }
}

#[tokio::test]
async fn a_close_without_code_is_answered_and_the_connection_ends() {
    let world = World::start().await;
    let mut socket = world.raw().await;
    socket.send(&RawFrame::new(opcode::CLOSE, "")).await;
    let answer = socket.next().await.expect("an answer");
    assert_eq!(answer.opcode, opcode::CLOSE);
    assert!(matches!(answer.close_code(), None | Some(1000)), "{answer:?}");
    assert!(socket.is_dropped().await);
    world.stop().await;
}

#[tokio::test]
async fn a_close_that_is_malformed_is_a_protocol_error() {
    assert_eq!(verdict(&[RawFrame::new(opcode::CLOSE, [3])]).await, Some(1002), "half a code");
    for code in [0, 999, 1004, 1005, 1006, 1015, 2999, 5000] {
        assert_eq!(verdict(&[close(code, b"")]).await, Some(1002), "code {code}");
    }
}

#[tokio::test]
async fn what_comes_after_a_close_is_not_listened_to() {
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

/// Ann says ten things.
async fn talk(room: &mut Conversation<'_>) {
    for n in 0..10 {
        room.client("ann").push("2", ROOM, "broadcast", &json!({"n": n})).await;
    }
}

/// Bob listens until he sees eve go, which must not take another word of ann's.
async fn eve_goes(room: &mut Conversation<'_>) {
    let diff = loop {
        let frame = room.client("bob").next_json().await;
        match frame[3].as_str() {
            Some("presence_diff") => break frame,
            other => assert_eq!(other, Some("broadcast")),
        }
    };
    assert_eq!((&diff[4]["joins"], &diff[4]["leaves"]["eve"]["metas"][0]["is"]), (&json!({}), &json!("eve")));
}

/// Has eve break the protocol in a room where ann keeps talking. Before, eve is told so many quarter
/// megabytes that she does not read.
async fn offend(offence: Vec<u8>, code: u16, unread: usize) {
    let world = World::with(|settings| {
        // Whoever waited for it would wait longer than this test has patience.
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

    talk(&mut room).await;
    // The server need not take all of an offence.
    let _ = eve.write(&offence).await;
    eve_goes(&mut room).await;
    talk(&mut room).await;
    room.client("ann").settle().await;

    let close = loop {
        let frame = eve.next().await.expect("a close frame comes");
        if frame.opcode == opcode::CLOSE {
            break frame;
        }
        serde_json::from_slice::<Value>(&frame.payload).expect("what comes before it is whole");
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

// RFC 6455 §5.5.1 and §7.1.7: an endpoint that fails the connection says so, then nothing; nobody waits for it.
#[tokio::test]
async fn an_offender_in_a_busy_room_hears_why_and_nothing_after_it() {
    offend(unmasked(), 1002, 0).await;
    offend(oversized(), 1009, 0).await;
}

// What the socket took half must be finished before the close frame; the rest is not sent any more.
#[tokio::test]
async fn an_offender_that_is_behind_hears_why_and_nothing_after_it() {
    const UNREAD: usize = 60;
    offend(unmasked(), 1002, UNREAD).await;
    offend(oversized()[..100].to_vec(), 1009, UNREAD).await;
}
