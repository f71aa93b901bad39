//! All documents, as the link to the other nodes reaches them.

use std::sync::Arc;

use bytes::Bytes;
use hub::{NodeId, RoomKey};
use wire::relay::{DocumentMessage, Events};

use super::mailbox::DocumentNotices;
use super::request::PeerMessage;
use super::{Document, Documents};
use crate::bus::DocumentPeers;

impl DocumentPeers for Documents {
    fn receive(&self, room: &RoomKey, from: NodeId, events: &Events<'_>) {
        if let Some(document) = self.open_in(room).filter(|_| self.are_shared()) {
            events.of_document().for_each(|message| document.peer_message(from, kept(message)));
        }
    }

    fn missed(&self, room: &RoomKey) {
        if let Some(document) = self.open_in(room) {
            document.notify(|notices| notices.has_missed = true);
        }
    }

    fn missed_any(&self) {
        self.outdated.notify_one();
    }

    fn reconnected(&self) {
        self.notify_all(|notices| notices.was_away = true);
        self.outdated.notify_one();
    }

    fn removed(&self, node: NodeId) {
        self.notify_all(|notices| {
            if !notices.lost.contains(&node) {
                notices.lost.push(node);
            }
        });
        // It may have stored something that it did not publish any more.
        self.outdated.notify_one();
    }
}

impl Documents {
    fn open_in(&self, room: &RoomKey) -> Option<Arc<Document>> {
        self.open.lock().get(room).cloned()
    }

    /// All documents that are open.
    pub(super) fn all(&self) -> Vec<Arc<Document>> {
        self.open.lock().values().cloned().collect()
    }

    fn notify_all(&self, note: impl Fn(&mut DocumentNotices)) {
        self.all().iter().for_each(|document| document.notify(&note));
    }
}

/// The message with bytes of its own.
fn kept(message: DocumentMessage<'_>) -> PeerMessage {
    match message {
        DocumentMessage::Update { row, update } => PeerMessage::Update(row, Bytes::copy_from_slice(update)),
        DocumentMessage::Stored => PeerMessage::Stored,
        DocumentMessage::States(states) => PeerMessage::States(states.into()),
        DocumentMessage::Question => PeerMessage::Question,
        DocumentMessage::Stateless(payload) => PeerMessage::Stateless(payload.into()),
    }
}
