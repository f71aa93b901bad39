//! Sessions of Hocuspocus clients: many documents on one connection, each with a token of its own
//! (docs/protocol/documents.md#hocuspocus).
//!
//! The handshake needs no token. What a client sends for a document before its token is verified is kept, up to a bound.

mod attached;
mod documents;
mod held;
mod messages;
mod protocol;
mod tokens;

use std::sync::Arc;
use std::time::{Duration, Instant};

use hub::{Disconnect, Outbox};
use wire::hocuspocus::{self, HocuspocusFrame, HocuspocusMessage};
use wire::yjs::AwarenessUpdate;

use self::documents::{AttachedDocuments, Authentication};
use super::completions::Completions;
use super::document_client::{DocumentClient, MessageRefusal, SILENCE_MAX};
use super::{ClientContext, KeptClaims, MessageHead, Services, Session};
use crate::auth::RoomClaims;
use crate::close_reason::{CloseReason, DocumentCloseReason};
use crate::telemetry::codes::Code;
use crate::workers::Offload;

pub use protocol::HocuspocusProtocol;

/// How long a connection may have no document whose token was accepted.
const AUTHENTICATION_MAX: Duration = Duration::from_secs(60);

/// One connection of a Hocuspocus client.
pub struct HocuspocusSession {
    client: DocumentClient,
    documents: AttachedDocuments,
    authentications: Completions<Authentication>,
    /// What the token of the handshake states, if it had one: it is that of documents for which the client sends none.
    of_handshake: Option<Arc<KeptClaims<RoomClaims>>>,
    /// Until when one token has to be accepted; `None` once one was.
    authenticate_by: Option<Instant>,
    silence_ends: Instant,
    recheck_at: Option<Instant>,
    is_ended: bool,
}

impl HocuspocusSession {
    /// The session of a client that has just connected.
    pub(super) fn new(
        services: Arc<Services>,
        client: ClientContext,
        of_handshake: Option<Arc<KeptClaims<RoomClaims>>>,
    ) -> Self {
        let max_tasks = services.node.settings().server.max_tasks_per_connection;
        let client = DocumentClient::new(services, client);
        let tasks = client.services.tasks.clone();
        let authentications = Completions::new(&client.outbox, tasks, max_tasks);
        let now = Instant::now();
        let mut session = Self {
            client,
            documents: AttachedDocuments::default(),
            authentications,
            of_handshake,
            authenticate_by: Some(now + AUTHENTICATION_MAX),
            silence_ends: now + SILENCE_MAX,
            recheck_at: None,
            is_ended: false,
        };
        // The policy may have changed after the handshake read it and before this connection was registered.
        session.apply_policy();
        session
    }

    fn send(&self, key: &str, message: HocuspocusMessage<'_>) {
        self.client.outbox.reply(&message.encode(key));
    }

    /// Denies a document. A later token for it is a fresh attempt.
    fn deny(&mut self, key: &str, reason: &str) {
        self.client.report(Code::DocumentForbidden, reason);
        self.detach(key, reason);
    }

    /// Ends the use of a document from the side of the server.
    fn detach(&mut self, key: &str, reason: &str) {
        self.documents.deny(key);
        self.send(key, HocuspocusMessage::PermissionDenied(reason));
    }

    fn end(&mut self, reason: impl Into<hub::Disconnect>) {
        self.is_ended = true;
        self.documents.clear();
        self.client.outbox.disconnect(reason.into());
    }

    /// Sends something for each document, by which the client notices that the connection is alive.
    fn break_silence(&self) {
        if let Some((key, _)) = self.documents.iter().next() {
            self.send(key, HocuspocusMessage::Awareness(AwarenessUpdate::EMPTY.bytes()));
        }
    }
}

impl Session for HocuspocusSession {
    fn outbox(&self) -> &Arc<Outbox> {
        &self.client.outbox
    }

    fn offload(&self) -> &Arc<Offload> {
        &self.client.services.node.offload
    }

    fn text(&mut self, _message: &str) {
        self.client.refused("a text message, in a protocol that has none");
        self.end(DocumentCloseReason::Invalid);
    }

    fn binary(&mut self, message: &[u8]) {
        if self.is_ended {
            return;
        }
        let handled = match hocuspocus::decode(message) {
            Ok(HocuspocusFrame::Ping | HocuspocusFrame::Pong) => Ok(()),
            Ok(HocuspocusFrame::Document { key, message }) => {
                message.map_err(MessageRefusal::from).and_then(|message| self.message(key, message))
            }
            Err(malformed) => Err(malformed.into()),
        };
        if let Err(refusal) = handled {
            self.client.refused_message(refusal);
            self.end(refusal.close_reason());
        }
    }

    fn skipped(&mut self, _head: &MessageHead<'_>) {
        self.end(DocumentCloseReason::RateLimited);
    }

    /// With 1009 if a message is too large: clients before 3 stop after that code, and come back at once after others.
    fn broken(&mut self, why: CloseReason) -> Disconnect {
        self.client.broken(why);
        why.into()
    }

    fn flush(&mut self) {}

    fn deadline(&self) -> Option<Instant> {
        if self.is_ended {
            return None;
        }
        let token = self.documents.token_deadline();
        [Some(self.silence_ends), self.authenticate_by, self.recheck_at, token].into_iter().flatten().min()
    }

    fn tick(&mut self, now: Instant) {
        if self.is_ended {
            return;
        }
        self.apply_policy();
        self.apply_authentications();
        if self.recheck_at.is_some_and(|at| now >= at) {
            self.recheck();
        }
        if self.documents.token_deadline().is_some_and(|at| now >= at) {
            self.end_late(now);
        }
        if self.authenticate_by.is_some_and(|by| now >= by) {
            return self.end(DocumentCloseReason::NotAuthenticated);
        }
        if now >= self.silence_ends {
            self.silence_ends = now + SILENCE_MAX;
            self.break_silence();
        }
    }

    fn close(&mut self) {
        self.is_ended = true;
        self.documents.clear();
    }

    fn caught_up(&mut self) {
        let open = self.documents.iter().filter_map(|(_, attached)| attached.open());
        open.for_each(|(document, _)| document.caught_up());
    }

    fn count(&self, received: u64, sent: u64) {
        self.client.count(received, sent);
    }
}
