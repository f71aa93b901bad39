//! Frames of Hocuspocus.

use wire::hocuspocus::{
    self, Applied, HocuspocusFrame, HocuspocusMessage as Message, RoutingKey, Scope, decode,
};
use wire::lib0::Lib0Error;
use wire::yjs::{SyncMessage, YjsError};

use crate::fuzz::reader;

/// Messages about the document `doc`, and their bytes after its name.
const TABLE: [(Message<'static>, &[u8]); 17] = [
    (Message::Sync(SyncMessage::Step1(&[0])), &[0x00, 0x00, 0x01, 0x00]),
    (Message::Sync(SyncMessage::Step2(&[0, 0])), &[0x00, 0x01, 0x02, 0x00, 0x00]),
    (Message::Sync(SyncMessage::Update(&[0, 0])), &[0x00, 0x02, 0x02, 0x00, 0x00]),
    (Message::SyncReply(SyncMessage::Step1(&[0])), &[0x04, 0x00, 0x01, 0x00]),
    (Message::Awareness(&[0]), &[0x01, 0x01, 0x00]),
    (Message::Token { token: "abc", version: None }, b"\x02\x00\x03abc"),
    (Message::Token { token: "", version: None }, &[0x02, 0x00, 0x00]),
    (Message::Token { token: "abc", version: Some("4.8.0") }, b"\x02\x00\x03abc\x054.8.0"),
    (Message::TokenRequest, &[0x02, 0x00]),
    (Message::PermissionDenied("permission-denied"), b"\x02\x01\x11permission-denied"),
    (Message::Authenticated(Scope::ReadWrite), b"\x02\x02\x0aread-write"),
    (Message::Authenticated(Scope::Readonly), b"\x02\x02\x08readonly"),
    (Message::QueryAwareness, &[0x03]),
    (Message::Stateless("hé"), &[0x05, 0x03, 0x68, 0xc3, 0xa9]),
    (Message::BroadcastStateless("x"), b"\x06\x01x"),
    (Message::Close(None), &[0x07]),
    (Message::Close(Some("gone")), b"\x07\x04gone"),
];

fn about(name: &str, rest: &[u8]) -> Vec<u8> {
    [&[u8::try_from(name.len()).unwrap()], name.as_bytes(), rest].concat()
}

fn check(message: Message<'_>, rest: &[u8]) {
    let bytes = about("doc", rest);
    let key = RoutingKey::parse("doc").unwrap();
    assert_eq!(decode(&bytes), Ok(HocuspocusFrame::Document { key, message: Ok(message) }));
    assert_eq!(reader::binary(&message.encode("doc")), bytes);
}

#[test]
fn messages_have_their_bytes() {
    for (message, rest) in TABLE {
        check(message, rest);
    }
    check(Message::SyncStatus(Applied::Yes), &[0x08, 0x01]);
    check(Message::SyncStatus(Applied::No), &[0x08, 0x00]);
}

#[test]
fn ping_and_pong_name_no_document() {
    assert_eq!(decode(&[0x09]), Ok(HocuspocusFrame::Ping));
    assert_eq!(decode(&[0x0a]), Ok(HocuspocusFrame::Pong));
    assert_eq!(reader::binary(&hocuspocus::ping()), [0x09]);
    assert_eq!(reader::binary(&hocuspocus::pong()), [0x0a]);
}

#[test]
fn a_key_has_a_session_after_its_first_nul() {
    let key = RoutingKey::parse("doc\0a1b2\0c").unwrap();
    assert_eq!((key.document(), key.session()), ("doc", Some("a1b2\0c")));
    assert_eq!(key.as_str(), "doc\0a1b2\0c");
    assert_eq!(RoutingKey::parse("a/b").unwrap().session(), None);
    assert_eq!(RoutingKey::parse("a\0").unwrap().session(), Some(""));
}

#[test]
fn a_name_is_more_than_whitespace() {
    for name in ["", " ", "\t\n\u{a0}\u{feff}\u{2003}", "\0session", " \0session"] {
        assert_eq!(RoutingKey::parse(name), Err(YjsError::EmptyName), "{name:?}");
        assert_eq!(decode(&about(name, &[0x03])), Err(YjsError::EmptyName));
    }
    assert_eq!(RoutingKey::parse(" doc ").unwrap().document(), " doc ");
}

#[test]
fn a_message_that_cannot_be_read_has_its_document() {
    let unreadable: [(&[u8], YjsError); 10] = [
        (&[], YjsError::Field(Lib0Error::Truncated)),
        (&[0x00, 0x02, 0x05, 0x00], YjsError::Field(Lib0Error::Truncated)),
        (&[0x00, 0x03, 0x00], YjsError::SyncType(3)),
        (&[0x03, 0x00], YjsError::Field(Lib0Error::TooLong)),
        (b"\x02\x00\x01a\x01b\x01c", YjsError::Field(Lib0Error::TooLong)),
        (b"\x02\x00\x01\xff", YjsError::Field(Lib0Error::NotText)),
        (&[0x02, 0x03], YjsError::AuthType(3)),
        (b"\x02\x02\x05admin", YjsError::Scope),
        (&[0x08, 0x02], YjsError::SyncStatus),
        (&[0x0b], YjsError::MessageType(11)),
    ];
    for (rest, error) in unreadable {
        let bytes = about("doc", rest);
        let key = RoutingKey::parse("doc").unwrap();
        assert_eq!(decode(&bytes), Ok(HocuspocusFrame::Document { key, message: Err(error) }), "{rest:x?}");
    }
}

#[test]
fn a_frame_without_a_name_is_refused() {
    for frame in [&[][..], &[0x04, b'd', b'o', b'c']] {
        assert_eq!(decode(frame), Err(YjsError::Field(Lib0Error::Truncated)));
    }
    assert_eq!(decode(&[0x01, 0xff]), Err(YjsError::Field(Lib0Error::NotText)));
}
