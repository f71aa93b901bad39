//! The documents of one connection: those that are open, and those whose token is being verified or waited for.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use tokio::task::Id;

use super::held::{EarlyMessage, HeldBounds};
use crate::auth::RoomClaims;
use crate::documents::{MemberMessage, OpenDocument};
use crate::node::AuthenticationError;
use crate::sessions::KeptClaims;
use crate::sessions::completions::PendingTask;
use crate::sessions::document_client::DocumentAddress;

/// What was found out about the token for a document.
pub(super) struct Authentication {
    /// How the client names the document.
    pub(super) key: Arc<str>,
    pub(super) result: Result<RoomClaims, AuthenticationError>,
}

/// A document that a connection has named.
pub(super) struct AttachedDocument {
    pub(super) address: DocumentAddress,
    /// `None` until a token was accepted.
    pub(super) document: Option<OpenDocument>,
    pub(super) claims: Option<Arc<KeptClaims<RoomClaims>>>,
    /// The token that is being verified.
    authentication: Option<PendingTask>,
    /// Until when a token is waited for, if none was sent.
    token_by: Option<Instant>,
    /// Whether a message was lost, and all are until it synchronises again.
    pub(super) is_lost: bool,
    held: Vec<EarlyMessage>,
}

impl AttachedDocument {
    fn new(address: DocumentAddress) -> Self {
        Self {
            address,
            document: None,
            claims: None,
            authentication: None,
            token_by: None,
            is_lost: false,
            held: Vec::new(),
        }
    }

    /// A token was accepted.
    pub(super) fn accept(&mut self) {
        self.authentication = None;
        self.token_by = None;
        self.is_lost = false;
    }

    /// Messages are lost until a token comes, which is waited for until `token_by`.
    pub(super) fn lose(&mut self, token_by: Instant) {
        self.is_lost = true;
        self.token_by = Some(token_by);
    }

    /// The document with the claims by which it was opened, if it is.
    pub(super) fn open(&self) -> Option<(&OpenDocument, &Arc<KeptClaims<RoomClaims>>)> {
        self.document.as_ref().zip(self.claims.as_ref())
    }
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
        let attached = self.0.entry(key).or_insert_with(|| AttachedDocument::new(address));
        attached.authentication = Some(task);
        attached.token_by = None;
    }

    /// A client speaks of a document before it has sent a token.
    pub(super) fn await_token(&mut self, key: Arc<str>, address: DocumentAddress, token_by: Instant) {
        let attached = self.0.entry(key).or_insert_with(|| AttachedDocument::new(address));
        attached.token_by = Some(token_by);
    }

    /// Keeps a message until the token for its document is verified. Returns whether it fits among those of all documents.
    pub(super) fn hold(&mut self, key: &str, message: MemberMessage, bounds: HeldBounds) -> bool {
        let held = || self.0.values().flat_map(|attached| &attached.held);
        let message = EarlyMessage::new(message);
        let bytes = held().map(|held| held.bytes).sum::<usize>() + message.bytes;
        if held().count() >= bounds.messages || bytes > bounds.bytes {
            return false;
        }
        if let Some(attached) = self.0.get_mut(key) {
            attached.held.push(message);
        }
        true
    }

    /// Takes what was kept for a document.
    pub(super) fn take_held(&mut self, key: &str) -> Vec<EarlyMessage> {
        self.0.get_mut(key).map(|attached| std::mem::take(&mut attached.held)).unwrap_or_default()
    }

    /// Whether a task is the one that verifies the newest token for a document.
    pub(super) fn is_current(&self, key: &str, task: Id) -> bool {
        let attached = self.0.get(key).and_then(|attached| attached.authentication.as_ref());
        attached.is_some_and(|authentication| authentication.id() == task)
    }

    /// Until when the first token has to come that is waited for.
    pub(super) fn token_deadline(&self) -> Option<Instant> {
        self.0.values().filter_map(|attached| attached.token_by).min()
    }
}
