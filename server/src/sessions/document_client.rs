//! What the sessions of both document protocols have in common: who the client is, and what it may do with which document.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use hub::{Dialect, Frame, Outbox};
use percent_encoding::percent_decode_str;
use wire::yjs::{AwarenessUpdate, DocumentUpdate, StateVector, SyncMessage, YjsError};

use super::{ClientContext, KeptClaims, Services};
use crate::auth::{DocumentAccess, RoomClaims, TokenError};
use crate::close_reason::{CloseReason, DocumentCloseReason};
use crate::documents::{
    DEFAULT_DOCUMENT, DocumentLimits, HocuspocusMember, MemberMessage, OpenDocument, OpenRequest,
};
use crate::telemetry::codes::{Code, Scope};
use crate::telemetry::request_context::RequestContext;
use crate::tenants::{SocketRegistration, Tenant};

/// A client hears something at least so often: those of y-websocket and Hocuspocus give up a connection that was silent for 30 s, and
/// do not count WebSocket pings (docs/protocol/documents.md#liveness).
pub(super) const SILENCE_MAX: Duration = Duration::from_secs(15);

/// A token is checked again at least this often, however late it expires: the clock may be set meanwhile.
const RECHECK: Duration = Duration::from_secs(300);

/// The connection of a client of documents.
pub(super) struct DocumentClient {
    pub(super) services: Arc<Services>,
    pub(super) tenant: Arc<Tenant>,
    pub(super) outbox: Arc<Outbox>,
    dialect: Dialect,
    pub(super) context: Arc<RequestContext>,
    /// The generation of the tenant's policy under which the handshake was accepted.
    accepted_generation: u64,
    /// The generation of the policy that was applied last.
    applied_generation: u64,
    _registration: SocketRegistration,
}

/// Clients of which one update has changes. yrs takes time in the square of those that depend on each other: half a second for
/// these.
const CLIENTS_MAX: usize = 10_000;

/// Bytes of a question of a y-sweet client, which it is sent back: a counter.
const QUESTION_BYTES_MAX: usize = 64;

/// Subdocuments in one update. yrs takes a hundred times the bytes of each in memory.
const SUBDOCUMENTS_MAX: usize = 1_000;

/// The user of a token, for the log of the document. A text of a database has no NUL.
fn user(sub: &str) -> Option<Arc<str>> {
    (!sub.contains('\0')).then(|| sub.into())
}

/// A document in a room, as a client names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct DocumentAddress {
    pub(super) room: Box<str>,
    pub(super) doc: Box<str>,
}

/// Bytes of the name of a room, and of a document.
const NAME_BYTES_MAX: usize = 256;

impl DocumentAddress {
    /// What is named by a room and a document, if both are names.
    pub(super) fn new(room: &str, doc: Option<&str>) -> Option<Self> {
        let is_name =
            |name: &str| (1..=NAME_BYTES_MAX).contains(&name.len()) && !name.chars().any(char::is_control);
        let doc = doc.filter(|doc| !doc.is_empty()).unwrap_or(DEFAULT_DOCUMENT);
        // A room with a slash and another one with the rest of it would be one.
        (is_name(room) && is_name(doc) && !room.contains('/'))
            .then(|| Self { room: room.into(), doc: doc.into() })
    }

    /// What is named by `room` or `room/doc` in a path.
    pub(super) fn decode(path: &str) -> Option<Self> {
        Self::parse(&percent_decode_str(path).decode_utf8().ok()?)
    }

    /// What is named by `room` or `room/doc`.
    pub(super) fn parse(name: &str) -> Option<Self> {
        match name.split_once('/') {
            Some((room, doc)) => Self::new(room, Some(doc)),
            None => Self::new(name, None),
        }
    }
}

/// Why a message of a client is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum MessageRefusal {
    /// It cannot be read.
    #[error(transparent)]
    Malformed(#[from] YjsError),
    /// An update is larger than permitted.
    #[error("the update is too large")]
    TooLarge,
    /// Servers send it, and no client does.
    #[error("this is no message of a client")]
    NotOfAClient,
}

impl MessageRefusal {
    /// Why the connection ends.
    pub(super) fn close_reason(self) -> DocumentCloseReason {
        match self {
            Self::Malformed(_) | Self::NotOfAClient => DocumentCloseReason::Invalid,
            Self::TooLarge => DocumentCloseReason::TooLarge,
        }
    }
}

impl DocumentClient {
    pub(super) fn new(services: Arc<Services>, client: ClientContext) -> Self {
        let ClientContext { tenant, generation, outbox, dialect, context, registration, .. } = client;
        Self {
            services,
            tenant,
            outbox,
            dialect,
            context,
            accepted_generation: generation,
            applied_generation: generation,
            _registration: registration,
        }
    }

    /// What the holder of a token may do with a document.
    pub(super) fn access(&self, claims: &RoomClaims, address: &DocumentAddress) -> Option<DocumentAccess> {
        claims.document_access(&address.room, &address.doc, &self.tenant.policy().document_rules())
    }

    /// Opens a document. `reply` is the first frame that the client is sent for it.
    pub(super) fn open(
        &self,
        address: &DocumentAddress,
        hocuspocus: Option<HocuspocusMember>,
        (claims, access): (&RoomClaims, DocumentAccess),
        reply: &Frame,
    ) -> OpenDocument {
        let request = OpenRequest {
            tenant: &self.tenant,
            room: &address.room,
            doc: &address.doc,
            outbox: &self.outbox,
            dialect: self.dialect,
            hocuspocus,
            access,
            user: user(&claims.sub),
        };
        self.services.documents.open(&request, reply)
    }

    /// Reads a part of the synchronisation.
    pub(super) fn sync(&self, message: SyncMessage<'_>) -> Result<MemberMessage, MessageRefusal> {
        let max = DocumentLimits::of(&self.services.node, &self.tenant).update;
        let checked = |update: &[u8]| {
            if update.len() > max {
                return Err(MessageRefusal::TooLarge);
            }
            let decoded = DocumentUpdate::decode(update)?;
            if decoded.sections().len() > CLIENTS_MAX || decoded.subdocuments() > SUBDOCUMENTS_MAX {
                return Err(MessageRefusal::TooLarge);
            }
            Ok(Box::from(update))
        };
        Ok(match message {
            SyncMessage::Step1(state_vector) => {
                StateVector::decode(state_vector)?;
                MemberMessage::Lacks(state_vector.into())
            }
            SyncMessage::Step2(update) => MemberMessage::Answer { update: checked(update)?, sent: 0 },
            SyncMessage::Update(update) => MemberMessage::Update(checked(update)?),
        })
    }

    /// Reads the question whether everything before it is stored.
    pub(super) fn question(payload: &[u8]) -> Result<MemberMessage, MessageRefusal> {
        if payload.len() > QUESTION_BYTES_MAX {
            return Err(MessageRefusal::TooLarge);
        }
        Ok(MemberMessage::Confirm(payload.into()))
    }

    /// Reads states of clients.
    pub(super) fn awareness(&self, update: &[u8]) -> Result<MemberMessage, MessageRefusal> {
        AwarenessUpdate::decode(update)?;
        Ok(MemberMessage::Awareness(update.into()))
    }

    /// Applies the tenant's policy if it has changed. Returns whether tokens and rights have to be looked at again.
    pub(super) fn apply_policy(&mut self) -> bool {
        let policy = self.tenant.policy();
        if policy.generation == self.applied_generation {
            return false;
        }
        self.applied_generation = policy.generation;
        if let Some(disconnect) = policy.disconnect(self.accepted_generation) {
            self.outbox.disconnect(disconnect.clone());
        }
        true
    }

    /// Keeps the claims of a token for one document; `None` if there is no memory.
    pub(super) fn keep(&self, claims: RoomClaims) -> Option<Arc<KeptClaims<RoomClaims>>> {
        KeptClaims::of_channel(claims, &self.tenant.policy(), &self.tenant.memory)
    }

    /// Whether a token that was accepted is so still.
    pub(super) fn recheck(&self, claims: &RoomClaims) -> Result<(), TokenError> {
        self.tenant.policy().verifier.recheck(claims, SystemTime::now())
    }

    /// When a token has to be looked at again.
    pub(super) fn recheck_at(&self, claims: &KeptClaims<RoomClaims>) -> Instant {
        let left = self.tenant.policy().verifier.time_left(&**claims, SystemTime::now());
        Instant::now() + left.min(RECHECK)
    }

    /// Counts and reports a message that is not accepted.
    pub(super) fn refused(&self, error: impl std::fmt::Display) {
        self.tenant.metrics.malformed.increment(1);
        self.report(Code::MalformedWebSocketMessage, error);
    }

    /// Counts and reports a message that is not accepted, for the reason that it has.
    pub(super) fn refused_message(&self, refusal: MessageRefusal) {
        match refusal {
            MessageRefusal::TooLarge => self.report(Code::DocumentUpdateSizeExceeded, refusal),
            MessageRefusal::Malformed(_) | MessageRefusal::NotOfAClient => self.refused(refusal),
        }
    }

    /// Counts and reports why the connection is about to end.
    pub(super) fn broken(&self, why: CloseReason) {
        let code = match why {
            CloseReason::OutOfMemory => Code::MemoryLimitReached,
            CloseReason::MessageTooLarge { .. } => Code::MessageSizeExceeded,
            _ => return self.refused(why.text()),
        };
        self.report(code, why.text());
    }

    /// Reports a code of this client.
    pub(super) fn report(&self, code: Code, error: impl std::fmt::Display) {
        self.tenant.reports.record(code.at(Scope::Log).from(&self.context), error);
    }

    /// Counts what TCP has received and sent.
    pub(super) fn count(&self, received: u64, sent: u64) {
        if received > 0 {
            self.tenant.metrics.input_bytes.increment(received);
        }
        if sent > 0 {
            self.tenant.metrics.output_bytes.increment(sent);
        }
    }
}
