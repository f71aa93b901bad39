//! What nodes say to each other about one room. Which room it is, is told by where a message is published.
//!
//! ```text
//! message  version 1 · kind 1 · sender 8 · the rest by kind
//! events   event … to the end (see `event`)
//! numbered stream 8 · before 8 · event … to the end
//! news     epoch 8 · from 8 · to 8 · count 4 · hidden id 8 … · entry … to the end
//! state    epoch 8 · seq 8 · entry … to the end
//! ask      nothing: everyone is asked, or node 8
//! look     nothing
//! entry    id 8 · key length 4 · key · meta length 4 · meta
//! ```
//!
//! Numbers are big endian. There is one way to write each message, and any other bytes are refused. The
//! version changes when older nodes could not read what newer ones write; they drop it then, and rooms reach
//! only over nodes of one version. A new kind leaves the version as it is if it is sent only while all nodes are known
//! to read it: `numbered` (kind 6) is sent while every other node announces its `streams` in what it says to all nodes,
//! and `events` otherwise. Nodes trust each other as they trust their own memory: text is checked to be text, not to
//! be JSON once more.

mod event;
mod fields;
mod presence;

use hub::{Delta, Frame, NodeId, Snapshot};

use self::fields::Fields;

pub use event::Events;
pub use presence::{decode_entry, entry};

pub(crate) use event::encode as event;

/// Grows with every change that older nodes cannot read and would be sent. Kind 6 is not sent to them: it is still 1.
const VERSION: u8 = 1;

const EVENTS: u8 = 1;
const NEWS: u8 = 2;
const STATE: u8 = 3;
const ASK: u8 = 4;
const LOOK: u8 = 5;
const NUMBERED: u8 = 6;

/// Bytes before the part that differs by kind.
const HEADER_BYTES: usize = 10;

/// A message of another node.
#[derive(Debug, Clone, PartialEq)]
pub struct Message<'a> {
    /// Who says it. A node hears itself too and is to ignore that.
    pub sender: NodeId,
    /// What it says.
    pub said: Said<'a>,
}

/// What a node may say about a room.
#[derive(Debug, Clone, PartialEq)]
pub enum Said<'a> {
    /// Its members, or somebody through its HTTP endpoints, said this.
    Events(Events<'a>),
    /// The same, with the number of the first; it may also be that of the next, with none to go with it.
    Numbered(Number, Events<'a>),
    /// What its members show has changed.
    Delta(Delta),
    /// This is all its members show.
    Snapshot(Snapshot),
    /// It wants to be told the whole state.
    Ask {
        /// By this node; by everyone if there is none.
        of: Option<NodeId>,
    },
    /// What its members show has changed, by more than fits into a message: the copy has it.
    Look,
}

/// How many events a node has published in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Number {
    /// Which count this is. A node that begins to count anew in a room takes a higher one.
    pub stream: u64,
    /// How many there were before.
    pub before: u64,
}

/// Why a message cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Malformed {
    /// It is from a node that speaks another version.
    #[error("message of version {0}")]
    Version(u8),
    /// There is no such kind of message or event.
    #[error("message of kind {0}")]
    Kind(u8),
    /// It ends before its fields do.
    #[error("message ends too early")]
    Truncated,
    /// It goes on after its fields.
    #[error("message goes on after its end")]
    TooLong,
    /// A field that should be text is not UTF-8.
    #[error("field is not text")]
    NotText,
}

/// What was said in the room: `frames` are in [`Dialect::RELAY`](hub::Dialect::RELAY), in order.
pub fn events<'f>(sender: NodeId, frames: impl IntoIterator<Item = &'f Frame, IntoIter: Clone>) -> Vec<u8> {
    let frames = frames.into_iter();
    let capacity = frames.clone().map(Frame::len).sum();
    let mut message = begin(EVENTS, sender, capacity);
    frames.for_each(|frame| message.extend_from_slice(frame.bytes()));
    message
}

/// As [`events`], with the number of the first.
pub fn numbered<'f>(
    sender: NodeId,
    number: Number,
    frames: impl IntoIterator<Item = &'f Frame, IntoIter: Clone>,
) -> Vec<u8> {
    let frames = frames.into_iter();
    let capacity = 16 + frames.clone().map(Frame::len).sum::<usize>();
    let mut message = begin(NUMBERED, sender, capacity);
    message.extend(number.stream.to_be_bytes());
    message.extend(number.before.to_be_bytes());
    frames.for_each(|frame| message.extend_from_slice(frame.bytes()));
    message
}

/// A change of what the sender's members show.
pub fn news(sender: NodeId, news: &Delta) -> Vec<u8> {
    let mut message = begin(NEWS, sender, presence::news_bytes(news));
    presence::write_news(&mut message, news);
    message
}

/// All that the sender's members show.
pub fn state(sender: NodeId, state: &Snapshot) -> Vec<u8> {
    let mut message = begin(STATE, sender, presence::state_bytes(state));
    presence::write_state(&mut message, state);
    message
}

/// A question for the whole state, to the node `of` or to everyone.
pub fn ask(sender: NodeId, of: Option<NodeId>) -> Vec<u8> {
    let mut message = begin(ASK, sender, 8);
    message.extend(of.iter().flat_map(|of| of.get().to_be_bytes()));
    message
}

/// A hint that what the sender's members show is to be looked up.
pub fn look(sender: NodeId) -> Vec<u8> {
    begin(LOOK, sender, 0)
}

fn begin(kind: u8, sender: NodeId, capacity: usize) -> Vec<u8> {
    let mut message = Vec::with_capacity(HEADER_BYTES + capacity);
    message.extend([VERSION, kind]);
    message.extend(sender.get().to_be_bytes());
    message
}

/// Reads a message.
///
/// # Errors
/// When it is none, or of another version. It is to be dropped then.
pub fn decode(message: &[u8]) -> Result<Message<'_>, Malformed> {
    let mut fields = Fields::new(message);
    let version = fields.byte()?;
    if version != VERSION {
        return Err(Malformed::Version(version));
    }
    let kind = fields.byte()?;
    let sender = NodeId::new(fields.number()?);
    let said = match kind {
        EVENTS => Said::Events(Events::read(fields)?),
        NUMBERED => {
            let number = Number { stream: fields.number()?, before: fields.number()? };
            Said::Numbered(number, Events::read(fields)?)
        }
        NEWS => Said::Delta(presence::read_news(fields)?),
        STATE => Said::Snapshot(presence::read_state(fields)?),
        ASK if fields.is_at_end() => Said::Ask { of: None },
        ASK => {
            let of = Some(NodeId::new(fields.number()?));
            fields.end()?;
            Said::Ask { of }
        }
        LOOK => {
            fields.end()?;
            Said::Look
        }
        _ => return Err(Malformed::Kind(kind)),
    };
    Ok(Message { sender, said })
}
