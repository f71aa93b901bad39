//! One document that a connection has named: whether it is open, what is kept for it, and what the client waits for.
//!
//! A client counts what it has sent until that is answered. When messages of it were ignored, because the document was overloaded or
//! denied, it is asked for everything that it has more, and the answer acknowledges all that it counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::task::Id;

use super::held::EarlyMessage;
use crate::auth::RoomClaims;
use crate::documents::{HocuspocusMember, MemberMessage, OpenDocument};
use crate::sessions::KeptClaims;
use crate::sessions::completions::PendingTask;
use crate::sessions::document_client::DocumentAddress;

/// A document that a connection has named.
pub(super) struct AttachedDocument {
    pub(super) address: DocumentAddress,
    /// `None` until a token was accepted.
    document: Option<OpenDocument>,
    claims: Option<Arc<KeptClaims<RoomClaims>>>,
    /// The token that is being verified.
    authentication: Option<PendingTask>,
    /// Until when a token is waited for, if none was sent.
    token_by: Option<Instant>,
    /// How many messages the client has sent that it counts until they are answered.
    sent: u64,
    /// How many of these were answered.
    answered: Arc<AtomicU64>,
    /// Whether messages are ignored until a token is sent, or accepted if the document is open.
    is_detached: bool,
    /// Whether messages were ignored, so that the client is to be asked for what it has more.
    has_missed: bool,
    held: Vec<EarlyMessage>,
}

/// What became of a message for a document.
pub(super) enum Handed {
    /// The document has it.
    Over,
    /// It is to be kept until a token is accepted.
    Back(MemberMessage),
    /// It was lost, because the document is overloaded. What the client asked is to be kept.
    Lost(Option<MemberMessage>),
}

/// How long a client may take to send a token that it was asked for. Those before 3.3 do not know the question.
const TOKEN_WAIT: Duration = Duration::from_secs(5);

/// More messages than this are not counted as unanswered, because all of them are answered at once.
const UNANSWERED_MAX: u64 = 10_000;

impl AttachedDocument {
    pub(super) fn new(address: DocumentAddress) -> Self {
        Self {
            address,
            document: None,
            claims: None,
            authentication: None,
            token_by: None,
            sent: 0,
            answered: Arc::default(),
            is_detached: false,
            has_missed: false,
            held: Vec::new(),
        }
    }

    /// It as a member of its document.
    pub(super) fn member(&self, key: &Arc<str>) -> HocuspocusMember {
        HocuspocusMember::new(Arc::clone(key), Arc::clone(&self.answered))
    }

    /// A token was accepted, by which the document is open. The client is asked for what it has more, if messages were ignored and
    /// no question of its own is going to be answered.
    pub(super) fn accept(&mut self, claims: &Arc<KeptClaims<RoomClaims>>, opened: Option<OpenDocument>) {
        self.claims = Some(Arc::clone(claims));
        self.document = opened.or_else(|| self.document.take());
        self.authentication = None;
        self.token_by = None;
        self.is_detached = false;
        if std::mem::take(&mut self.has_missed) && !self.is_asking() {
            self.document.iter().for_each(OpenDocument::ask);
        }
    }

    /// The client speaks of it before it has sent a token.
    pub(super) fn await_token(&mut self) {
        self.token_by = Some(Instant::now() + TOKEN_WAIT);
    }

    /// Hands a message to the document.
    pub(super) fn hand_over(&mut self, message: MemberMessage) -> Handed {
        let Some(document) = self.document.as_ref().filter(|_| !self.is_detached) else {
            return Handed::Back(message);
        };
        let question = match &message {
            MemberMessage::Lacks(state_vector) => Some(MemberMessage::Lacks(state_vector.clone())),
            _ => None,
        };
        if document.message(message).is_ok() {
            return Handed::Over;
        }
        self.lose();
        Handed::Lost(question)
    }

    /// Keeps a message until a token is accepted. The last question of the client is answered, and no other.
    pub(super) fn hold(&mut self, message: EarlyMessage) {
        if message.is_question() {
            self.held.retain(|held| !held.is_question());
        }
        self.held.push(message);
    }

    /// What is kept.
    pub(super) fn held(&self) -> &[EarlyMessage] {
        &self.held
    }

    /// Takes what is kept.
    pub(super) fn take_held(&mut self) -> Vec<EarlyMessage> {
        std::mem::take(&mut self.held)
    }

    /// Whether the client waits for an answer.
    fn is_asking(&self) -> bool {
        self.held.iter().any(EarlyMessage::is_question)
    }

    /// A message was lost: all are ignored until a token is accepted.
    fn lose(&mut self) {
        self.is_detached = true;
        self.has_missed = true;
        self.await_token();
    }

    /// The document is not for the client. A later token for it is a fresh attempt, as is one that is being verified.
    pub(super) fn deny(&mut self) {
        self.document = None;
        self.claims = None;
        self.token_by = None;
        self.is_detached = true;
        self.has_missed = true;
        self.held.retain(EarlyMessage::is_question);
    }

    /// A token is being verified. What the client sends after it is kept; what is open goes on as it is.
    pub(super) fn begin(&mut self, task: PendingTask) {
        self.authentication = Some(task);
        self.token_by = None;
        self.is_detached &= self.document.is_some();
    }

    /// Whether a task verifies the newest token for it.
    pub(super) fn is_verified_by(&self, task: Id) -> bool {
        self.authentication.as_ref().is_some_and(|authentication| authentication.id() == task)
    }

    /// Until when a token is waited for.
    pub(super) fn token_by(&self) -> Option<Instant> {
        self.token_by
    }

    /// Whether messages were lost, and the token that was asked for has not come in time.
    pub(super) fn is_lost(&self, now: Instant) -> bool {
        self.is_late(now) && self.document.is_some()
    }

    /// Whether the client still waits for an answer, as far as is known. It need not if it has left: clients before 3 send something
    /// after that.
    pub(super) fn is_awaited(&self, now: Instant) -> bool {
        !self.is_late(now) || self.is_asking()
    }

    /// Whether a token is waited for that has not come in time.
    pub(super) fn is_late(&self, now: Instant) -> bool {
        self.token_by.is_some_and(|by| now >= by)
    }

    /// Whether it was denied, and no token has come since.
    pub(super) fn is_denied(&self) -> bool {
        self.is_detached && self.document.is_none()
    }

    /// Counts a message as the client does. Returns it if it is not ignored.
    pub(super) fn count(&mut self, mut message: MemberMessage) -> Option<MemberMessage> {
        match &mut message {
            MemberMessage::Lacks(_) | MemberMessage::Update(_) => {
                let unanswered = self.sent.saturating_sub(self.answered.load(Ordering::Relaxed));
                self.sent += u64::from(unanswered < UNANSWERED_MAX);
            }
            MemberMessage::Answer { sent, .. } => *sent = self.sent,
            _ => {}
        }
        // What the client asks is answered once a token is accepted: it does not ask again.
        (!self.is_detached || matches!(message, MemberMessage::Lacks(_))).then_some(message)
    }

    /// The document with the claims by which it was opened, if it is.
    pub(super) fn open(&self) -> Option<(&OpenDocument, &Arc<KeptClaims<RoomClaims>>)> {
        self.document.as_ref().zip(self.claims.as_ref())
    }

    /// Ends the use of a document that has ended it from its side. The client knows.
    pub(super) fn end_failed(&mut self) {
        if self.document.as_ref().is_some_and(OpenDocument::is_failed) {
            self.deny();
        }
    }
}
