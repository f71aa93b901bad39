//! The documents of one connection: those that are open, and those whose token is being verified or waited for.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use tokio::task::Id;

use super::attached::{AttachedDocument, Handed};
use super::held::{EarlyMessage, HeldBounds};
use crate::auth::RoomClaims;
use crate::documents::MemberMessage;
use crate::node::AuthenticationError;
use crate::sessions::completions::PendingTask;
use crate::sessions::document_client::DocumentAddress;

/// What was found out about the token for a document.
pub(super) struct Authentication {
    /// How the client names the document.
    pub(super) key: Arc<str>,
    pub(super) result: Result<RoomClaims, AuthenticationError>,
}

/// What the session does about a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Delivered {
    /// The document has it, or it is kept, or ignored.
    Yes,
    /// It was lost, because the document is overloaded.
    Lost,
    /// More is kept for documents without a token than may be.
    TooMuch,
}

/// The documents of a connection, by the names that it uses.
#[derive(Default)]
pub(super) struct AttachedDocuments(HashMap<Arc<str>, AttachedDocument>);

impl AttachedDocuments {
    pub(super) fn contains(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn get_mut(&mut self, key: &str) -> Option<&mut AttachedDocument> {
        self.0.get_mut(key)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &AttachedDocument)> {
        self.0.iter()
    }

    pub(super) fn remove(&mut self, key: &str) {
        self.0.remove(key);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// A token for a document is being verified. One that was being verified before is not waited for.
    pub(super) fn begin(&mut self, key: Arc<str>, address: DocumentAddress, task: PendingTask) {
        self.attach(key, address).begin(task);
    }

    /// A client speaks of a document before it has sent a token.
    pub(super) fn await_token(&mut self, key: Arc<str>, address: DocumentAddress) {
        self.attach(key, address).await_token();
    }

    /// A document that a client has named, or now does.
    pub(super) fn attach(&mut self, key: Arc<str>, address: DocumentAddress) -> &mut AttachedDocument {
        self.0.entry(key).or_insert_with(|| AttachedDocument::new(address))
    }

    /// A document is not for the client.
    pub(super) fn deny(&mut self, key: &str) {
        self.0.get_mut(key).into_iter().for_each(AttachedDocument::deny);
    }

    /// Forgets what was denied.
    pub(super) fn forget_denied(&mut self) {
        self.0.retain(|_, attached| !attached.is_denied());
    }

    /// Hands a message that has just come to its document.
    pub(super) fn receive(&mut self, key: &str, message: MemberMessage, bounds: HeldBounds) -> Delivered {
        let Some(attached) = self.0.get_mut(key) else { return Delivered::Yes };
        attached.end_failed();
        match attached.count(message) {
            Some(message) => self.deliver(key, message, bounds),
            None => Delivered::Yes,
        }
    }

    /// Hands a message to its document, or keeps it until a token is accepted.
    pub(super) fn deliver(&mut self, key: &str, message: MemberMessage, bounds: HeldBounds) -> Delivered {
        let Some(attached) = self.0.get_mut(key) else { return Delivered::Yes };
        let (delivered, kept) = match attached.hand_over(message) {
            Handed::Over => return Delivered::Yes,
            Handed::Back(message) => (Delivered::Yes, Some(message)),
            Handed::Lost(question) => (Delivered::Lost, question),
        };
        let is_kept = kept.is_none_or(|message| self.hold(key, message, bounds));
        if is_kept { delivered } else { Delivered::TooMuch }
    }

    /// Keeps a message until the token for its document is accepted. Returns whether it fits among those of all documents.
    fn hold(&mut self, key: &str, message: MemberMessage, bounds: HeldBounds) -> bool {
        let held = || self.0.values().flat_map(AttachedDocument::held);
        let message = EarlyMessage::new(message);
        let bytes = held().map(|held| held.bytes).sum::<usize>() + message.bytes;
        if held().count() >= bounds.messages || bytes > bounds.bytes {
            return false;
        }
        if let Some(attached) = self.0.get_mut(key) {
            attached.hold(message);
        }
        true
    }

    /// Takes what was kept for a document.
    pub(super) fn take_held(&mut self, key: &str) -> Vec<EarlyMessage> {
        self.0.get_mut(key).map(AttachedDocument::take_held).unwrap_or_default()
    }

    /// Whether a task is the one that verifies the newest token for a document.
    pub(super) fn is_current(&self, key: &str, task: Id) -> bool {
        self.0.get(key).is_some_and(|attached| attached.is_verified_by(task))
    }

    /// Until when the first token has to come that is waited for.
    pub(super) fn token_deadline(&self) -> Option<Instant> {
        self.0.values().filter_map(AttachedDocument::token_by).min()
    }

    /// Whether messages were lost for an open document, and the token that was asked for has not come in time.
    pub(super) fn is_lost(&self, now: Instant) -> bool {
        self.0.values().any(|attached| attached.is_lost(now))
    }

    /// The documents that the client waits for, and for which no token has come in time. Others without a token are forgotten.
    pub(super) fn without_token(&mut self, now: Instant) -> Vec<Arc<str>> {
        self.0.retain(|_, attached| attached.is_awaited(now));
        let late = self.0.iter().filter(|(_, attached)| attached.is_late(now));
        late.map(|(key, _)| Arc::clone(key)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: HeldBounds = HeldBounds { messages: 2, bytes: 10 };

    fn update() -> MemberMessage {
        MemberMessage::Update([0, 0].into())
    }

    fn question(state_vector: &[u8]) -> MemberMessage {
        MemberMessage::Lacks(state_vector.into())
    }

    fn documents() -> AttachedDocuments {
        let mut documents = AttachedDocuments::default();
        let address = DocumentAddress::parse("room/doc").expect("a name");
        documents.await_token("room/doc".into(), address);
        documents
    }

    #[test]
    fn what_a_client_sends_for_a_denied_document_is_ignored_but_for_what_it_asks() {
        let mut documents = documents();
        assert_eq!(documents.receive("room/doc", update(), BOUNDS), Delivered::Yes);
        documents.deny("room/doc");
        assert_eq!(documents.token_deadline(), None, "a new token is not waited for");
        for state_vector in [[0, 0], [1, 2]] {
            assert_eq!(documents.receive("room/doc", update(), BOUNDS), Delivered::Yes);
            assert_eq!(documents.receive("room/doc", question(&state_vector), BOUNDS), Delivered::Yes);
        }
        let held: Vec<MemberMessage> =
            documents.take_held("room/doc").into_iter().map(|held| held.message).collect();
        assert!(matches!(&*held, [MemberMessage::Lacks(last)] if **last == [1, 2]), "{held:?}");
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut documents = documents();
        for _ in 0..2 {
            assert_eq!(documents.receive("room/doc", update(), BOUNDS), Delivered::Yes);
        }
        assert_eq!(documents.receive("room/doc", update(), BOUNDS), Delivered::TooMuch);
    }

    #[test]
    fn a_document_without_a_token_is_denied_if_the_client_waits_for_it_and_else_forgotten() {
        let mut documents = documents();
        let by = documents.token_deadline().expect("a token is waited for");
        assert_eq!(documents.receive("room/doc", question(&[0]), BOUNDS), Delivered::Yes);
        let address = DocumentAddress::parse("left").expect("a name");
        documents.await_token("left".into(), address);
        let late = by + std::time::Duration::from_secs(1);
        assert_eq!(documents.without_token(late), [Arc::from("room/doc")]);
        assert!(!documents.contains("left") && !documents.is_lost(late));
    }

    #[test]
    fn there_is_room_again_for_what_was_denied() {
        let mut documents = documents();
        documents.forget_denied();
        assert_eq!(documents.len(), 1);
        documents.deny("room/doc");
        documents.forget_denied();
        assert_eq!(documents.len(), 0);
    }
}
