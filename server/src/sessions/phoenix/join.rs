//! Joins: their authorization after the checks, and the answer (docs/protocol/channels.md#join-checks).

mod changes;
mod checks;
mod error;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use hub::{Audience, Frame, MemoryCharge, Privacy, Replayed, RoomKey, Space};
use wire::phoenix::{self, Push, Ref, Status};
use wire::supabase::changes::binding_of_topic;
use wire::supabase::{JoinRequest, Private, Replay, ReplayRequest, TOPIC_PREFIX};

use self::error::{JoinError, OUT_OF_MEMORY, PAYLOAD_TOO_LARGE, REPLAY_INVALID};
use super::bindings::Bindings;
use super::early_member::EarlyMember;
use super::joined::JoinedTopic;
use super::policy_changes::GAP;
use super::replayed::ReplayedMessages;
use super::{PhoenixSession, error_response};
use crate::auth::{Authorized, Decision, Freshness, Question, Rights};
use crate::broadcast::replay::ReplayError;
use crate::changes::ChangeSubscription;
use crate::sessions::KeptClaims;
use crate::telemetry::codes::{Code, Scope};
use crate::telemetry::metrics::Answered;
use crate::telemetry::traces::{SpanName, TENANT, TOPIC, TraceSpan};
use crate::tenants::NO_DATABASE_REASON;

/// Bytes of a join's payload: the longest token accepted, and plenty beside it. Reading a payload takes linear time,
/// but a list of millions of empty subscriptions would take many times its size in memory.
const PAYLOAD_BYTES_MAX: usize = 256 * 1024;

/// What the answer to a join needs of its message.
pub(super) struct JoinMessage<'a> {
    pub(super) join_ref: Ref<'a>,
    reference: Ref<'a>,
    /// The full topic.
    pub(super) topic: Cow<'a, str>,
    /// The `join_ref` of the join that this one replaces. Its `phx_close` follows the answer.
    pub(super) replaced: Option<Ref<'static>>,
    /// When it was received.
    received: Instant,
    /// Ends with the answer.
    span: TraceSpan,
}

/// A join that has passed all checks but the authorization.
pub(super) struct Join<'a> {
    pub(super) message: JoinMessage<'a>,
    pub(super) room: RoomKey,
    request: JoinRequest,
    claims: Arc<KeptClaims>,
    /// For what is kept once it is accepted.
    charge: MemoryCharge,
}

impl JoinMessage<'_> {
    fn into_owned(self) -> JoinMessage<'static> {
        JoinMessage {
            join_ref: self.join_ref.into_owned(),
            reference: self.reference.into_owned(),
            topic: Cow::Owned(self.topic.into_owned()),
            replaced: self.replaced,
            received: self.received,
            span: self.span,
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
        let mut message = JoinMessage {
            join_ref: push.join_ref.clone(),
            reference: push.reference.clone(),
            topic: Cow::Borrowed(topic),
            replaced: joined.or_else(|| self.cancel_join(topic)),
            received: Instant::now(),
            span: self.services.node.traces.below(self.outbound.context.trace(), SpanName::Join),
        };
        message.span.note(TENANT, &self.tenant.id);
        if push.payload.len() > PAYLOAD_BYTES_MAX {
            return self.refuse(message, &PAYLOAD_TOO_LARGE);
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
                Err(error) => return self.refuse(message, &error),
            };
        let room = RoomKey {
            tenant: Arc::clone(&self.tenant.id),
            space: Space::Phoenix,
            privacy: if request.private == Private::No { Privacy::Public } else { Privacy::Private },
            topic: sub_topic.into(),
        };
        message.span.note(TOPIC, sub_topic);
        self.services.databases.note_use(&self.tenant);
        let question = Question {
            room: &room,
            claims: claims.shared(),
            headers: self.headers.json(),
            freshness: Freshness::Recent,
            turns: &self.question_turns,
        };
        let decision = self.services.authorizer.authorize(question);
        let join = Join { message, room, request, claims, charge };
        match decision {
            Decision::Immediate(result) => self.answer_join(join, result),
            Decision::Pending(work) => {
                let traces = &self.services.node.traces;
                let mut span = traces.below(join.message.span.context().as_ref(), SpanName::Authorization);
                span.note(TENANT, &self.tenant.id);
                span.note(TOPIC, sub_topic);
                self.await_authorization(join, span, work);
            }
        }
    }

    /// Answers a join whose authorization was pending. What has changed during the wait is checked again.
    pub(super) fn answer_waiting_join(&mut self, join: Join<'_>, result: Authorized) {
        match self.recheck_join(&join) {
            Ok(()) => self.answer_join(join, result),
            Err(error) => self.refuse(join.message, &error),
        }
    }

    /// As [`answer_waiting_join`](Self::answer_waiting_join), for the join of a member that has waited for earlier messages.
    pub(super) fn answer_replayed_join(
        &mut self,
        mut join: Join<'_>,
        member: EarlyMember,
        result: Result<ReplayedMessages, ReplayError>,
    ) {
        let messages =
            self.recheck_join(&join).and_then(|()| result.map_err(|error| self.unreplayed(&error)));
        let messages = messages.and_then(|messages| {
            if !join.charge.try_grow(messages.kept_bytes()) {
                return Err(OUT_OF_MEMORY);
            }
            self.count_user()?;
            Ok(messages)
        });
        match messages {
            Ok(messages) => self.enter(join, member.rights, Some((member, Some(messages)))),
            Err(error) => self.refuse(join.message, &error),
        }
    }

    /// Reports why earlier messages cannot be read.
    fn unreplayed(&self, error: &ReplayError) -> JoinError {
        self.tenant.reports.record(self.report(Code::UnableToReplayMessages, Scope::Log), error);
        JoinError::unreplayed(error)
    }

    /// Checks again what may have changed while a join waited.
    fn recheck_join(&self, join: &Join<'_>) -> Result<(), JoinError> {
        let policy = self.tenant.policy();
        self.check_availability(&policy, &join.request)?;
        Ok(policy.verifier.recheck(&**join.claims, SystemTime::now())?)
    }

    fn answer_join(&mut self, join: Join<'_>, authorized: Authorized) {
        let accepted = authorized.map_err(|error| JoinError::unauthorized(error, &join.room.topic));
        let changes_wait = self.changes_wait(&join);
        let accepted = accepted.and_then(|rights| {
            let rights = rights.and(self.tenant.policy().permitted(&join.claims, &join.room.topic));
            self.check_rights(&join, rights)?;
            let request = replay_request(&join.request)?.cloned();
            if request.is_none() && changes_wait.is_none() {
                self.count_user()?;
            }
            Ok((rights, request))
        });
        match (accepted, changes_wait) {
            (Ok((rights, _)), Some(wait)) => self.await_changes(join, rights, wait),
            (Ok((rights, None)), None) => self.enter(join, rights, None),
            (Ok((rights, Some(request))), None) => {
                let member = self.join_early(join.room.clone(), rights);
                self.await_replay(join, member, request);
            }
            (Err(error), _) => self.refuse(join.message, &error),
        }
    }

    /// Whether the client may read something of what it joins for.
    fn check_rights(&self, join: &Join<'_>, rights: Rights) -> Result<(), JoinError> {
        let reads_presence = rights.read_presence && self.has_presence(&join.request);
        if rights.read_broadcasts || (reads_presence && join.request.replay.is_none()) {
            return Ok(());
        }
        Err(JoinError::may_not_read(&join.room.topic))
    }

    /// Whether a join is for presence too.
    fn has_presence(&self, request: &JoinRequest) -> bool {
        request.presence_enabled || self.tenant.policy().presence_enabled()
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

    /// Makes the client a member, unless it is one already. The messages that follow the reply are part of its frame, because
    /// the reply may have to wait until the room receives the messages of other nodes.
    fn enter(
        &mut self,
        join: Join<'_>,
        rights: Rights,
        early: Option<(EarlyMember, Option<ReplayedMessages>)>,
    ) {
        let Join { message, room, mut request, claims, charge } = join;
        let JoinMessage { join_ref, reference, topic, replaced, received, span } = message;
        let is_legacy = request.legacy;
        let bindings = match is_legacy {
            true => vec![binding_of_topic(&room.topic)],
            false => std::mem::take(&mut request.postgres_changes),
        };
        let bindings = Bindings::new(bindings);
        let response = bindings.response();
        let has_presence = self.has_presence(&request);
        let outbound = &self.outbound;
        let mut frames = vec![outbound.reply_frame(&join_ref, &reference, &topic, Status::Ok, &response)];
        frames.extend(replaced.map(|old| phoenix::closed(outbound.dialect, old.as_json(), &topic)));
        let privacy = room.privacy;
        let (membership, changes) = match early {
            None => {
                let reply = Frame::concat(&frames);
                (self.services.node.hub.join(room, self.member(rights), &reply), None)
            }
            Some((EarlyMember { membership, gaps, changes, .. }, messages)) => {
                let gap = (gaps != self.database_gaps).then_some(GAP);
                let incomplete = messages.as_ref().and_then(ReplayedMessages::notice);
                for notice in incomplete.into_iter().chain(gap) {
                    frames.push(outbound.system_frame(&join_ref, &topic, "system", Status::Ok, notice));
                }
                frames.extend(changes.as_ref().map(ChangeSubscription::subscribed_frame));
                frames.extend_from_slice(messages.as_ref().map_or(&[], ReplayedMessages::frames));
                let replayed = messages.as_ref().map_or_else(Replayed::none, ReplayedMessages::replayed);
                membership.end_replay(&Frame::concat(&frames), replayed);
                (membership, changes)
            }
        };
        let mut joined = JoinedTopic {
            join_ref: join_ref.into_owned(),
            privacy,
            membership,
            claims,
            rights,
            awaits_log: request.replication_ready.then(Instant::now),
            ack: request.ack,
            audience: if request.self_broadcast { Audience::Everyone } else { Audience::Others },
            presence_key: request.presence_key.map(String::into_boxed_str),
            tracker: None,
            changes,
            noticed: Vec::new(),
            _charge: charge,
        };
        if joined.changes.is_none() {
            joined.changes = self.subscribe(&joined, bindings, is_legacy);
        }
        if has_presence && rights.read_presence {
            joined.enable_presence(self.tracked_bytes.get_or_insert_default());
        }
        self.tenant.metrics.common().note_join(Answered::Ok, received.elapsed());
        drop(span);
        let deadline = self.recheck_deadline(&joined.claims);
        self.watch_rights(joined.privacy);
        if joined.awaits_log.is_some() {
            self.await_readiness();
        }
        self.topics.insert(topic.into_owned().into_boxed_str(), Box::new(joined));
        self.tick_by(Some(deadline));
        self.watch_rooms();
    }

    /// Answers a refused join, after a pause if the settings have one.
    fn refuse(&mut self, message: JoinMessage<'_>, error: &JoinError) {
        let JoinMessage { join_ref, reference, topic, replaced, received, mut span } = message;
        let JoinError { code, text } = error;
        self.tenant.metrics.common().note_join(Answered::Error, received.elapsed());
        span.fail(code.name());
        let report = self.report(*code, Scope::Join);
        let reason = match code {
            Code::UnableToConnectToProject if self.tenant.policy().database().is_none() => NO_DATABASE_REASON,
            _ => text,
        };
        self.tenant.reports.record(report, reason);
        let (outbound, response) = (&self.outbound, error_response(&format!("{code}: {text}")));
        let mut frames = vec![outbound.reply_frame(&join_ref, &reference, &topic, Status::Error, &response)];
        frames.extend(replaced.as_ref().map(|old| phoenix::closed(outbound.dialect, old.as_json(), &topic)));
        let pause = self.services.node.settings().server.channel_error_backoff;
        if pause.is_zero() {
            frames.iter().for_each(|frame| outbound.send(frame));
        } else {
            let max = self.tenant.allowance.max_channels_per_client();
            self.delayed_replies.delay(outbound, Instant::now() + pause, &topic, frames, max);
            self.tick_by(self.delayed_replies.deadline());
        }
        self.watch_rooms();
    }
}

/// The earlier messages that a join asks for.
fn replay_request(request: &JoinRequest) -> Result<Option<&ReplayRequest>, JoinError> {
    match &request.replay {
        Some(Replay::Messages(request)) => Ok(Some(request)),
        Some(Replay::Invalid) => Err(REPLAY_INVALID),
        Some(Replay::NoMap) | None => Ok(None),
    }
}
