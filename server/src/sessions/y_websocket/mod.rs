//! Sessions of y-websocket and y-sweet clients: one document for each connection (docs/protocol/documents.md#y-websocket).

mod protocol;

use std::sync::Arc;
use std::time::{Duration, Instant};

use hub::{Disconnect, Outbox};
use wire::y_websocket::{YWebsocketMessage, messages};
use wire::yjs::AwarenessUpdate;

use super::document_client::{DocumentAddress, DocumentClient, MessageRefusal, SILENCE_MAX};
use super::{ClientContext, KeptClaims, MessageHead, Services, Session};
use crate::auth::RoomClaims;
use crate::close_reason::{CloseReason, DocumentCloseReason};
use crate::documents::{MemberMessage, OpenDocument};
use crate::telemetry::codes::Code;
use crate::workers::Offload;

pub use protocol::YWebsocketProtocol;

/// A connection is not closed earlier because its token has expired: clients before 3.1 that are accepted and closed come back after
/// a tenth of a second, for ever.
const EXPIRES_AFTER: Duration = Duration::from_secs(1);

/// One connection of a y-websocket client.
pub struct YWebsocketSession {
    client: DocumentClient,
    claims: Arc<KeptClaims<RoomClaims>>,
    address: DocumentAddress,
    /// `None` once the connection is about to end.
    document: Option<OpenDocument>,
    silence_ends: Instant,
    recheck_at: Instant,
}

impl YWebsocketSession {
    /// The session of a client that has just connected, with what it asks for; a document that has no name is refused.
    pub(super) fn new(
        services: Arc<Services>,
        client: ClientContext,
        claims: Arc<KeptClaims<RoomClaims>>,
        address: Option<DocumentAddress>,
    ) -> Self {
        let client = DocumentClient::new(services, client);
        let silence_ends = Instant::now() + SILENCE_MAX;
        let recheck_at = client.recheck_at(&claims).max(Instant::now() + EXPIRES_AFTER);
        let permitted = address.as_ref().and_then(|address| client.access(&claims, address));
        let document = address
            .as_ref()
            .zip(permitted)
            .map(|(address, access)| client.open(address, None, (&claims, access), &silence_breaker()));
        if document.is_none() {
            client.outbox.disconnect(DocumentCloseReason::Forbidden.into());
        }
        let address = address.unwrap_or_else(|| DocumentAddress { room: "".into(), doc: "".into() });
        let mut session = Self { client, claims, address, document, silence_ends, recheck_at };
        // The policy may have changed after the handshake read it and before this connection was registered.
        session.apply_policy();
        session
    }

    fn message(&mut self, message: YWebsocketMessage<'_>) -> Result<(), MessageRefusal> {
        let message = match message {
            YWebsocketMessage::Sync(message) => self.client.sync(message)?,
            YWebsocketMessage::Awareness(update) => self.client.awareness(update)?,
            YWebsocketMessage::QueryAwareness => MemberMessage::QueryAwareness,
            YWebsocketMessage::SyncStatus(payload) => DocumentClient::question(payload)?,
            // Of no meaning from a client.
            YWebsocketMessage::PermissionDenied(_) => return Ok(()),
        };
        let Some(document) = &self.document else { return Ok(()) };
        if document.message(message).is_err() {
            // What was lost the client still has: it sends that when it connects again.
            self.end(DocumentCloseReason::RateLimited);
        }
        Ok(())
    }

    fn end(&mut self, reason: DocumentCloseReason) {
        if matches!(reason, DocumentCloseReason::Forbidden | DocumentCloseReason::TokenExpired) {
            self.client.report(Code::DocumentForbidden, reason.text());
        }
        self.document = None;
        self.client.outbox.disconnect(reason.into());
    }

    fn apply_policy(&mut self) {
        if self.client.apply_policy() {
            self.recheck();
        }
    }

    /// Ends the connection if the token is no longer accepted, and changes what it may do if that has changed.
    fn recheck(&mut self) {
        if self.client.recheck(&self.claims).is_err() {
            return self.end(DocumentCloseReason::TokenExpired);
        }
        self.recheck_at = self.client.recheck_at(&self.claims);
        match self.client.access(&self.claims, &self.address) {
            Some(access) => self.document.iter().for_each(|document| document.set_access(access)),
            None => self.end(DocumentCloseReason::Forbidden),
        }
    }
}

impl Session for YWebsocketSession {
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
        for message in messages(message) {
            let handled = message.map_err(MessageRefusal::from).and_then(|message| self.message(message));
            if let Err(refusal) = handled {
                self.client.refused_message(refusal);
                return self.end(refusal.close_reason());
            }
        }
    }

    fn skipped(&mut self, _head: &MessageHead<'_>) {
        self.end(DocumentCloseReason::RateLimited);
    }

    fn broken(&mut self, why: CloseReason) -> Disconnect {
        self.client.broken(why);
        match why {
            // After 1009 its client comes back with the same message, again and again.
            CloseReason::MessageTooLarge { .. } => DocumentCloseReason::TooLarge.into(),
            why => why.into(),
        }
    }

    fn flush(&mut self) {}

    fn deadline(&self) -> Option<Instant> {
        self.document.as_ref().map(|_| self.silence_ends.min(self.recheck_at))
    }

    fn tick(&mut self, now: Instant) {
        self.apply_policy();
        if now >= self.recheck_at {
            self.recheck();
        }
        if now >= self.silence_ends && self.document.is_some() {
            self.silence_ends = now + SILENCE_MAX;
            self.client.outbox.reply(&silence_breaker());
        }
    }

    fn close(&mut self) {
        self.document = None;
    }

    fn caught_up(&mut self) {
        self.document.iter().for_each(OpenDocument::caught_up);
    }

    fn count(&self, received: u64, sent: u64) {
        self.client.count(received, sent);
    }
}

/// A message without content, by which the client notices that the connection is alive.
fn silence_breaker() -> hub::Frame {
    YWebsocketMessage::Awareness(AwarenessUpdate::EMPTY.bytes()).encode()
}
