//! Events among nodes: a broadcast in its source form, so that every node can encode it in each dialect.
//!
//! ```text
//! event    length 4 · kind 1 · fields
//! text     payload, to the end
//! span     trace id 16 · span id 8 · flags 1
//! others   event length 4 · event · if the kind says so: meta length 4 · meta · payload, to the end
//! ```
//!
//! Events of documents have further kinds: see `document`. A span is no event: it says in which span, by W3C trace context, the event behind it was published. It is sent while all nodes
//! are known to decode it.

use std::cmp::Ordering;

use hub::{Dialect, Encode, Frame};

use super::Malformed;
use super::document::{self, DocumentMessage};
use super::fields::{Fields, text};
use crate::broadcast::Broadcast;
use crate::phoenix::UserPayload;

const TEXT: u8 = 0;
const USER_JSON: u8 = 1;
const USER_BINARY: u8 = 2;
const HTTP: u8 = 3;
const SPAN: u8 = 4;
/// Added to the kind when there is metadata.
const WITH_META: u8 = 0x80;

/// The frame of `event` in [`Dialect::RELAY`](hub::Dialect::RELAY); `None` beyond 4 GiB.
pub(crate) fn encode(event: &Broadcast<'_>) -> Option<Frame> {
    let (kind, name, meta, payload) = match *event {
        Broadcast::Text { payload } => (TEXT, None, None, payload.as_bytes()),
        Broadcast::User { event, payload: UserPayload::Json(payload), meta } => {
            (USER_JSON, Some(event), meta, payload.as_bytes())
        }
        Broadcast::User { event, payload: UserPayload::Binary(payload), meta } => {
            (USER_BINARY, Some(event), meta, payload)
        }
        Broadcast::Http { event, payload, meta } => (HTTP, Some(event), meta, payload.as_bytes()),
    };
    let fields = [name, meta];
    let length: usize = fields.iter().flatten().map(|field| 4 + field.len()).sum();
    let length = u32::try_from(1 + length + payload.len()).ok()?;
    let mut bytes = Vec::with_capacity(4 + length as usize);
    bytes.extend(length.to_be_bytes());
    bytes.push(if meta.is_some() { kind | WITH_META } else { kind });
    for field in fields.into_iter().flatten() {
        // Shorter than the whole, whose length fits.
        bytes.extend((field.len() as u32).to_be_bytes());
        bytes.extend_from_slice(field.as_bytes());
    }
    bytes.extend_from_slice(payload);
    Some(Frame::new(bytes, 0))
}

/// Identifies a span: the id of its trace, its own, and the flags.
pub type SpanReference = [u8; 25];

/// A broadcast that was published in a span. Other nodes receive both; to members it is the broadcast.
#[derive(Debug, Clone, Copy)]
pub struct InSpan<'a> {
    /// The broadcast.
    pub broadcast: &'a Broadcast<'a>,
    /// The span.
    pub span: SpanReference,
}

impl Encode for InSpan<'_> {
    fn encode(&self, topic: &str, dialect: Dialect) -> Option<Frame> {
        let frame = self.broadcast.encode(topic, dialect)?;
        if dialect != Dialect::RELAY {
            return Some(frame);
        }
        let length = (1 + self.span.len() as u32).to_be_bytes();
        Some(Frame::new([&length[..], &[SPAN], &self.span, frame.bytes()].concat(), 0))
    }

    fn id(&self) -> Option<u128> {
        self.broadcast.id()
    }
}

/// Events in order. All have been validated; iteration decodes them again, and passes over those [of a document](Self::of_document).
#[derive(Debug, Clone, PartialEq)]
pub struct Events<'a>(Fields<'a>);

impl<'a> Events<'a> {
    pub(super) fn read(fields: Fields<'a>) -> Result<Self, Malformed> {
        let mut left = fields;
        while !left.is_at_end() {
            decode(left.bytes()?)?;
        }
        Ok(Self(fields))
    }

    /// The spans in which some of them were published.
    pub fn spans(&self) -> impl Iterator<Item = SpanReference> + use<'a> {
        self.parts().filter_map(|part| span(part)?.ok())
    }

    /// Those about a document, if it is the room of one.
    pub fn of_document(&self) -> impl Iterator<Item = DocumentMessage<'a>> + use<'a> {
        self.parts().filter_map(|part| document::decode(part)?.ok())
    }

    /// How many there are, of every kind.
    pub fn messages(&self) -> usize {
        self.parts().filter(|part| span(part).is_none()).count()
    }

    fn parts(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut left = self.0;
        std::iter::from_fn(move || left.bytes().ok())
    }
}

impl<'a> Iterator for Events<'a> {
    type Item = Broadcast<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let part = self.0.bytes().ok()?;
            if let Part::Event(event) = decode(part).ok()? {
                return Some(event);
            }
        }
    }
}

/// What has a length of its own in a message.
enum Part<'a> {
    Event(Broadcast<'a>),
    Document,
    Span,
}

/// The span in `part`, if it is one.
fn span(part: &[u8]) -> Option<Result<SpanReference, Malformed>> {
    let (kind, rest) = part.split_first()?;
    (*kind == SPAN).then(|| match rest.len().cmp(&size_of::<SpanReference>()) {
        Ordering::Less => Err(Malformed::Truncated),
        Ordering::Greater => Err(Malformed::TooLong),
        Ordering::Equal => rest.try_into().map_err(|_other_length| Malformed::Truncated),
    })
}

fn decode(part: &[u8]) -> Result<Part<'_>, Malformed> {
    if let Some(span) = span(part) {
        return span.map(|_decoded_elsewhere| Part::Span);
    }
    if let Some(event) = document::decode(part) {
        return event.map(|_decoded_elsewhere| Part::Document);
    }
    decode_event(part).map(Part::Event)
}

fn decode_event(event: &[u8]) -> Result<Broadcast<'_>, Malformed> {
    let mut fields = Fields::new(event);
    let kind = fields.byte()?;
    if kind == TEXT {
        return Ok(Broadcast::Text { payload: text(fields.rest())? });
    }
    let event = fields.text()?;
    let meta = if kind & WITH_META == 0 { None } else { Some(fields.text()?) };
    let payload = fields.rest();
    Ok(match kind & !WITH_META {
        USER_JSON => Broadcast::User { event, payload: UserPayload::Json(text(payload)?), meta },
        USER_BINARY => Broadcast::User { event, payload: UserPayload::Binary(payload), meta },
        HTTP => Broadcast::Http { event, payload: text(payload)?, meta },
        _ => return Err(Malformed::Kind(kind)),
    })
}
