//! What connections and other nodes put into the mailbox of a document.

use bytes::Bytes;
use hub::{MemoryCharge, NodeId};

use super::member::{DocumentMember, MemberId};
use crate::auth::DocumentAccess;

/// Something for the task of a document.
pub(super) enum Request {
    /// A connection opens the document.
    Join(MemberId, DocumentMember),
    /// A connection has closed it.
    Leave(MemberId),
    /// What a connection may do has changed.
    Access(MemberId, DocumentAccess),
    /// A connection has read what waited for it, after something did not fit.
    CaughtUp(MemberId),
    /// Messages of a connection were lost: it is asked for what it has more.
    Ask(MemberId),
    /// A message of a connection.
    Message(MemberId, MemberMessage, MemoryCharge),
    /// A message of another node.
    Peer(NodeId, PeerMessage, MemoryCharge),
}

impl Request {
    /// Whose request it is, if that is a member who is one already.
    pub(super) fn member(&self) -> Option<MemberId> {
        match self {
            Self::Join(id, _)
            | Self::Leave(id)
            | Self::Access(id, _)
            | Self::CaughtUp(id)
            | Self::Ask(id)
            | Self::Message(id, _, _) => Some(*id),
            Self::Peer(..) => None,
        }
    }

    /// The bytes that count against the bounds, if it does.
    pub(super) fn bounded_bytes(&self) -> Option<usize> {
        match self {
            Self::Message(_, message, _) => Some(message.bytes()),
            Self::Peer(_, message, _) => Some(message.bytes()),
            Self::Join(..) | Self::Leave(_) | Self::Access(..) | Self::CaughtUp(_) | Self::Ask(_) => None,
        }
    }
}

/// A message of another node, as `wire::relay` has read it.
#[derive(Debug)]
pub(super) enum PeerMessage {
    /// An update that is stored, with its row in the log.
    Update(i64, Bytes),
    /// Something is stored that is not sent.
    Stored,
    /// States of its members.
    States(Box<[u8]>),
    /// It asks for those of the members here.
    Question,
    /// A message for Hocuspocus clients.
    Stateless(Box<str>),
}

impl PeerMessage {
    /// The bytes that it holds.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Update(_, bytes) => bytes.len(),
            Self::States(states) => states.len(),
            Self::Stateless(text) => text.len(),
            Self::Stored | Self::Question => 0,
        }
    }
}

/// A message of a connection, checked by `wire::yjs`.
#[derive(Debug)]
pub enum MemberMessage {
    /// It has this state vector, and asks for the rest.
    Lacks(Box<[u8]>),
    /// A change.
    Update(Box<[u8]>),
    /// What it has more than the server: the answer to a question of the server.
    Answer {
        /// All of it, which may be nothing.
        update: Box<[u8]>,
        /// How many messages it has sent that it counts until they are answered. It contains what they said.
        sent: u64,
    },
    /// States of clients.
    Awareness(Box<[u8]>),
    /// It asks for all of them.
    QueryAwareness,
    /// A message for the other Hocuspocus clients.
    Stateless(Box<str>),
    /// It asks whether everything before this is stored (y-sweet).
    Confirm(Box<[u8]>),
}

impl MemberMessage {
    /// The bytes that it holds.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Lacks(bytes)
            | Self::Update(bytes)
            | Self::Answer { update: bytes, .. }
            | Self::Awareness(bytes)
            | Self::Confirm(bytes) => bytes.len(),
            Self::Stateless(text) => text.len(),
            Self::QueryAwareness => 0,
        }
    }
}
