//! One member as the receiver of messages that are for it alone, such as changes of rows that it may see.
//!
//! It names the member and does not keep it in the room: what is sent after the member has left goes nowhere.

use std::hash::{Hash, Hasher};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use crate::frame::Frame;
use crate::membership::Membership;
use crate::outbox::{Backlog, Offer, Outbox};
use crate::room::{Room, RoomMember};

/// The receiver of messages for one member.
#[derive(Debug, Clone)]
pub struct Recipient {
    room: Weak<Room>,
    slot: usize,
    /// Tells the member apart from others that use the slot before and after it.
    id: u32,
}

/// A connection, which is told apart from all others also after it has closed.
#[derive(Debug, Clone)]
pub struct ConnectionId(Weak<Outbox>);

impl PartialEq for ConnectionId {
    fn eq(&self, other: &Self) -> bool {
        self.0.ptr_eq(&other.0)
    }
}

impl Eq for ConnectionId {}

impl Hash for ConnectionId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.as_ptr().hash(state);
    }
}

impl Membership {
    /// This member as the receiver of messages that are for it alone.
    pub fn recipient(&self) -> Recipient {
        let (room, slot) = self.place();
        Recipient { room: Arc::downgrade(room), slot, id: room.member_id(slot) }
    }
}

impl Recipient {
    /// The member among those of its room.
    pub fn member(&self) -> RoomMember {
        RoomMember(self.id)
    }

    /// Offers a frame with this many messages. If the outbox is full, the member has missed them, as it misses broadcasts.
    /// `None` if it has left the room.
    pub fn offer(&self, frame: &Frame, messages: u32) -> Option<Offer> {
        self.room.upgrade()?.offer_to((self.slot, self.id), frame, messages)
    }

    /// Queues a frame whether or not it fits, as the reply to a request. Only for what a client can cause a bounded number of.
    pub fn reply(&self, frame: &Frame) {
        if let Some(room) = self.room.upgrade() {
            room.reply_to((self.slot, self.id), frame);
        }
    }

    /// What waits for the connection of the member.
    pub fn backlog(&self) -> Backlog {
        self.outbox().map_or(Backlog::None, |outbox| outbox.backlog())
    }

    /// Ready when there is no [backlog](Self::backlog). Otherwise the task is woken when the client has read much of
    /// what waits, and not when its tenant has memory again. The last task that has called it is.
    pub fn poll_caught_up(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.outbox().map_or(Poll::Ready(()), |outbox| outbox.poll_caught_up(cx))
    }

    /// The connection of the member. `None` if it has left the room.
    pub fn connection(&self) -> Option<ConnectionId> {
        self.outbox().map(|outbox| ConnectionId(Arc::downgrade(&outbox)))
    }

    fn outbox(&self) -> Option<Arc<Outbox>> {
        self.room.upgrade()?.outbox_of((self.slot, self.id))
    }
}
