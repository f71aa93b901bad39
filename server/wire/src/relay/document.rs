//! What nodes publish to each other about a shared document, as events of its room.
//!
//! ```text
//! update     kind 16 · row of the log 8 · Yjs update, to the end
//! stored     kind 17
//! states     kind 18 · awareness update, to the end
//! question   kind 19
//! stateless  kind 20 · text, to the end
//! ```
//!
//! Only nodes with members of the document receive them. What a node publishes as an update is in the store by then.

use hub::Frame;

use super::Malformed;
use super::fields::{Fields, text};

const UPDATE: u8 = 16;
const STORED: u8 = 17;
const STATES: u8 = 18;
const QUESTION: u8 = 19;
const STATELESS: u8 = 20;

/// What another node publishes about a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DocumentMessage<'a> {
    /// A change, which is stored.
    Update {
        /// Its row in the log.
        row: i64,
        /// One Yjs update, which is not checked here.
        update: &'a [u8],
    },
    /// Changes are stored that are too large to be sent, or were not: they are read from the store.
    Stored,
    /// What has changed of the awareness of the sender's members: an awareness update, which is not checked here.
    States(&'a [u8]),
    /// The sender asks for the awareness of the members of others.
    Question,
    /// A message of a Hocuspocus client for the others.
    Stateless(&'a str),
}

impl DocumentMessage<'_> {
    /// The frame in [`Dialect::RELAY`](hub::Dialect::RELAY); `None` beyond 4 GiB.
    pub fn encode(&self) -> Option<Frame> {
        let (kind, row, rest) = match *self {
            Self::Update { row, update } => (UPDATE, Some(row), update),
            Self::Stored => (STORED, None, &[][..]),
            Self::States(states) => (STATES, None, states),
            Self::Question => (QUESTION, None, &[][..]),
            Self::Stateless(payload) => (STATELESS, None, payload.as_bytes()),
        };
        let row = row.map(i64::to_be_bytes);
        let row = row.as_ref().map_or(&[][..], |row| row);
        let length = u32::try_from(1 + row.len() + rest.len()).ok()?;
        Some(Frame::new([&length.to_be_bytes()[..], &[kind], row, rest].concat(), 0))
    }
}

/// The event in `part`, if it is one of a document.
pub(super) fn decode(part: &[u8]) -> Option<Result<DocumentMessage<'_>, Malformed>> {
    let (kind, rest) = part.split_first()?;
    let mut fields = Fields::new(rest);
    let event = match *kind {
        UPDATE => fields
            .number()
            .map(|row| DocumentMessage::Update { row: row.cast_signed(), update: fields.rest() }),
        STORED => fields.end().map(|()| DocumentMessage::Stored),
        STATES => Ok(DocumentMessage::States(rest)),
        QUESTION => fields.end().map(|()| DocumentMessage::Question),
        STATELESS => text(rest).map(DocumentMessage::Stateless),
        _ => return None,
    };
    Some(event)
}
