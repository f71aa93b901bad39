//! What nodes say to each other.
//!
//! There is one way to write each message, so whatever is accepted is written again byte for byte.

use hub::{Dialect, Encode, Frame};
use wire::phoenix::{V1, V2};
use wire::relay::{self, Events, Said};

/// A message of another node.
pub fn relay_message(data: &[u8]) {
    let Ok(message) = relay::decode(data) else { return };
    let sender = message.sender;
    let again = match message.said {
        Said::Events(events) => relay::events(sender, &frames(events)),
        Said::Numbered(number, events) => relay::numbered(sender, number, &frames(events)),
        Said::Delta(news) => relay::news(sender, &news),
        Said::Snapshot(state) => relay::state(sender, &state),
        Said::Ask { of } => relay::ask(sender, of),
        Said::Look => relay::look(sender),
    };
    assert_eq!(again, data);
}

fn frames(events: Events<'_>) -> Vec<Frame> {
    let again = events.map(|event| {
        for dialect in [V1, V2] {
            // Not every event can be said in every dialect; that none stops the server is all there is to ask.
            let _said = event.encode("room1", dialect);
        }
        event.encode("room1", Dialect::RELAY).expect("what came can be passed on")
    });
    again.collect()
}

/// A single entry of a presence.
pub fn relay_entry(data: &[u8]) {
    if let Ok((id, entry)) = relay::decode_entry(data) {
        assert_eq!(relay::entry(id, &entry), data);
    }
}
