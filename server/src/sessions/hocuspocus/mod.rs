//! Sessions of Hocuspocus clients: many documents on one connection, each with a token of its own
//! (docs/protocol/documents.md#hocuspocus).
//!
//! The handshake needs no token. What a client sends for a document before its token is verified is kept, up to a bound.

mod documents;
mod held;
mod protocol;

use std::sync::Arc;
use std::time::{Duration, Instant};

use hub::{Disconnect, Outbox};
use wire::hocuspocus::{self, HocuspocusFrame, HocuspocusMessage, RoutingKey, Scope};
use wire::yjs::AwarenessUpdate;

use self::documents::{AttachedDocuments, Authentication};
use self::held::EarlyMessage;
use super::completions::Completions;
use super::document_client::{DocumentAddress, DocumentClient, MessageRefusal, SILENCE_MAX};
use super::{ClientContext, KeptClaims, MessageHead, Services, Session};
use crate::auth::{DocumentAccess, NO_CHANNEL_MEMORY, RoomClaims};
use crate::close_reason::{CloseReason, DocumentCloseReason};
use crate::documents::{MemberMessage, OpenDocument};
use crate::node::AuthenticationError;
use crate::telemetry::codes::Code;
use crate::workers::Offload;

pub use protocol::HocuspocusProtocol;

/// How long a connection may have no document whose token was accepted.
const AUTHENTICATION_MAX: Duration = Duration::from_secs(60);

/// How long a client may take to send a token that it was asked for. Those before 3.3 do not know the question.
const TOKEN_WAIT: Duration = Duration::from_secs(5);

/// Why one more document is denied.
const TOO_MANY: &str = "too many documents on this connection";

/// One connection of a Hocuspocus client.
pub struct HocuspocusSession {
    client: DocumentClient,
    documents: AttachedDocuments,
    authentications: Completions<Authentication>,
    /// Until when one token has to be accepted; `None` once one was.
    authenticate_by: Option<Instant>,
    silence_ends: Instant,
    recheck_at: Option<Instant>,
    is_ended: bool,
}

impl HocuspocusSession {
    /// The session of a client that has just connected.
    pub(super) fn new(services: Arc<Services>, client: ClientContext) -> Self {
        let max_tasks = services.node.settings().server.max_tasks_per_connection;
        let client = DocumentClient::new(services, client);
        let tasks = client.services.tasks.clone();
        let authentications = Completions::new(&client.outbox, tasks, max_tasks);
        let now = Instant::now();
        let mut session = Self {
            client,
            documents: AttachedDocuments::default(),
            authentications,
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

    /// Handles a message about a document.
    fn message(&mut self, key: RoutingKey<'_>, message: HocuspocusMessage<'_>) -> Result<(), MessageRefusal> {
        let name = key.as_str();
        match message {
            HocuspocusMessage::Token { token, .. } => self.authenticate(key, token),
            HocuspocusMessage::Close(_) => {
                self.documents.remove(name);
            }
            HocuspocusMessage::Sync(message) | HocuspocusMessage::SyncReply(message) => {
                let message = self.client.sync(message)?;
                self.hand_over(key, message);
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

    /// Verifies a token, as a task: it may wait for a key.
    fn authenticate(&mut self, key: RoutingKey<'_>, token: &str) {
        let name = key.as_str();
        let Some(address) = DocumentAddress::parse(key.document()) else {
            return self.deny(name, "this is not the name of a document");
        };
        if !self.documents.contains(name) && !self.has_room() {
            return self.deny(name, TOO_MANY);
        }
        let name: Arc<str> = name.into();
        let (node, tenant) = (Arc::clone(&self.client.services.node), Arc::clone(&self.client.tenant));
        let (from, token, of) = (self.client.context.client_address(), token.to_owned(), Arc::clone(&name));
        let task = self.authentications.start(async move {
            let result = node.authenticate_connected::<RoomClaims>(&tenant, &token, from).await;
            Authentication { key: of, result: result.map(|it| it.claims) }
        });
        self.documents.begin(name, address, task);
    }

    /// Whether one more document may be named on this connection.
    fn has_room(&self) -> bool {
        let max = self.client.services.node.settings().documents.max_per_connection.get() as usize;
        self.documents.len() < max
    }

    /// Applies what was found out about tokens.
    fn apply_authentications(&mut self) {
        while let Some(completion) = self.authentications.take() {
            let Some(Authentication { key, result }) = completion.result else { continue };
            if !self.documents.is_current(&key, completion.task) {
                continue;
            }
            match result {
                Ok(claims) => match self.client.keep(claims) {
                    Some(claims) => self.accept(&key, &claims),
                    None => self.deny(&key, NO_CHANNEL_MEMORY),
                },
                Err(error) => self.refuse(&key, &error),
            }
        }
    }

    fn accept(&mut self, key: &Arc<str>, claims: &Arc<KeptClaims<RoomClaims>>) {
        let Some(attached) = self.documents.get_mut(key) else { return };
        let Some(access) = self.client.access(claims, &attached.address) else {
            return self.deny(key, "permission-denied");
        };
        self.authenticate_by = None;
        let recheck_at = self.client.recheck_at(claims);
        self.recheck_at = Some(self.recheck_at.map_or(recheck_at, |at| at.min(recheck_at)));
        let authenticated = HocuspocusMessage::Authenticated(scope(access)).encode(key);
        if let Some(document) = &attached.document {
            document.set_access(access);
            self.client.outbox.reply(&authenticated);
        } else {
            let key = Some(Arc::clone(key));
            attached.document =
                Some(self.client.open(&attached.address, key, (claims, access), &authenticated));
        }
        attached.claims = Some(Arc::clone(claims));
        attached.accept();
        for EarlyMessage { message, .. } in self.documents.take_held(key) {
            self.hand_over_named(key, message);
        }
    }

    fn refuse(&mut self, key: &str, error: &AuthenticationError) {
        self.deny(key, &error.to_string());
    }

    /// Denies a document. A later token for it is a fresh attempt.
    fn deny(&mut self, key: &str, reason: &str) {
        self.client.report(Code::DocumentForbidden, reason);
        self.documents.remove(key);
        self.send(key, HocuspocusMessage::PermissionDenied(reason));
    }

    /// Hands a message to its document, or keeps it until the token is verified.
    fn hand_over(&mut self, key: RoutingKey<'_>, message: MemberMessage) {
        let name: Arc<str> = key.as_str().into();
        if !self.documents.contains(&name) {
            let Some(address) = DocumentAddress::parse(key.document()) else {
                return self.deny(&name, "this is not the name of a document");
            };
            if !self.has_room() {
                return self.deny(&name, TOO_MANY);
            }
            self.documents.await_token(Arc::clone(&name), address, Instant::now() + TOKEN_WAIT);
        }
        self.hand_over_named(&name, message);
    }

    fn hand_over_named(&mut self, key: &Arc<str>, message: MemberMessage) {
        let Some(attached) = self.documents.get_mut(key) else { return };
        if attached.is_lost {
            // The client sends it again when it synchronises.
            return;
        }
        match &attached.document {
            Some(document) => {
                if document.message(message).is_err() {
                    self.synchronise_again(key);
                }
            }
            None => {
                let bounds = held::bounds(&self.client.services.node.settings());
                if !self.documents.hold(key, message, bounds) {
                    self.end(DocumentCloseReason::RateLimited);
                }
            }
        }
    }

    /// A message was lost: the client synchronises this document again. Those of 3.3 and later do when they are asked for the token, and
    /// count what is not acknowledged from the beginning; for older ones the connection has to end.
    fn synchronise_again(&mut self, key: &Arc<str>) {
        let Some(attached) = self.documents.get_mut(key) else { return };
        attached.lose(Instant::now() + TOKEN_WAIT);
        self.send(key, HocuspocusMessage::TokenRequest);
    }

    fn end(&mut self, reason: impl Into<hub::Disconnect>) {
        self.is_ended = true;
        self.documents.clear();
        self.client.outbox.disconnect(reason.into());
    }

    fn apply_policy(&mut self) {
        if self.client.apply_policy() {
            self.recheck();
        }
    }

    /// Denies documents whose token is no longer accepted, and changes what may be done with the others.
    fn recheck(&mut self) {
        let mut denied = Vec::new();
        self.recheck_at = None;
        for (key, attached) in self.documents.iter() {
            let Some((document, claims)) = attached.open() else { continue };
            match self.client.access(claims, &attached.address) {
                Some(access) if self.client.recheck(claims).is_ok() => {
                    document.set_access(access);
                    let at = self.client.recheck_at(claims);
                    self.recheck_at = Some(self.recheck_at.map_or(at, |earlier| earlier.min(at)));
                }
                Some(_) => denied.push((Arc::clone(key), "the token has expired")),
                None => denied.push((Arc::clone(key), "permission-denied")),
            }
        }
        denied.into_iter().for_each(|(key, reason)| self.deny(&key, reason));
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
        self.client.refused(why.text());
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
            // A client of an old version, which has to synchronise all of its documents.
            return self.end(DocumentCloseReason::RateLimited);
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
        let open = self.documents.iter().filter_map(|(_, attached)| attached.document.as_ref());
        open.for_each(OpenDocument::caught_up);
    }

    fn count(&self, received: u64, sent: u64) {
        self.client.count(received, sent);
    }
}

fn scope(access: DocumentAccess) -> Scope {
    match access {
        DocumentAccess::Read => Scope::Readonly,
        DocumentAccess::Write => Scope::ReadWrite,
    }
}
