//! Binary frames, byte for byte as measured with realtime-js.

use hub::Encode;
use wire::phoenix::{DecodeError, UserPayload, V1, V2, decode_binary};
use wire::supabase::Broadcast;

use crate::fuzz::reader;

const KIND_3_JSON: &str =
    "03 01 01 0e 06 00 01 36 37 7265616c74696d653a726f6f6d31 637572736f72 7b2278223a317d";
const KIND_3_BINARY: &str = "03 01 01 0e 03 00 00 36 38 7265616c74696d653a726f6f6d31 62696e 0102ff";
const KIND_4_JSON: &str = "04 0e 06 00 01 7265616c74696d653a726f6f6d31 637572736f72 7b2278223a317d";
const KIND_4_BINARY: &str = "04 0e 03 00 00 7265616c74696d653a726f6f6d31 62696e 0102ff";

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

#[test]
fn kind_3_is_what_realtime_js_sends() {
    let frame = bytes(KIND_3_JSON);
    let cursor = decode_binary(V2, &frame).unwrap();
    assert_eq!((cursor.join_ref.as_json(), cursor.reference.as_json()), ("\"6\"", "\"7\""));
    assert_eq!((cursor.topic, cursor.event), ("realtime:room1", "cursor"));
    assert_eq!((cursor.metadata, cursor.payload), (None, UserPayload::Json(r#"{"x":1}"#)));

    let frame = bytes(KIND_3_BINARY);
    let bin = decode_binary(V2, &frame).unwrap();
    assert_eq!((bin.reference.as_json(), bin.event), ("\"8\"", "bin"));
    assert_eq!(bin.payload, UserPayload::Binary(&[1, 2, 0xFF]));
}

#[test]
fn kind_4_is_what_members_receive() {
    let cursor = Broadcast::User { event: "cursor", payload: UserPayload::Json(r#"{"x":1}"#), meta: None };
    assert_eq!(reader::binary(&cursor.encode("room1", V2).unwrap()), bytes(KIND_4_JSON));
    let bin = Broadcast::User { event: "bin", payload: UserPayload::Binary(&[1, 2, 0xFF]), meta: None };
    assert_eq!(reader::binary(&bin.encode("room1", V2).unwrap()), bytes(KIND_4_BINARY));

    let meta = r#"{"id":"0191f0e2-7c1a-7d55-9f0e-2b6f3a1c4d5e"}"#;
    let insert =
        Broadcast::User { event: "INSERT", payload: UserPayload::Json(r#"{"id":"z"}"#), meta: Some(meta) };
    let frame = insert.encode("room1", V2).unwrap();
    let expected = [
        bytes("04 0e 06 2d 01 7265616c74696d653a726f6f6d31 494e53455254"),
        meta.as_bytes().to_vec(),
        bytes("7b226964223a227a227d"),
    ];
    assert_eq!(reader::binary(&frame), expected.concat());
}

#[test]
fn empty_refs_are_null() {
    let frame = bytes("03 00 00 01 01 00 00 74 65");
    let broadcast = decode_binary(V2, &frame).unwrap();
    assert!(broadcast.join_ref.is_null() && broadcast.reference.is_null());
    assert_eq!(broadcast.payload, UserPayload::Binary(&[]));
}

#[test]
fn any_encoding_but_0_means_json() {
    let frame = bytes("03 00 00 01 01 02 09 74 65 7b7d 5b5d");
    let broadcast = decode_binary(V2, &frame).unwrap();
    assert_eq!((broadcast.metadata, broadcast.payload), (Some("{}"), UserPayload::Json("[]")));
}

#[test]
fn other_binary_frames_are_refused_with_the_reason() {
    let refused = |hex: &str| decode_binary(V2, &bytes(hex)).unwrap_err().error;
    for kind in [0, 1, 2, 4, 255] {
        assert_eq!(refused(&format!("{kind:02x} 00 00 01 01 00 00 74 65")), DecodeError::Kind(kind));
    }
    assert_eq!(refused(""), DecodeError::Truncated);
    assert_eq!(refused("03 00 00 01 01 00"), DecodeError::Truncated);
    assert_eq!(refused("03 00 00 01 02 00 00 74 65"), DecodeError::Truncated);
    assert_eq!(refused("03 01 00 01 01 00 00 ff 74 65"), DecodeError::Ref);
    assert_eq!(refused("03 00 00 01 01 00 00 ff 65"), DecodeError::Topic);
    assert_eq!(refused("03 00 00 01 01 00 00 74 ff"), DecodeError::Event);
    assert_eq!(refused("03 00 00 01 01 02 00 74 65 5b5d"), DecodeError::Metadata);
    assert_eq!(refused("03 00 00 01 01 00 01 74 65"), DecodeError::Payload);
    assert_eq!(refused("03 00 00 01 01 00 01 74 65 7b"), DecodeError::Payload);
    assert_eq!(refused("03 00 00 01 01 00 01 74 65 22ff22"), DecodeError::Payload);
    assert_eq!(decode_binary(V1, &bytes(KIND_3_JSON)), Err(DecodeError::BinaryInV1.into()));
}

#[test]
fn a_complete_frame_whose_content_cannot_be_read_can_be_answered() {
    for (rest, error) in [
        ("01 00 00 31 32 74 ff", DecodeError::Event),
        ("01 02 00 31 32 74 65 5b5d", DecodeError::Metadata),
        ("01 01 00 31 32 74 65 ff", DecodeError::Metadata),
        ("01 00 01 31 32 74 65 7b", DecodeError::Payload),
    ] {
        let frame = bytes(&format!("03 01 01 01 {rest}"));
        let refused = decode_binary(V2, &frame).unwrap_err();
        let target = refused.reply_target.expect("a complete frame");
        assert_eq!((target.join_ref.as_json(), target.reference.as_json()), ("\"1\"", "\"2\""));
        assert_eq!((target.topic, refused.error), ("t", error));
    }
    let truncated = bytes("03 01 01 01 02 00 00 31 32 74 65");
    assert_eq!(decode_binary(V2, &truncated), Err(DecodeError::Truncated.into()));
}

#[test]
fn a_field_over_255_bytes_cannot_be_framed() {
    let payload = UserPayload::Json("{}");
    let (longest, too_long) = ("e".repeat(255), "e".repeat(256));
    let user = |event, meta| Broadcast::User { event, payload, meta };
    assert!(user(&longest, None).encode("room1", V2).is_some());
    assert!(user(&too_long, None).encode("room1", V2).is_none());
    assert!(user("e", Some(&too_long)).encode("room1", V2).is_none());
    // The prefix counts: 9 + 246 is the last that fits.
    assert!(user("e", None).encode(&"t".repeat(246), V2).is_some());
    assert!(user("e", None).encode(&"t".repeat(247), V2).is_none());
    // V1 is text and has no such limit.
    assert!(user(&too_long, None).encode("room1", V1).is_some());
}
