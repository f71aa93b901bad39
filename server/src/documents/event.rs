//! What all members of a document are sent, encoded once for each way in which they are spoken to.

use hub::{Dialect, EncodeByGroup, Frame, Group};
use wire::hocuspocus::HocuspocusMessage;
use wire::y_websocket::YWebsocketMessage;
use wire::yjs::SyncMessage;

use super::keys::RoutingKeys;
use super::{HOCUSPOCUS, Y_WEBSOCKET};

/// What all members are sent.
#[derive(Debug, Clone, Copy)]
pub(super) enum DocumentEvent<'a> {
    /// A change.
    Update(&'a [u8]),
    /// What changed of what clients show.
    Awareness(&'a [u8]),
    /// A message of a Hocuspocus client that the server does not read.
    Stateless(&'a str),
}

impl DocumentEvent<'_> {
    pub(super) fn for_y_websocket(&self) -> Option<Frame> {
        match *self {
            Self::Update(update) => Some(YWebsocketMessage::Sync(SyncMessage::Update(update)).encode()),
            Self::Awareness(states) => Some(YWebsocketMessage::Awareness(states).encode()),
            Self::Stateless(_) => None,
        }
    }

    pub(super) fn for_hocuspocus(&self, key: &str) -> Frame {
        match *self {
            Self::Update(update) => HocuspocusMessage::Sync(SyncMessage::Update(update)),
            Self::Awareness(states) => HocuspocusMessage::Awareness(states),
            Self::Stateless(payload) => HocuspocusMessage::Stateless(payload),
        }
        .encode(key)
    }
}

/// An event for those who name the document by these keys.
pub(super) struct KeyedEvent<'a> {
    pub(super) event: DocumentEvent<'a>,
    pub(super) keys: &'a RoutingKeys,
}

impl EncodeByGroup for KeyedEvent<'_> {
    fn encode(&self, _topic: &str, dialect: Dialect, group: Group) -> Option<Frame> {
        match dialect {
            Y_WEBSOCKET => self.event.for_y_websocket(),
            HOCUSPOCUS => self.keys.key(group).map(|key| self.event.for_hocuspocus(&key)),
            _ => None,
        }
    }
}
