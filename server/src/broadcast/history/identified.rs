//! A broadcast with the id under which its room keeps it, in `meta.id`.
//!
//! Metadata exists in two forms: that of binary broadcasts, and that of batches over HTTP, which every member receives as
//! text. So a text broadcast takes the latter: its event and payload are the same, and what else a client has written
//! beside them is not sent. One without an event or a payload has nothing that could be replayed: it has no id, and is
//! not kept.

use std::borrow::Cow;
use std::sync::Arc;

use hub::{Dialect, Encode as _, Frame, History, Keep};
use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;
use wire::phoenix::UserPayload;
use wire::relay;
use wire::supabase::Broadcast;

use super::ids::next_id;

/// A broadcast that is kept.
#[derive(Debug)]
pub struct Identified<'b> {
    id: Uuid,
    sent_at: u64,
    event: Cow<'b, str>,
    payload: Form<'b>,
    meta: Cow<'b, str>,
}

#[derive(Debug, Clone, Copy)]
enum Form<'b> {
    Text(&'b str),
    Binary(UserPayload<'b>),
}

/// What a client has sent as text.
#[derive(Deserialize)]
struct TextFields<'b> {
    #[serde(borrow)]
    event: Cow<'b, str>,
    #[serde(borrow)]
    payload: &'b RawValue,
}

impl<'b> Identified<'b> {
    /// The broadcast with a new id, or with the one that its sender has chosen.
    pub fn of(broadcast: &Broadcast<'b>) -> Option<Self> {
        let (event, payload, meta) = match *broadcast {
            Broadcast::Text { payload } => {
                let TextFields { event, payload } = serde_json::from_str(payload).ok()?;
                (event, Form::Text(payload.get()), None)
            }
            Broadcast::User { event, payload, meta } => (event.into(), Form::Binary(payload), meta),
            Broadcast::Http { event, payload, meta } => (event.into(), Form::Text(payload), meta),
        };
        let (new, sent_at) = next_id();
        let chosen = broadcast.chosen_id().zip(meta);
        let (id, meta) = match chosen {
            Some((id, meta)) => (id, meta.into()),
            None => (new, format!(r#"{{"id":"{new}"}}"#).into()),
        };
        Some(Self { id, sent_at, event, payload, meta })
    }

    /// The broadcast as it is sent.
    pub fn broadcast(&self) -> Broadcast<'_> {
        let (event, meta) = (&*self.event, Some(&*self.meta));
        match self.payload {
            Form::Text(payload) => Broadcast::Http { event, payload, meta },
            Form::Binary(payload) => Broadcast::User { event, payload, meta },
        }
    }

    /// That it is kept in `history`.
    pub fn keep<'h>(&self, history: &'h Arc<History>) -> Keep<'h> {
        Keep { history, id: self.id.as_u128(), sent_at: self.sent_at, encode: encode_kept }
    }
}

/// A kept broadcast in another dialect.
fn encode_kept(frame: &Frame, topic: &str, dialect: Dialect) -> Option<Frame> {
    relay::decode_events(frame.bytes()).ok()?.next()?.encode(topic, dialect)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(broadcast: Broadcast<'_>) -> Option<String> {
        let identified = Identified::of(&broadcast)?;
        let id = identified.id.to_string();
        Some(format!("{:?}", identified.broadcast()).replace(&id, "ID"))
    }

    #[test]
    fn a_broadcast_has_its_id_as_metadata() {
        let text = r#"{"type":"broadcast","event":"a\"b","payload":{"n":1.0},"more":1}"#;
        assert_eq!(
            sent(Broadcast::Text { payload: text }).as_deref(),
            Some(r#"Http { event: "a\"b", payload: "{\"n\":1.0}", meta: Some("{\"id\":\"ID\"}") }"#)
        );
        let payload = UserPayload::Binary(&[1, 2]);
        assert_eq!(
            sent(Broadcast::User { event: "e", payload, meta: None }).as_deref(),
            Some(r#"User { event: "e", payload: Binary([1, 2]), meta: Some("{\"id\":\"ID\"}") }"#)
        );
        for incomplete in ["{}", r#"{"event":"e"}"#, r#"{"event":1,"payload":{}}"#, r#"{"payload":{}}"#] {
            assert_eq!(sent(Broadcast::Text { payload: incomplete }), None, "{incomplete}");
        }
    }

    #[test]
    fn an_id_that_its_sender_has_chosen_stays() {
        let meta = r#"{"id":"0191f0e2-7c1a-7d55-9f0e-2b6f3a1c4d5e"}"#;
        let http = Broadcast::Http { event: "e", payload: "{}", meta: Some(meta) };
        let identified = Identified::of(&http).expect("it has an event");
        assert_eq!(identified.id.to_string(), "0191f0e2-7c1a-7d55-9f0e-2b6f3a1c4d5e");
        assert_eq!(identified.broadcast(), http);
    }
}
