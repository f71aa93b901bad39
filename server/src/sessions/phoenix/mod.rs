//! Sessions of supabase-js and other clients of the Phoenix channel protocol as Supabase Realtime has it
//! (docs/protocol).
//!
//! Every message is handled to its end before the next one, and nothing here waits: a reply that is to be delayed is
//! kept with its time, and work that has to wait is a task (`joining`). So a refused join delays only its own reply, and
//! heartbeats are answered at once.

mod awaited_changes;
mod bindings;
mod deadlines;
mod delayed_replies;
mod early_member;
mod join;
mod joined;
mod joining;
mod messages;
mod outbound;
mod policy_changes;
mod protocol;
mod readiness;
mod replay;
mod replayed;
mod rights;
mod tokens;

pub use protocol::PhoenixProtocol;

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Instant;

use hub::{Bundle, Disconnect, Outbox};
use rustc_hash::FxBuildHasher;
use serde_json::json;
use wire::phoenix::{self, ReplyTarget, UnreadableBroadcast, UserBroadcast};
use wire::supabase::Broadcast;

use self::delayed_replies::DelayedReplies;
use self::joined::JoinedTopic;
use self::joining::{HeldMessage, Joining};
use self::outbound::Outbound;
use self::rights::Rechecks;
use super::{ClientContext, KeptClaims, KeptHeaders, MessageHead, Services, Session};
use crate::auth::QuestionTurns;
use crate::broadcast::BroadcastError;
use crate::close_reason::CloseReason;
use crate::permit::Permit;
use crate::presence::TrackedBytes;
use crate::telemetry::codes::{Code, Scope};
use crate::telemetry::reports::Report;
use crate::tenants::{SocketRegistration, Tenant};
use crate::workers::Offload;

/// The topic of heartbeats.
const CONNECTION_TOPIC: &str = "phoenix";

/// Bytes of a topic up to which a message for it is answered. No room has a name longer than 255, and an answer
/// returns the topic.
const TOPIC_ECHOED_MAX: usize = 4 * 1024;

/// One connection of a Phoenix client.
pub struct PhoenixSession {
    services: Arc<Services>,
    tenant: Arc<Tenant>,
    /// The generation of the tenant's policy under which the handshake was accepted.
    accepted_generation: u64,
    /// The generation of the policy that was applied last.
    applied_generation: u64,
    /// How often messages of the database had possibly been lost when this was looked at last.
    database_gaps: u64,
    outbound: Outbound,
    /// The claims of the handshake's token, for channels without a token of their own.
    claims: Arc<KeptClaims>,
    /// The headers of the handshake that policies may read.
    headers: KeptHeaders,
    /// By full topic. The hash needs no secret: a client that makes its own topics collide slows down no other client, and
    /// it has at most `limits.max_channels_per_client` of them.
    topics: HashMap<Box<str>, Box<JoinedTopic>, FxBuildHasher>,
    /// Topics whose join waits for its authorization, if there are any.
    joining: Option<Box<Joining>>,
    /// Rights that are being asked again, if there are any.
    rechecks: Option<Box<Rechecks>>,
    /// When rights are asked again, if they are.
    rights_due: Option<Instant>,
    /// When channels look again whether broadcasts from the database reach them, if any wait for that.
    readiness_due: Option<Instant>,
    /// One question about rights is asked at a time.
    question_turns: QuestionTurns,
    /// How many tasks of this connection work at once.
    max_tasks: NonZeroUsize,
    delayed_replies: DelayedReplies,
    /// The bytes that the client tracks in all its topics. There once presence is used.
    tracked_bytes: Option<TrackedBytes>,
    /// Broadcasts that were read and not yet sent. Sent at the latest when the connection has read what there is.
    gathered: Option<Box<GatheredBroadcasts>>,
    /// The permit among the tenant's users, held from the first successful join on.
    user: Option<Permit>,
    /// Since when no room is joined or being joined; `None` while at least one is.
    roomless: Option<Instant>,
    deadline: Option<Instant>,
    _registration: SocketRegistration,
}

/// Broadcasts to one topic.
struct GatheredBroadcasts {
    topic: Box<str>,
    bundle: Bundle,
}

impl GatheredBroadcasts {
    fn new(topic: &str) -> Self {
        Self { topic: topic.into(), bundle: Bundle::default() }
    }
}

impl PhoenixSession {
    /// The session of a client that has just connected.
    pub fn new(services: Arc<Services>, client: ClientContext, claims: Arc<KeptClaims>) -> Self {
        let ClientContext { tenant, generation, headers, outbox, dialect, context, registration } = client;
        let database_gaps = tenant.policy().database_gaps;
        let max_tasks = services.node.settings().server.max_tasks_per_connection;
        let mut session = Self {
            services,
            tenant,
            accepted_generation: generation,
            applied_generation: generation,
            database_gaps,
            outbound: Outbound { outbox, dialect, context },
            claims,
            headers,
            topics: HashMap::default(),
            joining: None,
            rechecks: None,
            rights_due: None,
            readiness_due: None,
            question_turns: QuestionTurns::default(),
            max_tasks,
            delayed_replies: DelayedReplies::default(),
            tracked_bytes: None,
            gathered: None,
            user: None,
            roomless: None,
            deadline: None,
            _registration: registration,
        };
        session.reschedule();
        // The policy may have changed after the handshake read it and before this connection was registered.
        session.apply_policy();
        session
    }

    /// A report about this client.
    fn report(&self, code: Code, scope: Scope) -> Report<'_> {
        code.at(scope).from(&self.outbound.context).by(self.claims.sub.as_deref(), self.claims.expires_at)
    }

    /// Counts and reports a message that cannot be read.
    fn malformed(&self, error: impl std::fmt::Display) {
        self.tenant.metrics.malformed.increment(1);
        self.tenant.reports.record(self.report(Code::MalformedWebSocketMessage, Scope::Log), error);
    }

    /// Reports a message that was not received, and whose beginning does not say whom to answer.
    fn skipped_unread(&self, error: BroadcastError) {
        self.tenant.reports.record(self.report(error.code(), Scope::Log), error);
    }
}

impl Session for PhoenixSession {
    fn outbox(&self) -> &Arc<Outbox> {
        &self.outbound.outbox
    }

    fn offload(&self) -> &Arc<Offload> {
        &self.services.node.offload
    }

    fn text(&mut self, message: &str) {
        match phoenix::decode_text(self.outbound.dialect, message) {
            Ok(push) if self.is_joining(&push.topic) && !matches!(&*push.event, "phx_join" | "phx_leave") => {
                let held = HeldMessage::Text(message.into());
                self.hold(&push.topic, (&push.join_ref, &push.reference), held);
            }
            Ok(push) => self.push(&push),
            Err(error) => self.malformed(error),
        }
    }

    fn binary(&mut self, message: &[u8]) {
        let (target, event) = match phoenix::decode_binary(self.outbound.dialect, message) {
            Ok(UserBroadcast { join_ref, reference, topic, event, payload, metadata: _ }) => {
                // The metadata that a client sends is discarded, as upstream does it.
                (
                    ReplyTarget { join_ref, reference, topic },
                    Ok(Broadcast::User { event, payload, meta: None }),
                )
            }
            Err(UnreadableBroadcast { error, reply_target: Some(target) }) => {
                (target, Err(BroadcastError::Unreadable(error)))
            }
            Err(UnreadableBroadcast { error, reply_target: None }) => return self.malformed(error),
        };
        let refs = (&target.join_ref, &target.reference);
        if self.is_joining(target.topic) {
            return self.hold(target.topic, refs, HeldMessage::Binary(message.into()));
        }
        self.broadcast(target.topic, refs, event);
    }

    fn skipped(&mut self, head: &MessageHead<'_>) {
        let error = BroadcastError::OutOfMemory;
        let dialect = self.outbound.dialect;
        match *head {
            MessageHead::Text(text) => match phoenix::decode_text_head(dialect, text) {
                Some(push) => {
                    let refs = (&push.join_ref, &push.reference);
                    if push.event == "broadcast" && self.topics.contains_key(&*push.topic) {
                        self.broadcast(&push.topic, refs, Err(error));
                    } else {
                        self.refuse_message(&push.topic, refs, error);
                    }
                }
                None => self.skipped_unread(error),
            },
            MessageHead::Binary(bytes) => match phoenix::decode_binary(dialect, bytes) {
                Ok(UserBroadcast { join_ref, reference, topic, .. })
                | Err(UnreadableBroadcast {
                    reply_target: Some(ReplyTarget { join_ref, reference, topic }),
                    ..
                }) => self.broadcast(topic, (&join_ref, &reference), Err(error)),
                Err(_) => self.skipped_unread(error),
            },
        }
    }

    fn broken(&mut self, why: CloseReason) -> Disconnect {
        let code = match why {
            CloseReason::OutOfMemory => Some(Code::MemoryLimitReached),
            CloseReason::MessageTooLarge { .. } => Some(Code::MessageSizeExceeded),
            _ => None,
        };
        match code {
            Some(code) => self.tenant.reports.record(self.report(code, Scope::Log), why.text()),
            None => self.malformed(why.text()),
        }
        why.into()
    }

    fn flush(&mut self) {
        let Some(gathered) = self.gathered.take() else { return };
        if let Some(joined) = self.topics.get(&*gathered.topic) {
            joined.send(&self.tenant, gathered.bundle);
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    fn tick(&mut self, now: Instant) {
        self.apply_policy();
        self.answer_waiting();
        self.apply_found_rights();
        if self.deadline.is_none_or(|deadline| deadline > now) {
            return;
        }
        self.delayed_replies.send_due(&self.outbound, now);
        self.recheck_tokens();
        self.recheck_rights(now);
        self.look_at_readiness(now);
        for joined in self.topics.values_mut() {
            if let Some(tracker) = &mut joined.tracker {
                tracker.release(&self.tenant, &joined.membership, now);
            }
        }
        if self.roomless_deadline().is_some_and(|deadline| now >= deadline) {
            self.outbound.outbox.disconnect(CloseReason::NoChannel.into());
            self.deadline = None;
            return;
        }
        self.reschedule();
    }

    fn close(&mut self) {
        self.gathered = None;
        self.joining = None;
        self.rechecks = None;
        self.topics.clear();
        self.deadline = None;
    }

    fn caught_up(&mut self) {
        for (topic, joined) in &self.topics {
            joined.caught_up(&self.outbound, topic);
        }
    }

    fn count(&self, received: u64, sent: u64) {
        if received > 0 {
            self.tenant.metrics.input_bytes.increment(received);
        }
        if sent > 0 {
            self.tenant.metrics.output_bytes.increment(sent);
        }
    }
}

/// The response of a reply with status `error`.
fn error_response(text: &str) -> String {
    json!({ "reason": text }).to_string()
}
