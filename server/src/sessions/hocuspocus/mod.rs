//! Sessions of Hocuspocus clients: many documents on one connection, each with a token of its own
//! (docs/protocol/documents.md#hocuspocus).
//!
//! The handshake needs no token. What a client sends for a document before its token is verified is kept, up to a bound.

mod attached;
mod documents;
mod held;
mod protocol;

use std::fmt::Display;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hub::{Disconnect, Outbox};
use wire::hocuspocus::{self, Applied, HocuspocusFrame, HocuspocusMessage, RoutingKey, Scope};
use wire::yjs::AwarenessUpdate;

use self::documents::{AttachedDocuments, Authentication, Delivered};
use self::held::EarlyMessage;
use super::completions::Completions;
use super::document_client::{DocumentAddress, DocumentClient, MessageRefusal, SILENCE_MAX};
use super::{ClientContext, KeptClaims, MessageHead, Services, Session};
use crate::auth::{DocumentAccess, NO_CHANNEL_MEMORY, RoomClaims};
use crate::close_reason::{CloseReason, DocumentCloseReason};
use crate::documents::MemberMessage;
use crate::telemetry::codes::Code;
use crate::workers::Offload;

pub use protocol::HocuspocusProtocol;

/// How long a connection may have no document whose token was accepted.
const AUTHENTICATION_MAX: Duration = Duration::from_secs(60);

/// Why one more document is denied.
const TOO_MANY: &str = "too many documents on this connection";

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

    /// Handles a message about a document.
    fn message(&mut self, key: RoutingKey<'_>, message: HocuspocusMessage<'_>) -> Result<(), MessageRefusal> {
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

    /// Verifies a token, as a task: it may wait for a key.
    fn authenticate(&mut self, key: RoutingKey<'_>, token: &str) {
        let Some((name, address)) = self.named(key) else { return };
        if let Some(claims) = self.claims_of_handshake().filter(|_| token.is_empty()) {
            self.documents.attach(Arc::clone(&name), address);
            return self.accept(&name, &claims);
        }
        let (node, tenant) = (Arc::clone(&self.client.services.node), Arc::clone(&self.client.tenant));
        let (from, token, of) = (self.client.context.client_address(), token.to_owned(), Arc::clone(&name));
        let task = self.authentications.start(async move {
            let result = node.authenticate_connected::<RoomClaims>(&tenant, &token, from).await;
            Authentication { key: of, result: result.map(|it| it.claims) }
        });
        self.documents.begin(name, address, task);
    }

    /// What the token of the handshake states, while it is accepted.
    fn claims_of_handshake(&self) -> Option<Arc<KeptClaims<RoomClaims>>> {
        self.of_handshake.clone().filter(|claims| self.client.recheck(claims).is_ok())
    }

    /// What a key names, unless that is denied.
    fn named(&mut self, key: RoutingKey<'_>) -> Option<(Arc<str>, DocumentAddress)> {
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
                    None => self.end_for_now(NO_CHANNEL_MEMORY),
                },
                Err(error) if error.passes() => self.end_for_now(&error),
                Err(error) => self.deny(&key, &error.to_string()),
            }
        }
    }

    fn accept(&mut self, key: &Arc<str>, claims: &Arc<KeptClaims<RoomClaims>>) {
        let Some(attached) = self.documents.get_mut(key) else { return };
        let Some(access) = self.client.access(claims, &attached.address) else {
            return self.deny(key, "permission-denied");
        };
        attached.end_failed();
        self.authenticate_by = None;
        let recheck_at = self.client.recheck_at(claims);
        self.recheck_at = Some(self.recheck_at.map_or(recheck_at, |at| at.min(recheck_at)));
        let authenticated = HocuspocusMessage::Authenticated(scope(access)).encode(key);
        let opened = if let Some((document, _)) = attached.open() {
            document.set_access(access);
            self.client.outbox.reply(&authenticated);
            None
        } else {
            let member = Some(attached.member(key));
            Some(self.client.open(&attached.address, member, (claims, access), &authenticated))
        };
        attached.accept(claims, opened);
        for EarlyMessage { message, .. } in self.documents.take_held(key) {
            let bounds = held::bounds(&self.client.services.node.settings());
            let delivered = self.documents.deliver(key, message, bounds);
            self.note(key, &delivered);
        }
    }

    /// Ends the connection for a reason that passes. After a denial the client would do nothing more.
    fn end_for_now(&mut self, why: impl Display) {
        self.client.report(Code::DocumentForbidden, why);
        self.end(DocumentCloseReason::RateLimited);
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

    fn note(&mut self, key: &str, delivered: &Delivered) {
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

    /// Those who have sent no token for a document that they have named.
    fn end_late(&mut self, now: Instant) {
        if self.documents.is_lost(now) {
            // A client of an old version, which synchronises all of its documents when it connects again.
            return self.end(DocumentCloseReason::RateLimited);
        }
        self.documents
            .without_token(now)
            .iter()
            .for_each(|key| self.deny(key, DocumentCloseReason::NotAuthenticated.text()));
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

fn scope(access: DocumentAccess) -> Scope {
    match access {
        DocumentAccess::Read => Scope::Readonly,
        DocumentAccess::Write => Scope::ReadWrite,
    }
}
