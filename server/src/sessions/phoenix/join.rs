//! Joining: the checks in their documented order, and what follows a yes or a no
//! (docs/protocol/channels.md#join-checks).

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use hub::{Audience, Frame, Group, Member, Privacy, RoomKey, Space};
use serde_json::json;
use wire::phoenix::{self, FIELD_BYTES_MAX, Push, Ref, Status};
use wire::supabase::{JoinRequest, JoinToken, Private, TOPIC_PREFIX};

use super::joined::JoinedTopic;
use super::{PhoenixSession, reason};
use crate::auth::Claims;
use crate::node::LifecyclePhase;
use crate::telemetry::codes::{Code, Scope};
use crate::tenants::TenantStatus;

/// The answer to a join without database changes.
const NO_CHANGES: &str = r#"{"postgres_changes":[]}"#;

/// Why a join is refused: an operational code and a sentence (docs/protocol/channels.md#join-checks).
struct JoinError {
    code: Code,
    message: Cow<'static, str>,
}

impl JoinError {
    /// In the words that the code has everywhere.
    const fn of(code: Code) -> Self {
        Self::new(code, code.text())
    }

    const fn new(code: Code, message: &'static str) -> Self {
        Self { code, message: Cow::Borrowed(message) }
    }
}

const TENANT_NOT_FOUND: JoinError =
    JoinError::new(Code::TenantNotFound, "Tenant with the given ID does not exist");
const PAYLOAD_TOO_LARGE: JoinError = JoinError::new(Code::InvalidJoinPayload, "The payload is too large");
const PRIVATE_UNREADABLE: JoinError = JoinError::new(Code::InvalidJoinPayload, "`private` must be a boolean");
/// No tenant database is known to this server yet.
const NO_DATABASE: JoinError = JoinError::of(Code::UnableToConnectToProject);

/// Bytes of a join's payload: the longest token believed, and plenty beside it. Reading one is linear, but a
/// list of millions of empty subscriptions would take many times its size in memory.
const PAYLOAD_BYTES_MAX: usize = 256 * 1024;

/// The largest id upstream gives to a subscription; some clients read it as a 32-bit integer.
const SUBSCRIPTION_ID_BITS: u64 = 27;

impl PhoenixSession {
    /// A `phx_join`. An older join of the same topic ends first, whatever becomes of this one; its
    /// `phx_close` follows the answer (docs/protocol/channels.md#repeated-joins).
    pub(super) fn join(&mut self, push: &Push<'_>) {
        let topic = &*push.topic;
        let Some(sub_topic) = topic.strip_prefix(TOPIC_PREFIX) else {
            return self.unmatched(&push.reference, topic);
        };
        self.refusals.settle(&self.outbound, topic);
        let replaced = self.topics.remove(topic).map(|old| old.join_ref);
        if push.payload.len() > PAYLOAD_BYTES_MAX {
            return self.refuse(push, &PAYLOAD_TOO_LARGE, replaced);
        }
        let request = JoinRequest::parse(push.payload);
        if !request.problems.is_empty() {
            let report = self.report(Code::InvalidJoinPayload, Scope::Log);
            self.tenant.reports.record(report, request.problems.join("; "));
        }
        match self.admit(sub_topic, topic, &request) {
            Ok(claims) => self.enter(push, sub_topic, request, claims, replaced),
            Err(why) => self.refuse(push, &why, replaced),
        }
    }

    /// The checks of docs/protocol/channels.md#join-checks in their order. The error is the reason the client
    /// sees.
    fn admit(
        &mut self,
        sub_topic: &str,
        topic: &str,
        request: &JoinRequest,
    ) -> Result<Arc<Claims>, JoinError> {
        let (allowance, policy) = (&self.tenant.allowance, self.tenant.policy());
        if sub_topic.is_empty() {
            return Err(JoinError::of(Code::TopicNameRequired));
        }
        if topic.len() > FIELD_BYTES_MAX {
            return Err(JoinError::of(Code::TopicNameTooLong));
        }
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
        if self.user.is_none() && !self.tenant.has_room() {
            return Err(JoinError::of(Code::ConnectionRateLimitReached));
        }
        if !allowance.joins.take(1, Instant::now()) {
            return Err(JoinError::of(Code::ClientJoinRateLimitReached));
        }
        self.tenant.metrics.joins.increment(1);
        if self.topics.len() >= allowance.max_channels_per_client() {
            return Err(JoinError::of(Code::ChannelRateLimitReached));
        }
        let (verifier, now) = (&policy.verifier, SystemTime::now());
        let claims = match &request.token {
            JoinToken::FromHandshake => {
                verifier.recheck(&self.claims, now).map(|()| Arc::clone(&self.claims))
            }
            JoinToken::Own(token) => verifier.verify(token, now).map(Arc::new),
        };
        let claims =
            claims.map_err(|error| JoinError { code: error.code(), message: error.refresh_text().into() })?;
        match request.private {
            Private::Unreadable => Err(PRIVATE_UNREADABLE),
            Private::No if request.replay.is_some() => Err(JoinError::of(Code::UnableToReplayMessages)),
            Private::Yes => Err(NO_DATABASE),
            Private::No if !request.postgres_changes.is_empty() || request.replication_ready => {
                Err(NO_DATABASE)
            }
            Private::No => self.count_user().map(|()| claims),
        }
    }

    /// Counts this connection among the tenant's users, once.
    fn count_user(&mut self) -> Result<(), JoinError> {
        if self.user.is_none() {
            let user = self.tenant.acquire_user();
            // Between the first look and now others may have taken the last places.
            self.user = Some(user.ok_or(JoinError::of(Code::ConnectionRateLimitReached))?);
        }
        Ok(())
    }

    /// Makes the client a member. What follows the answer goes with it, because the answer may have to wait
    /// until the messages of other nodes reach the room.
    fn enter(
        &mut self,
        push: &Push<'_>,
        sub_topic: &str,
        request: JoinRequest,
        claims: Arc<Claims>,
        replaced: Option<Ref<'_>>,
    ) {
        let topic = &*push.topic;
        let legacy = request.legacy.then(|| legacy_subscription(sub_topic));
        let response = match &legacy {
            Some(entry) => json!({ "postgres_changes": [entry] }).to_string(),
            None => NO_CHANGES.into(),
        };
        let key = RoomKey {
            tenant: Arc::clone(&self.tenant.id),
            space: Space::Phoenix,
            privacy: Privacy::Public,
            topic: sub_topic.into(),
        };
        let (outbox, dialect) = (Arc::clone(&self.outbound.outbox), self.outbound.dialect);
        let member = Member { outbox, dialect, group: Group::DEFAULT };
        let mut answer =
            vec![self.outbound.reply_frame(&push.join_ref, &push.reference, topic, Status::Ok, &response)];
        if let Some(entry) = &legacy {
            let message = unable_to_subscribe(entry);
            let system = self.outbound.system_frame(
                &push.join_ref,
                topic,
                "postgres_changes",
                Status::Error,
                &message,
            );
            answer.push(system);
        }
        answer.extend(replaced.map(|old| phoenix::closed(self.outbound.dialect, old.as_json(), topic)));
        let mut joined = JoinedTopic {
            join_ref: push.join_ref.clone().into_owned(),
            membership: self.services.node.hub.join(key, member, &Frame::concat(&answer)),
            claims,
            ack: request.ack,
            audience: if request.self_broadcast { Audience::Everyone } else { Audience::Others },
            presence_key: request.presence_key.map(String::into_boxed_str),
            tracker: None,
            noticed: Vec::new(),
        };
        if request.presence_enabled || self.tenant.policy().presence_enabled() {
            joined.enable_presence();
        }
        let deadline = self.recheck_deadline(&joined.claims);
        self.topics.insert(topic.into(), Box::new(joined));
        self.look_by(Some(deadline));
        self.watch_rooms();
    }

    /// Answers a refused join, after a pause if the settings want one.
    fn refuse(&mut self, push: &Push<'_>, why: &JoinError, replaced: Option<Ref<'_>>) {
        let topic = &*push.topic;
        let JoinError { code, message } = why;
        self.tenant.reports.record(self.report(*code, Scope::Join), message);
        let response = reason(&format!("{code}: {message}"));
        let mut frames =
            vec![self.outbound.reply_frame(&push.join_ref, &push.reference, topic, Status::Error, &response)];
        frames.extend(replaced.map(|old| phoenix::closed(self.outbound.dialect, old.as_json(), topic)));
        let pause = self.services.node.settings().server.channel_error_backoff;
        if pause.is_zero() {
            frames.iter().for_each(|frame| self.outbound.answer(frame));
        } else {
            let bound = self.tenant.allowance.max_channels_per_client();
            self.refusals.put(&self.outbound, Instant::now() + pause, topic, frames, bound);
            self.look_by(self.refusals.deadline());
        }
        self.watch_rooms();
    }
}

/// What a join without `config` subscribes to: its topic names schema, table and filter
/// (docs/protocol/channels.md#legacy-joins).
fn legacy_subscription(sub_topic: &str) -> serde_json::Value {
    let mut entry = serde_json::Map::new();
    for (name, part) in ["schema", "table", "filter"].into_iter().zip(sub_topic.splitn(3, ':')) {
        entry.insert(name.into(), part.into());
    }
    let mut hasher = DefaultHasher::new();
    sub_topic.hash(&mut hasher);
    entry.insert("id".into(), (hasher.finish() % (1 << SUBSCRIPTION_ID_BITS)).into());
    entry.into()
}

/// The documented text for changes that cannot be had (docs/protocol/channels.md#legacy-joins).
fn unable_to_subscribe(entry: &serde_json::Value) -> String {
    let part = |name: &str| entry[name].as_str().unwrap_or("*").to_owned();
    format!(
        "Unable to subscribe to changes with given parameters. Please check Realtime is enabled for the given \
         connect parameters: [event: *, schema: {}, table: {}, filters: [], select: nil]",
        part("schema"),
        part("table"),
    )
}
