//! Messages between nodes about one room. The channel a message is published on names the room.
//!
//! ```text
//! message          version 1 · kind 1 · sender 8 · body by kind
//! events           event … to the end (see `event`)
//! numbered events  stream 8 · before 8 · event … to the end
//! delta            epoch 8 · from 8 · to 8 · count 4 · removed id 8 … · entry … to the end
//! snapshot         epoch 8 · seq 8 · entry … to the end
//! request snapshot nothing: addressed to every node, or node 8
//! snapshot stored  nothing
//! entry            id 8 · key length 4 · key · meta length 4 · meta
//! ```
//!
//! Integers are big endian. Each message has exactly one encoding; any other bytes are rejected. The version is raised
//! when older nodes could not decode what newer ones send; they drop such messages, and rooms then reach only nodes of
//! the same version. A new kind keeps the version if it is sent only while all nodes are known to decode it: numbered
//! events (kind 6) are sent while every other node announces its `streams` in its cluster messages, and plain events
//! otherwise. Nodes trust each other: text is checked to be UTF-8, and not parsed as JSON again.

mod document;
mod event;
mod fields;
mod presence;

use hub::{Delta, Frame, NodeId, Snapshot};

use self::fields::Fields;

pub use document::DocumentMessage;
pub use event::{Events, InSpan, SpanReference};
pub use presence::{decode_entry, entry};

pub(crate) use event::encode as event;

/// The major version of the protocol. Kind 6 did not raise it, because it is not sent to nodes that cannot decode it.
pub const VERSION: u8 = 1;

const EVENTS: u8 = 1;
const DELTA: u8 = 2;
const SNAPSHOT: u8 = 3;
const REQUEST_SNAPSHOT: u8 = 4;
const SNAPSHOT_STORED: u8 = 5;
const NUMBERED_EVENTS: u8 = 6;

/// Bytes before the body.
const HEADER_BYTES: usize = 10;

/// A message of another node.
#[derive(Debug, Clone, PartialEq)]
pub struct Message<'a> {
    /// The node that published it. A node receives its own messages too, and ignores them.
    pub sender: NodeId,
    /// The content.
    pub body: MessageBody<'a>,
}

/// The content of a message.
#[derive(Debug, Clone, PartialEq)]
pub enum MessageBody<'a> {
    /// Broadcasts of the sender's members, or received by its HTTP endpoints.
    Events(Events<'a>),
    /// The same, with the sequence number of the first. Without events, the number of the next one.
    NumberedEvents(SequenceNumber, Events<'a>),
    /// A change of the sender's presence.
    Delta(Delta),
    /// The sender's whole presence.
    Snapshot(Snapshot),
    /// Requests a snapshot. Sent only by nodes up to 2026-11; newer ones read the stored snapshot instead.
    RequestSnapshot {
        /// The node that is to answer; every node if there is none.
        of: Option<NodeId>,
    },
    /// The sender's presence has changed by more than fits into a message: the stored snapshot has it.
    SnapshotStored,
}

/// The place of an event among those that a node has published in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SequenceNumber {
    /// The count that `before` belongs to. A node that restarts its count in a room takes a higher stream.
    pub stream: u64,
    /// How many events of the stream precede it.
    pub before: u64,
}

/// Why a message cannot be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Malformed {
    /// The sender uses another version.
    #[error("message of version {0}")]
    Version(u8),
    /// The kind of message or event is unknown.
    #[error("message of kind {0}")]
    Kind(u8),
    /// The message ends within a field.
    #[error("message ends too early")]
    Truncated,
    /// Bytes follow the last field.
    #[error("message goes on after its end")]
    TooLong,
    /// A text field is not UTF-8.
    #[error("field is not text")]
    NotText,
}

/// Encodes broadcasts: `frames` are in [`Dialect::RELAY`](hub::Dialect::RELAY), in order.
pub fn events<'f>(sender: NodeId, frames: impl IntoIterator<Item = &'f Frame, IntoIter: Clone>) -> Vec<u8> {
    let frames = frames.into_iter();
    let capacity = frames.clone().map(Frame::len).sum();
    let mut message = begin(EVENTS, sender, capacity);
    frames.for_each(|frame| message.extend_from_slice(frame.bytes()));
    message
}

/// As [`events`], with the sequence number of the first.
pub fn numbered_events<'f>(
    sender: NodeId,
    number: SequenceNumber,
    frames: impl IntoIterator<Item = &'f Frame, IntoIter: Clone>,
) -> Vec<u8> {
    let frames = frames.into_iter();
    let capacity = 16 + frames.clone().map(Frame::len).sum::<usize>();
    let mut message = begin(NUMBERED_EVENTS, sender, capacity);
    message.extend(number.stream.to_be_bytes());
    message.extend(number.before.to_be_bytes());
    frames.for_each(|frame| message.extend_from_slice(frame.bytes()));
    message
}

/// Encodes a change of the sender's presence.
pub fn delta(sender: NodeId, delta: &Delta) -> Vec<u8> {
    let mut message = begin(DELTA, sender, presence::delta_bytes(delta));
    presence::write_delta(&mut message, delta);
    message
}

/// Encodes the sender's whole presence.
pub fn snapshot(sender: NodeId, snapshot: &Snapshot) -> Vec<u8> {
    let mut message = begin(SNAPSHOT, sender, presence::snapshot_bytes(snapshot));
    presence::write_snapshot(&mut message, snapshot);
    message
}

/// Encodes a request for a snapshot, to the node `of` or to every node.
pub fn request_snapshot(sender: NodeId, of: Option<NodeId>) -> Vec<u8> {
    let mut message = begin(REQUEST_SNAPSHOT, sender, 8);
    message.extend(of.iter().flat_map(|of| of.get().to_be_bytes()));
    message
}

/// Encodes the notice that the sender's stored snapshot has changed.
pub fn snapshot_stored(sender: NodeId) -> Vec<u8> {
    begin(SNAPSHOT_STORED, sender, 0)
}

fn begin(kind: u8, sender: NodeId, capacity: usize) -> Vec<u8> {
    let mut message = Vec::with_capacity(HEADER_BYTES + capacity);
    message.extend([VERSION, kind]);
    message.extend(sender.get().to_be_bytes());
    message
}

/// Decodes frames in [`Dialect::RELAY`](hub::Dialect::RELAY), which follow each other.
///
/// # Errors
/// When one is malformed.
pub fn decode_events(frames: &[u8]) -> Result<Events<'_>, Malformed> {
    Events::read(Fields::new(frames))
}

/// Decodes a message.
///
/// # Errors
/// When it is malformed or of another version; the caller drops it.
pub fn decode(message: &[u8]) -> Result<Message<'_>, Malformed> {
    let mut fields = Fields::new(message);
    let version = fields.byte()?;
    if version != VERSION {
        return Err(Malformed::Version(version));
    }
    let kind = fields.byte()?;
    let sender = NodeId::new(fields.number()?);
    let body = match kind {
        EVENTS => MessageBody::Events(Events::read(fields)?),
        NUMBERED_EVENTS => {
            let number = SequenceNumber { stream: fields.number()?, before: fields.number()? };
            MessageBody::NumberedEvents(number, Events::read(fields)?)
        }
        DELTA => MessageBody::Delta(presence::read_delta(fields)?),
        SNAPSHOT => MessageBody::Snapshot(presence::read_snapshot(fields)?),
        REQUEST_SNAPSHOT if fields.is_at_end() => MessageBody::RequestSnapshot { of: None },
        REQUEST_SNAPSHOT => {
            let of = Some(NodeId::new(fields.number()?));
            fields.end()?;
            MessageBody::RequestSnapshot { of }
        }
        SNAPSHOT_STORED => {
            fields.end()?;
            MessageBody::SnapshotStored
        }
        _ => return Err(Malformed::Kind(kind)),
    };
    Ok(Message { sender, body })
}
