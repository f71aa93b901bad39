//! Tokens of a Hocuspocus connection: one for each document, verified, accepted, and checked again.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Instant;

use wire::hocuspocus::{HocuspocusMessage, RoutingKey, Scope};

use super::HocuspocusSession;
use super::documents::Authentication;
use super::held::{self, EarlyMessage};
use crate::auth::{DocumentAccess, NO_CHANNEL_MEMORY, RoomClaims};
use crate::close_reason::DocumentCloseReason;
use crate::sessions::KeptClaims;
use crate::telemetry::codes::Code;

impl HocuspocusSession {
    /// Verifies a token, as a task: it may wait for a key.
    pub(super) fn authenticate(&mut self, key: RoutingKey<'_>, token: &str) {
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
    pub(super) fn claims_of_handshake(&self) -> Option<Arc<KeptClaims<RoomClaims>>> {
        self.of_handshake.clone().filter(|claims| self.client.recheck(claims).is_ok())
    }

    /// Applies what was found out about tokens.
    pub(super) fn apply_authentications(&mut self) {
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

    pub(super) fn accept(&mut self, key: &Arc<str>, claims: &Arc<KeptClaims<RoomClaims>>) {
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

    /// Those who have sent no token for a document that they have named.
    pub(super) fn end_late(&mut self, now: Instant) {
        if self.documents.is_lost(now) {
            // A client of an old version, which synchronises all of its documents when it connects again.
            return self.end(DocumentCloseReason::RateLimited);
        }
        self.documents
            .without_token(now)
            .iter()
            .for_each(|key| self.deny(key, DocumentCloseReason::NotAuthenticated.text()));
    }

    pub(super) fn apply_policy(&mut self) {
        if self.client.apply_policy() {
            self.recheck();
        }
    }

    /// Denies documents whose token is no longer accepted, and changes what may be done with the others.
    pub(super) fn recheck(&mut self) {
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
}

fn scope(access: DocumentAccess) -> Scope {
    match access {
        DocumentAccess::Read => Scope::Readonly,
        DocumentAccess::Write => Scope::ReadWrite,
    }
}
