//! A document as one connection has it open. Dropping it closes it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use hub::{Dialect, Frame, Member, Membership, Outbox, Receives};

use super::member::{DocumentMember, HocuspocusMember, MemberId, MemberProtocol};
use super::{Document, Documents, MemberMessage, Overloaded};
use crate::auth::DocumentAccess;
use crate::tenants::Tenant;

/// A document that a connection has open.
pub struct OpenDocument {
    document: Arc<Document>,
    membership: Membership,
    id: MemberId,
    hocuspocus: Option<HocuspocusMember>,
}

/// Who opens a document.
pub struct OpenRequest<'a> {
    /// The tenant of the connection.
    pub tenant: &'a Arc<Tenant>,
    /// The room.
    pub room: &'a str,
    /// The document in it.
    pub doc: &'a str,
    /// What is sent to the connection.
    pub outbox: &'a Arc<Outbox>,
    /// How events are encoded for it.
    pub dialect: Dialect,
    /// What clients of Hocuspocus have beside that.
    pub hocuspocus: Option<HocuspocusMember>,
    /// What it may do.
    pub access: DocumentAccess,
    /// The user.
    pub user: Option<Arc<str>>,
}

impl Documents {
    /// Opens a document for a connection, whose first frame of it is `reply`.
    pub fn open(self: &Arc<Self>, request: &OpenRequest<'_>, reply: &Frame) -> OpenDocument {
        loop {
            let document = self.document(request.tenant, request.room, request.doc);
            let key = request.hocuspocus.as_ref().map(|it| &it.key);
            let group = document.acquire_key(key);
            let member = Member {
                outbox: Arc::clone(request.outbox),
                dialect: request.dialect,
                group,
                receives: Receives::Everything,
            };
            let membership = self.node.hub.join(document.room.clone(), member, reply);
            let protocol = match &request.hocuspocus {
                Some(member) => MemberProtocol::Hocuspocus(member.clone()),
                None => MemberProtocol::YWebsocket,
            };
            let (access, user) = (request.access, request.user.clone());
            let confirmation = (!membership.is_confirmed()).then(|| membership.confirmation());
            let recipient = membership.recipient();
            let outbox = Arc::clone(request.outbox);
            let member = DocumentMember { recipient, outbox, access, protocol, user, confirmation };
            match document.join(member) {
                Ok(id) => {
                    let hocuspocus = request.hocuspocus.clone();
                    return OpenDocument { document, membership, id, hocuspocus };
                }
                // It was closed since it was found. The next one is another.
                Err(_closed) => key.into_iter().for_each(|key| document.keys.release(key)),
            }
        }
    }
}

impl OpenDocument {
    /// Hands a message of the client over.
    ///
    /// # Errors
    /// When too much waits for the document. The message is lost, so the connection has to synchronise again.
    pub fn message(&self, message: MemberMessage) -> Result<(), Overloaded> {
        self.document.message(self.id, message)
    }

    /// Changes what the connection may do.
    pub fn set_access(&self, access: DocumentAccess) {
        self.document.set_access(self.id, access);
    }

    /// Asks the client for everything that it has more than the server, because messages of it were lost.
    pub fn ask(&self) {
        self.document.ask(self.id);
    }

    /// Whether the document has ended its use by this connection. The client was sent the reason.
    pub fn is_failed(&self) -> bool {
        self.hocuspocus.as_ref().is_some_and(|it| it.is_failed.load(Ordering::Relaxed))
    }

    /// The connection has read everything: sends what did not fit before.
    pub fn caught_up(&self) {
        if self.membership.take_missed().broadcasts > 0 {
            self.document.caught_up(self.id);
        }
    }
}

impl Drop for OpenDocument {
    fn drop(&mut self) {
        self.document.leave(self.id);
        self.hocuspocus.iter().for_each(|it| self.document.keys.release(&it.key));
    }
}
