//! Messages between nodes.
//!
//! Each message has one encoding, so whatever decodes is encoded to the same bytes again.

use hub::{Dialect, Encode, Frame};
use wire::phoenix::{V1, V2};
use wire::relay::{self, Events, MessageBody};

/// A room message of another node.
pub fn relay_message(data: &[u8]) {
    let Ok(message) = relay::decode(data) else { return };
    let has_others = match &message.body {
        MessageBody::Events(events) | MessageBody::NumberedEvents(_, events) => {
            for message in events.of_document() {
                let encoded = message.encode().expect("a decoded message can be encoded");
                assert!(data.windows(encoded.len()).any(|part| part == encoded.bytes()), "{message:?}");
            }
            events.spans().next().is_some() || events.of_document().next().is_some()
        }
        _ => false,
    };
    let sender = message.sender;
    let again = match message.body {
        MessageBody::Events(events) => relay::events(sender, &frames(events)),
        MessageBody::NumberedEvents(number, events) => {
            relay::numbered_events(sender, number, &frames(events))
        }
        MessageBody::Delta(delta) => relay::delta(sender, &delta),
        MessageBody::Snapshot(snapshot) => relay::snapshot(sender, &snapshot),
        MessageBody::RequestSnapshot { of } => relay::request_snapshot(sender, of),
        MessageBody::SnapshotStored => relay::snapshot_stored(sender),
    };
    // Spans and what is about documents are not decoded with the events.
    assert!(has_others || again == data);
}

fn frames(events: Events<'_>) -> Vec<Frame> {
    let again = events.map(|event| {
        for dialect in [V1, V2] {
            // Not every event can be encoded in every dialect; it must not panic.
            let _encoded = event.encode("room1", dialect);
        }
        event.encode("room1", Dialect::RELAY).expect("a decoded event can be encoded")
    });
    again.collect()
}

/// A single presence entry.
pub fn relay_entry(data: &[u8]) {
    if let Ok((id, entry)) = relay::decode_entry(data) {
        assert_eq!(relay::entry(id, &entry), data);
    }
}
