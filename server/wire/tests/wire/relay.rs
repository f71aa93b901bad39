//! The encoding of messages between nodes.

use hub::{Delta, Dialect, Encode, Frame, NodeId, Position, PresenceEntry, Snapshot};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use wire::phoenix::UserPayload;
use wire::relay::{self, DocumentMessage, Malformed, Message, MessageBody, SequenceNumber};
use wire::supabase::Broadcast;

const ANN: NodeId = NodeId::new(0x0102_0304_0506_0708);

fn frame(event: &Broadcast<'_>) -> Frame {
    event.encode("unused", Dialect::RELAY).expect("every broadcast can be relayed")
}

fn entry(key: &str, meta: &str) -> PresenceEntry {
    PresenceEntry { key: key.into(), meta: meta.into() }
}

#[test]
fn messages_are_encoded_as_documented() {
    let header = |kind| [&[1, kind][..], &[1, 2, 3, 4, 5, 6, 7, 8]].concat();
    let text = Broadcast::Text { payload: "{}" };
    assert_eq!(relay::events(ANN, [&frame(&text)]), [&header(1)[..], &[0, 0, 0, 3, 0], b"{}"].concat());
    let number = SequenceNumber { stream: 1, before: 258 };
    let numbered = [&header(6)[..], &[0, 0, 0, 0, 0, 0, 0, 1], &[0, 0, 0, 0, 0, 0, 1, 2]].concat();
    assert_eq!(relay::numbered_events(ANN, number, []), numbered);
    assert_eq!(relay::decode(&numbered[..25]), Err(Malformed::Truncated));
    assert_eq!(relay::request_snapshot(ANN, None), header(4));
    assert_eq!(
        relay::request_snapshot(ANN, Some(NodeId::new(7))),
        [&header(4)[..], &[0, 0, 0, 0, 0, 0, 0, 7]].concat()
    );
    assert_eq!(relay::snapshot_stored(ANN), header(5));
    assert_eq!(relay::decode(&header(5)), Ok(Message { sender: ANN, body: MessageBody::SnapshotStored }));
    assert_eq!(
        relay::entry(2, &entry("a", "{}")),
        [&[1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 1][..], b"a", &[0, 0, 0, 2], b"{}"].concat()
    );
}

#[test]
fn several_frames_are_one_message_with_all_events() {
    let broadcasts = [
        Broadcast::Text { payload: "{\"a\":1}" },
        Broadcast::User { event: "e", payload: UserPayload::Json("1"), meta: Some("{}") },
        Broadcast::User { event: "", payload: UserPayload::Binary(&[0xFF]), meta: None },
        Broadcast::Http { event: "e", payload: "{}", meta: Some("") },
    ];
    let message = relay::events(ANN, &broadcasts.each_ref().map(frame));
    let Ok(Message { sender: ANN, body: MessageBody::Events(events) }) = relay::decode(&message) else {
        panic!("{:?}", relay::decode(&message))
    };
    assert_eq!(events.collect::<Vec<_>>(), broadcasts);
    let empty = relay::events(ANN, &[]);
    let Ok(Message { body: MessageBody::Events(events), .. }) = relay::decode(&empty) else {
        panic!("an empty list decodes")
    };
    assert_eq!(events.count(), 0);
}

#[test]
fn what_is_about_a_document_is_encoded_as_documented_and_counted_with_the_events() {
    let messages = [
        (DocumentMessage::Update { row: 258, update: &[7] }, &[16, 0, 0, 0, 0, 0, 0, 1, 2, 7][..]),
        (DocumentMessage::Stored, &[17]),
        (DocumentMessage::States(&[0]), &[18, 0]),
        (DocumentMessage::Question, &[19]),
        (DocumentMessage::Stateless("hi"), &[20, b'h', b'i']),
    ];
    let mut frames = Vec::new();
    for (message, encoded) in messages {
        let frame = message.encode().expect("it is short");
        assert_eq!(frame.bytes(), [&[0, 0, 0, encoded.len() as u8], encoded].concat());
        frames.push(frame);
    }
    frames.insert(2, frame(&Broadcast::Text { payload: "{}" }));
    let encoded = relay::events(ANN, &frames);
    let Ok(Message { body: MessageBody::Events(events), .. }) = relay::decode(&encoded) else {
        panic!("{:?}", relay::decode(&encoded))
    };
    assert_eq!(events.messages(), 6);
    assert!(events.of_document().eq(messages.map(|(message, _)| message)));
    assert_eq!(events.count(), 1);
    let header = [&[1, 1][..], &[0; 8]].concat();
    let with =
        |part: &[u8]| relay::decode(&[&header[..], &[0, 0, 0, part.len() as u8], part].concat()).unwrap_err();
    assert_eq!(with(&[16, 0]), Malformed::Truncated);
    assert_eq!(with(&[17, 0]), Malformed::TooLong);
    assert_eq!(with(&[20, 0xFF]), Malformed::NotText);
}

#[test]
fn malformed_messages_are_rejected() {
    let header = |kind| [&[1, kind][..], &[0; 8]].concat();
    let with = |kind, rest: &[u8]| relay::decode(&[&header(kind)[..], rest].concat()).unwrap_err();
    assert_eq!(relay::decode(&[]), Err(Malformed::Truncated));
    assert_eq!(relay::decode(&[2, 1]), Err(Malformed::Version(2)));
    assert_eq!(relay::decode(&[1, 4, 0]), Err(Malformed::Truncated));
    assert_eq!(with(9, b""), Malformed::Kind(9));
    assert_eq!(with(4, &[0; 9]), Malformed::TooLong);
    assert_eq!(with(5, &[0]), Malformed::TooLong);
    assert_eq!(with(1, &[0, 0, 0, 9, 0]), Malformed::Truncated, "an event that ends too early");
    assert_eq!(with(1, &[0, 0, 0, 0]), Malformed::Truncated, "an event without a kind");
    assert_eq!(with(1, &[0, 0, 0, 2, 0, 0xFF]), Malformed::NotText);
    assert_eq!(with(1, &[0, 0, 0, 5, 9, 0, 0, 0, 0]), Malformed::Kind(9), "an unknown event");
    assert_eq!(
        with(1, &[0, 0, 0, 9, 0x80, 0, 0, 0, 0, 0, 0, 0, 0]),
        Malformed::Kind(0x80),
        "text has no meta"
    );
    let many = [&[0; 24][..], &[0xFF; 4], &[0; 8]].concat();
    assert_eq!(with(2, &many), Malformed::Truncated, "four billion ids in eight bytes");
    assert_eq!(relay::decode_entry(&[2]), Err(Malformed::Version(2)));
    let long = [&relay::entry(1, &entry("a", "{}"))[..], &[0]].concat();
    assert_eq!(relay::decode_entry(&long), Err(Malformed::TooLong));
}

/// The parts of a broadcast: kind, event, payload, bytes, meta.
type Parts = (u8, String, String, Vec<u8>, Option<String>);

fn broadcast((kind, event, payload, bytes, meta): &Parts) -> Broadcast<'_> {
    let meta = meta.as_deref();
    match kind {
        0 => Broadcast::Text { payload },
        1 => Broadcast::User { event, payload: UserPayload::Json(payload), meta },
        2 => Broadcast::User { event, payload: UserPayload::Binary(bytes), meta },
        _ => Broadcast::Http { event, payload, meta },
    }
}

fn entries() -> impl Strategy<Value = Vec<(u64, PresenceEntry)>> {
    vec((any::<u64>(), (".{0,9}", ".{0,40}").prop_map(|(key, meta)| entry(&key, &meta))), 0..9)
}

proptest! {
    #[test]
    fn decode_undoes_encode(
        sender in any::<u64>().prop_map(NodeId::new),
        parts in vec((0..4_u8, ".{0,300}", ".*", vec(any::<u8>(), 0..300), option::of(".*")), 0..9),
        numbers in any::<[u64; 3]>(),
        added in entries(),
        removed in vec(any::<u64>(), 0..9),
    ) {
        let broadcasts: Vec<_> = parts.iter().map(broadcast).collect();
        let frames: Vec<_> = broadcasts.iter().map(frame).collect();
        let number = SequenceNumber { stream: numbers[0], before: numbers[1] };
        match relay::decode(&relay::numbered_events(sender, number, &frames)).unwrap() {
            Message { sender: from, body: MessageBody::NumberedEvents(read, events) } => {
                prop_assert_eq!((from, read), (sender, number));
                prop_assert_eq!(events.collect::<Vec<_>>(), broadcasts.clone());
            }
            other => prop_assert!(false, "{:?}", other),
        }
        let message = relay::events(sender, &frames);
        match relay::decode(&message).unwrap() {
            Message { sender: from, body: MessageBody::Events(events) } => {
                prop_assert_eq!(from, sender);
                prop_assert_eq!(events.collect::<Vec<_>>(), broadcasts);
            }
            other => prop_assert!(false, "{:?}", other),
        }
        for (id, entry) in &added {
            prop_assert_eq!(relay::decode_entry(&relay::entry(*id, entry)), Ok((*id, entry.clone())));
        }
        let [epoch, from, to] = numbers;
        let snapshot = Snapshot { position: Position { epoch, seq: to }, entries: added.clone() };
        let message = relay::snapshot(sender, &snapshot);
        prop_assert_eq!(relay::decode(&message), Ok(Message { sender, body: MessageBody::Snapshot(snapshot) }));
        let delta = Delta { epoch, from, to, added, removed };
        let message = relay::delta(sender, &delta);
        prop_assert_eq!(relay::decode(&message), Ok(Message { sender, body: MessageBody::Delta(delta) }));
    }
}
