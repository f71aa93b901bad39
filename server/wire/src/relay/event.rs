//! Events among nodes: a broadcast in its source form, so that every node can encode it in each dialect.
//!
//! ```text
//! event    length 4 · kind 1 · fields
//! text     payload, to the end
//! others   event length 4 · event · if the kind says so: meta length 4 · meta · payload, to the end
//! ```

use hub::Frame;

use super::Malformed;
use super::fields::{Fields, text};
use crate::broadcast::Broadcast;
use crate::phoenix::UserPayload;

const TEXT: u8 = 0;
const USER_JSON: u8 = 1;
const USER_BINARY: u8 = 2;
const HTTP: u8 = 3;
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

/// Events in order. All have been validated; iteration decodes them again.
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
}

impl<'a> Iterator for Events<'a> {
    type Item = Broadcast<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let event = self.0.bytes().ok()?;
        decode(event).ok()
    }
}

fn decode(event: &[u8]) -> Result<Broadcast<'_>, Malformed> {
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
