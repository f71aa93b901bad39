//! Messages of a Hocuspocus connection: which document they are for, and whether that takes them.

use std::sync::Arc;

use wire::hocuspocus::{Applied, HocuspocusMessage, RoutingKey};

use super::HocuspocusSession;
use super::documents::Delivered;
use super::held;
use crate::close_reason::DocumentCloseReason;
use crate::documents::MemberMessage;
use crate::sessions::document_client::{DocumentAddress, MessageRefusal};

/// Why one more document is denied.
const TOO_MANY: &str = "too many documents on this connection";

impl HocuspocusSession {
    /// Handles a message about a document.
    pub(super) fn message(
        &mut self,
        key: RoutingKey<'_>,
        message: HocuspocusMessage<'_>,
    ) -> Result<(), MessageRefusal> {
        let name = key.as_str();
        match message {
            HocuspocusMessage::Token { token, .. } => self.authenticate(key, token),
            HocuspocusMessage::Close(_) => {
                self.documents.remove(name);
            }
            HocuspocusMessage::Sync(message) | HocuspocusMessage::SyncReply(message) => {
                match self.client.sync(message) {
                    Ok(message) => self.hand_over(key, message),
                    Err(MessageRefusal::TooLarge) => self.deny_too_large(key.as_str()),
                    Err(malformed) => return Err(malformed),
                }
            }
            HocuspocusMessage::Awareness(update) => {
                let message = self.client.awareness(update)?;
                self.hand_over(key, message);
            }
            HocuspocusMessage::QueryAwareness => self.hand_over(key, MemberMessage::QueryAwareness),
            HocuspocusMessage::Stateless(payload) => {
                self.hand_over(key, MemberMessage::Stateless(payload.into()));
            }
            // What servers send.
            HocuspocusMessage::BroadcastStateless(_)
            | HocuspocusMessage::TokenRequest
            | HocuspocusMessage::PermissionDenied(_)
            | HocuspocusMessage::Authenticated(_)
            | HocuspocusMessage::SyncStatus(_) => return Err(MessageRefusal::NotOfAClient),
        }
        Ok(())
    }

    /// What a key names, unless that is denied.
    pub(super) fn named(&mut self, key: RoutingKey<'_>) -> Option<(Arc<str>, DocumentAddress)> {
        let name = key.as_str();
        let Some(address) = DocumentAddress::parse(key.document()) else {
            self.deny(name, "this is not the name of a document");
            return None;
        };
        if !self.documents.contains(name) && !self.has_room() {
            self.deny(name, TOO_MANY);
            return None;
        }
        Some((name.into(), address))
    }

    /// Whether one more document may be named on this connection.
    fn has_room(&mut self) -> bool {
        let max = self.client.services.node.settings().documents.max_per_connection.get() as usize;
        if self.documents.len() >= max {
            self.documents.forget_denied();
        }
        self.documents.len() < max
    }

    /// Hands a message to its document, or keeps it until the token is verified.
    fn hand_over(&mut self, key: RoutingKey<'_>, message: MemberMessage) {
        if !self.documents.contains(key.as_str()) && !self.name(key, &message) {
            return;
        }
        let bounds = held::bounds(&self.client.services.node.settings());
        let delivered = self.documents.receive(key.as_str(), message, bounds);
        self.note(key.as_str(), &delivered);
    }

    /// The first message for a document is not a token. Returns whether it is kept.
    fn name(&mut self, key: RoutingKey<'_>, message: &MemberMessage) -> bool {
        // The answer to the server's question contains these, and the client does not count them any more when it answers that.
        if matches!(message, MemberMessage::Update(_) | MemberMessage::Answer { .. }) {
            return false;
        }
        let Some((name, address)) = self.named(key) else { return false };
        match self.claims_of_handshake() {
            Some(claims) => {
                self.documents.attach(Arc::clone(&name), address);
                self.accept(&name, &claims);
            }
            None => self.documents.await_token(name, address),
        }
        true
    }

    pub(super) fn note(&mut self, key: &str, delivered: &Delivered) {
        match delivered {
            Delivered::Yes => {}
            // Clients of 3.3 and later send their token again, and then what they are asked for; the connection of older ones has to end.
            Delivered::Lost => self.send(key, HocuspocusMessage::TokenRequest),
            Delivered::TooMuch => self.end(DocumentCloseReason::RateLimited),
        }
    }

    /// An update is too large, and would be so again: the client of that document goes no further, those of others do.
    fn deny_too_large(&mut self, key: &str) {
        self.client.refused_message(MessageRefusal::TooLarge);
        self.send(key, HocuspocusMessage::SyncStatus(Applied::No));
        self.detach(key, DocumentCloseReason::TooLarge.text());
    }
}
