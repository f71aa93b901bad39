//! Joins: the checks in their documented order, the authorization, and the answer
//! (docs/protocol/channels.md#join-checks).

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use hub::{Audience, Frame, Group, Member, MemoryCharge, Privacy, RoomKey, Space};
use serde_json::json;
use wire::phoenix::{self, FIELD_BYTES_MAX, Push, Ref, Status};
use wire::supabase::{JoinRequest, JoinToken, Private, TOPIC_PREFIX};

use super::joined::JoinedTopic;
use super::tokens::{self, TokenRefusal};
use super::{PhoenixSession, error_response, legacy};
use crate::auth::{AuthorizationError, Decision, TokenError};
use crate::node::LifecyclePhase;
use crate::sessions::KeptClaims;
use crate::sessions::kept_claims::try_charge;
use crate::telemetry::codes::{Code, Scope};
use crate::tenants::{Policy, TenantStatus};

/// The response to a join without database changes.
const NO_CHANGES: &str = r#"{"postgres_changes":[]}"#;

/// Bytes of a join's payload: the longest token accepted, and plenty beside it. Reading a payload takes linear time,
/// but a list of millions of empty subscriptions would take many times its size in memory.
const PAYLOAD_BYTES_MAX: usize = 256 * 1024;

/// Bytes that a joined channel takes beside its texts: the membership, the room and its entries in maps, and a tracker.
const JOINED_BYTES: usize = 1024;

/// What the answer to a join needs of its message.
pub(super) struct JoinMessage<'a> {
    pub(super) join_ref: Ref<'a>,
    reference: Ref<'a>,
    /// The full topic.
    pub(super) topic: Cow<'a, str>,
    /// The `join_ref` of the join that this one replaces. Its `phx_close` follows the answer.
    pub(super) replaced: Option<Ref<'static>>,
}

/// A join that has passed all checks but the authorization.
pub(super) struct Join<'a> {
    pub(super) message: JoinMessage<'a>,
    room: RoomKey,
    request: JoinRequest,
    claims: Arc<KeptClaims>,
    /// For what is kept once it is accepted.
    charge: MemoryCharge,
}

/// Why a join is refused: an operational code and a sentence (docs/protocol/channels.md#join-checks).
struct JoinError {
    code: Code,
    text: Cow<'static, str>,
}

const TENANT_NOT_FOUND: JoinError =
    JoinError::new(Code::TenantNotFound, "Tenant with the given ID does not exist");
const OUT_OF_MEMORY: JoinError = JoinError::new(Code::MemoryLimitReached, tokens::OUT_OF_MEMORY);
const PAYLOAD_TOO_LARGE: JoinError = JoinError::new(Code::InvalidJoinPayload, "The payload is too large");
const PRIVATE_UNREADABLE: JoinError = JoinError::new(Code::InvalidJoinPayload, "`private` must be a boolean");

impl JoinError {
    /// An error with the code's own text.
    const fn of(code: Code) -> Self {
        Self::new(code, code.text())
    }

    const fn new(code: Code, text: &'static str) -> Self {
        Self { code, text: Cow::Borrowed(text) }
    }
}

impl From<AuthorizationError> for JoinError {
    fn from(error: AuthorizationError) -> Self {
        Self { code: error.code, text: error.text }
    }
}

impl From<TokenError> for JoinError {
    fn from(error: TokenError) -> Self {
        Self { code: error.code(), text: error.refresh_text().into() }
    }
}

impl From<TokenRefusal> for JoinError {
    fn from(refusal: TokenRefusal) -> Self {
        match refusal {
            TokenRefusal::OverRate(code) => Self::of(code),
            TokenRefusal::OutOfMemory => OUT_OF_MEMORY,
            TokenRefusal::Token(error) => error.into(),
        }
    }
}

impl JoinMessage<'_> {
    fn into_owned(self) -> JoinMessage<'static> {
        JoinMessage {
            join_ref: self.join_ref.into_owned(),
            reference: self.reference.into_owned(),
            topic: Cow::Owned(self.topic.into_owned()),
            replaced: self.replaced,
        }
    }
}

impl Join<'_> {
    /// The same join, independent of the frame it came in.
    pub(super) fn into_owned(self) -> Join<'static> {
        let Self { message, room, request, claims, charge } = self;
        Join { message: message.into_owned(), room, request, claims, charge }
    }
}

impl PhoenixSession {
    /// A `phx_join`. An older join of the same topic ends first, whether or not this one succeeds; its `phx_close`
    /// follows the answer (docs/protocol/channels.md#repeated-joins).
    pub(super) fn join(&mut self, push: &Push<'_>) {
        let topic = &*push.topic;
        let Some(sub_topic) = topic.strip_prefix(TOPIC_PREFIX) else {
            return self.unmatched(&push.reference, topic);
        };
        self.delayed_replies.send_for(&self.outbound, topic);
        let joined = self.topics.remove(topic).map(|old| old.join_ref);
        let message = JoinMessage {
            join_ref: push.join_ref.clone(),
            reference: push.reference.clone(),
            topic: Cow::Borrowed(topic),
            replaced: joined.or_else(|| self.cancel_join(topic)),
        };
        if push.payload.len() > PAYLOAD_BYTES_MAX {
            return self.refuse(&message, &PAYLOAD_TOO_LARGE);
        }
        let request = JoinRequest::parse(push.payload);
        if !request.problems.is_empty() {
            let report = self.report(Code::InvalidJoinPayload, Scope::Log);
            self.tenant.reports.record(report, request.problems.join("; "));
        }
        let checked = self.check_join(sub_topic, topic, &request);
        let (claims, charge) =
            match checked.and_then(|claims| Ok((claims, self.charge_join(push, &request)?))) {
                Ok(accepted) => accepted,
                Err(error) => return self.refuse(&message, &error),
            };
        let room = RoomKey {
            tenant: Arc::clone(&self.tenant.id),
            space: Space::Phoenix,
            privacy: if request.private == Private::No { Privacy::Public } else { Privacy::Private },
            topic: sub_topic.into(),
        };
        let decision = self.services.authorizer.authorize_join(&room, claims.shared());
        let join = Join { message, room, request, claims, charge };
        match decision {
            Decision::Immediate(result) => self.answer_join(join, result),
            Decision::Pending(work) => self.await_authorization(join, work),
        }
    }

    /// The checks of docs/protocol/channels.md#join-checks in their order, up to the authorization. The error is the
    /// reason that the client receives.
    fn check_join(
        &self,
        sub_topic: &str,
        topic: &str,
        request: &JoinRequest,
    ) -> Result<Arc<KeptClaims>, JoinError> {
        let (allowance, policy) = (&self.tenant.allowance, self.tenant.policy());
        if sub_topic.is_empty() {
            return Err(JoinError::of(Code::TopicNameRequired));
        }
        if topic.len() > FIELD_BYTES_MAX {
            return Err(JoinError::of(Code::TopicNameTooLong));
        }
        self.check_availability(&policy, request)?;
        if self.user.is_none() && !self.tenant.has_room() {
            return Err(JoinError::of(Code::ConnectionRateLimitReached));
        }
        // Before the token is verified, which costs more; counted after that, so that others cannot use up the rate.
        if !allowance.joins.has_any(Instant::now()) {
            return Err(JoinError::of(Code::ClientJoinRateLimitReached));
        }
        let claims = self.verify_join(&policy, &request.token)?;
        if !allowance.joins.take(1, Instant::now()) {
            return Err(JoinError::of(Code::ClientJoinRateLimitReached));
        }
        self.tenant.metrics.joins.increment(1);
        if self.topics.len() + self.joining_topics() >= allowance.max_channels_per_client() {
            return Err(JoinError::of(Code::ChannelRateLimitReached));
        }
        match request.private {
            Private::Unreadable => Err(PRIVATE_UNREADABLE),
            _ if self.has_long_key(request) => Err(JoinError::of(Code::PresenceKeySizeExceeded)),
            Private::No if request.replay.is_some() => Err(JoinError::of(Code::UnableToReplayMessages)),
            _ if needs_database(request) => Err(JoinError::of(Code::UnableToConnectToProject)),
            _ => Ok(claims),
        }
    }

    /// Charges what a join will keep, as long as it keeps it.
    fn charge_join(&self, push: &Push<'_>, request: &JoinRequest) -> Result<MemoryCharge, JoinError> {
        let key = request.presence_key.as_ref().map_or(0, String::len);
        // The topic is kept for the session and for the room.
        let bytes = JOINED_BYTES + 2 * push.topic.len() + push.join_ref.as_json().len() + key;
        try_charge(&self.tenant.memory, bytes).ok_or(OUT_OF_MEMORY)
    }

    /// The claims that a join acts with.
    fn verify_join(&self, policy: &Policy, token: &JoinToken) -> Result<Arc<KeptClaims>, JoinError> {
        match token {
            JoinToken::FromHandshake => {
                policy.verifier.recheck(&self.claims, SystemTime::now())?;
                Ok(Arc::clone(&self.claims))
            }
            JoinToken::Own(token) => Ok(self.verify_token(policy, token)?),
        }
    }

    /// Whether the presence key is longer than the settings allow.
    fn has_long_key(&self, request: &JoinRequest) -> bool {
        let bytes_max = self.services.node.settings().presence.max_key_bytes.as_u64();
        request.presence_key.as_ref().is_some_and(|key| key.len() as u64 > bytes_max)
    }

    /// Whether the server and the tenant accept such joins now.
    fn check_availability(&self, policy: &Policy, request: &JoinRequest) -> Result<(), JoinError> {
        if self.services.node.lifecycle.has_reached(LifecyclePhase::Draining) {
            return Err(JoinError::of(Code::RealtimeRestarting));
        }
        match policy.status {
            TenantStatus::Open => {}
            TenantStatus::Suspended => return Err(JoinError::of(Code::RealtimeDisabledForTenant)),
            TenantStatus::Removed => return Err(TENANT_NOT_FOUND),
        }
        if policy.private_only() && request.private == Private::No {
            return Err(JoinError::of(Code::PrivateOnly));
        }
        Ok(())
    }

    /// Answers a join whose authorization was pending. What has changed during the wait is checked again.
    pub(super) fn answer_waiting_join(&mut self, join: Join<'_>, result: Result<(), AuthorizationError>) {
        let policy = self.tenant.policy();
        let accepted = result
            .map_err(JoinError::from)
            .and_then(|()| self.check_availability(&policy, &join.request))
            .and_then(|()| Ok(policy.verifier.recheck(&join.claims, SystemTime::now())?));
        match accepted {
            Ok(()) => self.answer_join(join, Ok(())),
            Err(error) => self.refuse(&join.message, &error),
        }
    }

    fn answer_join(&mut self, join: Join<'_>, authorized: Result<(), AuthorizationError>) {
        match authorized.map_err(JoinError::from).and_then(|()| self.count_user()) {
            Ok(()) => self.enter(join),
            Err(error) => self.refuse(&join.message, &error),
        }
    }

    /// Counts this connection among the tenant's users, once.
    fn count_user(&mut self) -> Result<(), JoinError> {
        if self.user.is_none() {
            let user = self.tenant.acquire_user();
            // Other connections may have taken the last permits since the first check.
            self.user = Some(user.ok_or(JoinError::of(Code::ConnectionRateLimitReached))?);
        }
        Ok(())
    }

    /// Makes the client a member. The messages that follow the reply are part of its frame, because the reply may have
    /// to wait until the room receives the messages of other nodes.
    fn enter(&mut self, join: Join<'_>) {
        let Join { message, room, request, claims, charge } = join;
        let JoinMessage { join_ref, reference, topic, replaced } = message;
        let subscription = request.legacy.then(|| legacy::subscription(&room.topic));
        let response = match &subscription {
            Some(entry) => json!({ "postgres_changes": [entry] }).to_string(),
            None => NO_CHANGES.into(),
        };
        let outbound = &self.outbound;
        let member =
            Member { outbox: Arc::clone(&outbound.outbox), dialect: outbound.dialect, group: Group::DEFAULT };
        let mut frames = vec![outbound.reply_frame(&join_ref, &reference, &topic, Status::Ok, &response)];
        if let Some(entry) = &subscription {
            let text = legacy::unable_to_subscribe(entry);
            frames.push(outbound.system_frame(&join_ref, &topic, "postgres_changes", Status::Error, &text));
        }
        frames.extend(replaced.map(|old| phoenix::closed(outbound.dialect, old.as_json(), &topic)));
        let mut joined = JoinedTopic {
            join_ref: join_ref.into_owned(),
            privacy: room.privacy,
            membership: self.services.node.hub.join(room, member, &Frame::concat(&frames)),
            claims,
            ack: request.ack,
            audience: if request.self_broadcast { Audience::Everyone } else { Audience::Others },
            presence_key: request.presence_key.map(String::into_boxed_str),
            tracker: None,
            noticed: Vec::new(),
            _charge: charge,
        };
        if request.presence_enabled || self.tenant.policy().presence_enabled() {
            joined.enable_presence(self.tracked_bytes.get_or_insert_default());
        }
        let deadline = self.recheck_deadline(&joined.claims);
        self.topics.insert(topic.into_owned().into_boxed_str(), Box::new(joined));
        self.tick_by(Some(deadline));
        self.watch_rooms();
    }

    /// Answers a refused join, after a pause if the settings have one.
    fn refuse(&mut self, message: &JoinMessage<'_>, error: &JoinError) {
        let JoinMessage { join_ref, reference, topic, replaced } = message;
        let JoinError { code, text } = error;
        self.tenant.reports.record(self.report(*code, Scope::Join), text);
        let (outbound, response) = (&self.outbound, error_response(&format!("{code}: {text}")));
        let mut frames = vec![outbound.reply_frame(join_ref, reference, topic, Status::Error, &response)];
        frames.extend(replaced.as_ref().map(|old| phoenix::closed(outbound.dialect, old.as_json(), topic)));
        let pause = self.services.node.settings().server.channel_error_backoff;
        if pause.is_zero() {
            frames.iter().for_each(|frame| outbound.send(frame));
        } else {
            let max = self.tenant.allowance.max_channels_per_client();
            self.delayed_replies.delay(outbound, Instant::now() + pause, topic, frames, max);
            self.tick_by(self.delayed_replies.deadline());
        }
        self.watch_rooms();
    }
}

/// Whether a join asks for something that only the tenant's database has. No tenant has one yet.
fn needs_database(request: &JoinRequest) -> bool {
    request.replay.is_some() || !request.postgres_changes.is_empty() || request.replication_ready
}
