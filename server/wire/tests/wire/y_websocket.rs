//! Frames of y-websocket and of y-sweet.

use wire::lib0::Lib0Error;
use wire::y_websocket::{YWebsocketMessage, messages};
use wire::yjs::{StateVector, SyncMessage, YjsError};

use crate::fuzz::reader;

/// Messages and their bytes.
const TABLE: [(YWebsocketMessage<'static>, &[u8]); 9] = [
    (YWebsocketMessage::Sync(SyncMessage::Step1(&[0])), &[0x00, 0x00, 0x01, 0x00]),
    (YWebsocketMessage::Sync(SyncMessage::Step2(&[0, 0])), &[0x00, 0x01, 0x02, 0x00, 0x00]),
    (
        YWebsocketMessage::Sync(SyncMessage::Update(&[1, 1, 1, 0, 4, 1, 1, 0x74, 2, 0x68, 0x69, 0])),
        b"\x00\x02\x0c\x01\x01\x01\x00\x04\x01\x01\x74\x02\x68\x69\x00",
    ),
    (
        YWebsocketMessage::Awareness(&[1, 5, 0, 2, 0x7b, 0x7d]),
        &[0x01, 0x06, 0x01, 0x05, 0x00, 0x02, 0x7b, 0x7d],
    ),
    (YWebsocketMessage::Awareness(&[0]), &[0x01, 0x01, 0x00]),
    (YWebsocketMessage::PermissionDenied("no"), &[0x02, 0x00, 0x02, 0x6e, 0x6f]),
    (YWebsocketMessage::QueryAwareness, &[0x03]),
    (YWebsocketMessage::SyncStatus(&[]), &[0x66, 0x00]),
    (YWebsocketMessage::SyncStatus(&[7]), &[0x66, 0x01, 0x07]),
];

#[test]
fn messages_have_their_bytes() {
    for (message, bytes) in TABLE {
        assert!(messages(bytes).eq([Ok(message)]), "{bytes:x?}");
        assert_eq!(reader::binary(&message.encode()), bytes);
    }
}

#[test]
fn all_messages_of_a_frame_are_read() {
    let frame: Vec<u8> = TABLE.iter().flat_map(|(_, bytes)| bytes.iter().copied()).collect();
    assert!(messages(&frame).eq(TABLE.map(|(message, _)| Ok(message))));
}

#[test]
fn nothing_is_read_after_an_error() {
    let step_1 = YWebsocketMessage::Sync(SyncMessage::Step1(StateVector::EMPTY.bytes()));
    let read: Vec<_> = messages(&[0x00, 0x00, 0x01, 0x00, 0x04, 0x03]).collect();
    assert_eq!(read, [Ok(step_1), Err(YjsError::MessageType(4))]);
    let cut: Vec<_> = messages(&[0x03, 0x00, 0x02, 0x09, 0x00]).collect();
    assert_eq!(cut, [Ok(YWebsocketMessage::QueryAwareness), Err(YjsError::Field(Lib0Error::Truncated))]);
}

#[test]
fn a_frame_has_a_message() {
    assert!(messages(&[]).eq([Err(YjsError::Field(Lib0Error::Truncated))]));
}

#[test]
fn unknown_types_are_refused() {
    assert!(messages(&[0x00, 0x03, 0x00]).eq([Err(YjsError::SyncType(3))]));
    assert!(messages(&[0x02, 0x01, 0x00]).eq([Err(YjsError::AuthType(1))]));
    assert!(messages(&[0x67]).eq([Err(YjsError::MessageType(103))]));
}
