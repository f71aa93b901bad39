//! A connection that has a document open, and how it is spoken to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use hub::{Backlog, Frame, JoinConfirmation, Outbox, Recipient, RoomMember};
use wire::hocuspocus::{self, HocuspocusMessage};
use wire::y_websocket::YWebsocketMessage;
use wire::yjs::SyncMessage;

use super::event::DocumentEvent;
use crate::auth::DocumentAccess;
use crate::close_reason::DocumentCloseReason;

/// A connection that has a document open, among all of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(pub(super) u64);

/// A connection that has a document open.
pub struct DocumentMember {
    /// Its place in the room of the document.
    pub recipient: Recipient,
    /// To close the connection.
    pub outbox: Arc<Outbox>,
    /// What it may do.
    pub access: DocumentAccess,
    /// The protocol that it speaks.
    pub protocol: MemberProtocol,
    /// The user, for the log of the document.
    pub user: Option<Arc<str>>,
    /// Until when it waits for its place in the room.
    pub(super) confirmation: Option<JoinConfirmation>,
}

/// What a protocol has beside updates and awareness.
pub enum MemberProtocol {
    /// One document per connection. Nothing is acknowledged, unless by sending an update back once it is stored.
    YWebsocket,
    /// Many documents per connection, and each update is acknowledged.
    Hocuspocus(HocuspocusMember),
}

/// What a Hocuspocus client and a document have in common.
#[derive(Debug, Clone)]
pub struct HocuspocusMember {
    /// How the client names the document.
    pub key: Arc<str>,
    /// How many messages were answered of those that the client counts until they are: it counts on while it has the document open
    /// again and again on one connection.
    pub answered: Arc<AtomicU64>,
    /// Whether the task has ended its use of the document.
    pub is_failed: Arc<AtomicBool>,
}

/// Which messages of a Hocuspocus client an answer acknowledges: all of the first `up_to`, and so many `more`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Acknowledges {
    up_to: u64,
    more: u64,
}

impl Acknowledges {
    /// One more.
    pub(super) const ONE: Self = Self { up_to: 0, more: 1 };

    /// All, so that as many as `sent` are answered. It is what answers a question of the server.
    pub(super) fn up_to(sent: u64) -> Self {
        Self { up_to: sent, more: 0 }
    }

    /// Whether it is of the answer to a question of the server.
    pub(super) fn is_answer(self) -> bool {
        self.more == 0
    }

    /// It and then `later`.
    pub(super) fn and(self, later: Self) -> Self {
        // Those before are among the first `up_to`.
        if later.up_to > 0 { later } else { Self { more: self.more + later.more, ..self } }
    }
}

impl HocuspocusMember {
    /// A client that names the document by `key`, and of which so many messages were answered before.
    pub fn new(key: Arc<str>, answered: Arc<AtomicU64>) -> Self {
        Self { key, answered, is_failed: Arc::default() }
    }

    /// How many messages are to be answered.
    fn take_count(&self, acknowledges: Acknowledges) -> u64 {
        // Only the task of the document writes it.
        let answered = self.answered.load(Ordering::Relaxed);
        let count = acknowledges.up_to.saturating_sub(answered) + acknowledges.more;
        self.answered.store(answered + count, Ordering::Relaxed);
        count
    }
}

impl DocumentMember {
    /// Its place among the members of the room.
    pub(super) fn place(&self) -> RoomMember {
        self.recipient.member()
    }

    /// Whether it reads more slowly than it is written to.
    pub(super) fn is_backlogged(&self) -> bool {
        self.recipient.backlog() != Backlog::None
    }

    /// Sends it an event as it is sent to all.
    pub(super) fn send(&self, event: &DocumentEvent<'_>) {
        self.recipient.reply(&match &self.protocol {
            MemberProtocol::YWebsocket => match event.for_y_websocket() {
                Some(frame) => frame,
                None => return,
            },
            MemberProtocol::Hocuspocus(it) => event.for_hocuspocus(&it.key),
        });
    }

    /// How it names the document in each message, if it does.
    pub(super) fn key(&self) -> Option<&Arc<str>> {
        match &self.protocol {
            MemberProtocol::YWebsocket => None,
            MemberProtocol::Hocuspocus(it) => Some(&it.key),
        }
    }

    /// A part of the synchronisation, as it and all who name the document alike are sent it.
    pub(super) fn encode_sync(&self, message: SyncMessage<'_>) -> Frame {
        match &self.protocol {
            MemberProtocol::YWebsocket => YWebsocketMessage::Sync(message).encode(),
            MemberProtocol::Hocuspocus(it) => HocuspocusMessage::Sync(message).encode(&it.key),
        }
    }

    /// Acknowledges messages of a Hocuspocus client.
    pub(super) fn acknowledge(&self, acknowledges: Acknowledges, applied: hocuspocus::Applied) {
        if let MemberProtocol::Hocuspocus(it) = &self.protocol {
            let frame = HocuspocusMessage::SyncStatus(applied).encode(&it.key);
            (0..it.take_count(acknowledges)).for_each(|_| self.recipient.reply(&frame));
        }
    }

    /// Answers that what y-sweet's clients have sent before `payload` is stored.
    pub(super) fn confirm(&self, payload: &[u8]) {
        if let MemberProtocol::YWebsocket = &self.protocol {
            self.recipient.reply(&YWebsocketMessage::SyncStatus(payload).encode());
        }
    }

    /// Ends the use of the document by this connection.
    pub(super) fn fail(&self, reason: DocumentCloseReason) {
        match &self.protocol {
            MemberProtocol::Hocuspocus(it) if !reason.passes() => {
                it.is_failed.store(true, Ordering::Relaxed);
                self.recipient.reply(&HocuspocusMessage::PermissionDenied(reason.text()).encode(&it.key));
            }
            // After a denial a client of Hocuspocus does nothing more; after the end of its connection it comes back.
            MemberProtocol::Hocuspocus(_) | MemberProtocol::YWebsocket => {
                self.outbox.disconnect(reason.into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledgements_that_wait_are_one() {
        let answered = Arc::new(AtomicU64::new(2));
        let member = HocuspocusMember::new("room".into(), Arc::clone(&answered));
        let first = Acknowledges::ONE.and(Acknowledges::up_to(4)).and(Acknowledges::ONE);
        // As those of an append that has failed, before those of the next one.
        let all = Acknowledges::default().and(first).and(Acknowledges::ONE);
        assert_eq!(member.take_count(all), 4);
        assert_eq!(answered.load(Ordering::Relaxed), 6);
        assert_eq!(member.take_count(Acknowledges::up_to(6)), 0);
    }
}
