//! What supabase-js and its sisters say: the Phoenix channel protocol as Supabase Realtime speaks it
//! (docs/protocol).
//!
//! Every message is handled to its end before the next one, and nothing here waits: an answer that is to
//! be delayed is put aside with its time. So a refused join delays only its own answer, and heartbeats
//! are answered at once.

mod deadlines;
mod following;
mod join;
mod joined;
mod joining;
mod legacy;
mod outbound;
mod protocol;
mod refusals;
mod tokens;

pub use protocol::PhoenixProtocol;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use hub::{Bundle, Outbox};
use rustc_hash::FxBuildHasher;
use serde_json::json;
use wire::phoenix::{self, Address, Malformed, Push, Ref, Status, UnreadableBroadcast, UserBroadcast};
use wire::supabase::{Broadcast, PresenceCall};

use self::joined::JoinedTopic;
use self::joining::{HeldMessage, Joining};
use self::outbound::Outbound;
use self::refusals::Refusals;
use super::{ClientContext, Services, Session};
use crate::auth::Claims;
use crate::broadcast::BroadcastError;
use crate::close_reason::CloseReason;
use crate::permit::Permit;
use crate::presence::PresenceBudget;
use crate::telemetry::codes::{Code, Scope};
use crate::telemetry::reports::Report;
use crate::tenants::{SocketRegistration, Tenant};

/// The topic of heartbeats.
const CONNECTION_TOPIC: &str = "phoenix";

/// Bytes of a topic up to which a message for it is answered. No room has a name longer than 255; what is
/// longer than this is not worth sending back.
const TOPIC_ECHOED_MAX: usize = 4 * 1024;

/// One connection of a Phoenix client.
pub struct PhoenixSession {
    services: Arc<Services>,
    tenant: Arc<Tenant>,
    /// The generation of the tenant's policy under which the handshake was accepted.
    admitted: u64,
    /// The generation of the policy that was applied last.
    generation: u64,
    outbound: Outbound,
    /// What the token of the handshake said; channels that bring none of their own act with it.
    claims: Arc<Claims>,
    /// By full topic. The hash needs no secret: a client that makes its own topics collide slows down
    /// nobody else, and it has at most `limits.max_channels_per_client` of them.
    topics: HashMap<Box<str>, Box<JoinedTopic>, FxBuildHasher>,
    /// Topics whose join waits for its authorization, if there are any.
    joining: Option<Box<Joining>>,
    refusals: Refusals,
    /// The bytes that the client tracks in all its topics. There once presence is used.
    presence_budget: Option<PresenceBudget>,
    /// Broadcasts that were read and not yet sent. Nothing stays here beyond one turn of reading.
    gathered: Option<Box<Gathered>>,
    /// Held from the first successful join on.
    user: Option<Permit>,
    /// Since when no room is joined, if none is.
    roomless: Option<Instant>,
    deadline: Option<Instant>,
    _registration: SocketRegistration,
}

/// Broadcasts to one topic.
struct Gathered {
    topic: Box<str>,
    bundle: Bundle,
}

impl Gathered {
    fn new(topic: &str) -> Self {
        Self { topic: topic.into(), bundle: Bundle::default() }
    }
}

impl PhoenixSession {
    /// The session of a client that has just connected.
    pub fn new(services: Arc<Services>, client: ClientContext) -> Self {
        let ClientContext { tenant, generation, claims, outbox, dialect, context, registration } = client;
        let mut session = Self {
            services,
            tenant,
            admitted: generation,
            generation,
            outbound: Outbound { outbox, dialect, context },
            claims,
            topics: HashMap::default(),
            joining: None,
            refusals: Refusals::default(),
            presence_budget: None,
            gathered: None,
            user: None,
            roomless: None,
            deadline: None,
            _registration: registration,
        };
        session.reschedule();
        // The policy may have changed after the handshake read it and before this connection was registered.
        session.follow_policy();
        session
    }

    fn push(&mut self, push: &Push<'_>) {
        let topic = &*push.topic;
        if topic.len() > TOPIC_ECHOED_MAX {
            return self.malformed(Malformed::Topic);
        }
        if push.event == "broadcast" {
            let event = if push.payload_is_object() {
                Ok(Broadcast::Text { payload: push.payload })
            } else {
                Err(BroadcastError::NotAMap)
            };
            return self.broadcast(topic, (&push.join_ref, &push.reference), event);
        }
        // Whatever else is done comes after what was said before it.
        self.flush();
        match &*push.event {
            "heartbeat" if topic == CONNECTION_TOPIC => {
                self.outbound.reply(&push.join_ref, &push.reference, topic, Status::Ok, "{}");
            }
            "phx_join" => self.join(push),
            "phx_leave" => self.leave(push),
            event => self.event(push, event),
        }
    }

    /// Something said in a joined topic. Any join_ref will do: SDKs leave it out
    /// (docs/protocol/channels.md#join-refs).
    fn event(&mut self, push: &Push<'_>, event: &str) {
        let topic = &*push.topic;
        let refs = (&push.join_ref, &push.reference);
        if !self.topics.contains_key(topic) {
            return self.unmatched(&push.reference, topic);
        }
        match event {
            "presence" => self.presence(topic, refs, PresenceCall::parse(push.payload)),
            "access_token" => self.refresh_token(topic, push.payload),
            _ => self.unknown_event(),
        }
    }

    /// A `presence` message.
    fn presence(&mut self, topic: &str, refs: (&Ref<'_>, &Ref<'_>), call: PresenceCall<'_>) {
        let bytes_max = self.services.node.settings().presence.max_bytes_per_client.as_u64();
        let bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX);
        let budget = self.presence_budget.get_or_insert_default();
        let Some(joined) = self.topics.get_mut(topic) else { return };
        joined.presence(&self.outbound, &self.tenant, topic, refs, call, (budget, bytes_max));
        let held = joined.tracker.as_ref().and_then(|tracker| tracker.deadline(&self.tenant));
        self.look_by(held);
    }

    /// A broadcast. Those that are read together go out together: see [`Bundle`].
    fn broadcast(
        &mut self,
        topic: &str,
        refs: (&Ref<'_>, &Ref<'_>),
        event: Result<Broadcast<'_>, BroadcastError>,
    ) {
        if self.gathered.as_ref().is_some_and(|gathered| *gathered.topic != *topic) {
            self.flush();
        }
        let Some(joined) = self.topics.get_mut(topic) else {
            return self.unmatched(refs.1, topic);
        };
        let gathered = self.gathered.get_or_insert_with(|| Box::new(Gathered::new(topic)));
        joined.broadcast(&self.outbound, &self.tenant, topic, refs, event, &mut gathered.bundle);
        if gathered.bundle.is_full() {
            self.flush();
        }
    }

    /// A `phx_leave`. One that names an earlier join is ignored: that join is over already
    /// (docs/protocol/channels.md#join-refs).
    fn leave(&mut self, push: &Push<'_>) {
        let topic = &*push.topic;
        self.refusals.settle(&self.outbound, topic);
        let meant = |join_ref: &Ref<'_>| push.join_ref.is_null() || push.join_ref == *join_ref;
        if self.topics.get(topic).is_some_and(|joined| !meant(&joined.join_ref))
            || self.waiting_join(topic).is_some_and(|join_ref| !meant(join_ref))
        {
            return;
        }
        let joined = self.topics.remove(topic).map(|joined| joined.join_ref);
        let left = joined.or_else(|| self.cancel_join(topic));
        self.outbound.reply(&push.join_ref, &push.reference, topic, Status::Ok, "{}");
        if let Some(join_ref) = left {
            self.outbound.closed(&join_ref, topic);
        }
        self.watch_rooms();
    }

    /// Anything for a topic that is not joined or is none (docs/protocol/channels.md#topics).
    fn unmatched(&self, reference: &Ref<'_>, topic: &str) {
        self.outbound.reply(&Ref::NULL, reference, topic, Status::Error, &reason("unmatched topic"));
    }

    /// An event nobody knows is not answered, but counts as one.
    fn unknown_event(&self) {
        let _counted = self.tenant.allowance.events.take(1, Instant::now());
    }

    /// A report about this client.
    fn report(&self, code: Code, place: Scope) -> Report<'_> {
        code.at(place).from(&self.outbound.context).by(self.claims.sub.as_deref(), self.claims.expires_at)
    }

    fn malformed(&self, why: impl std::fmt::Display) {
        self.tenant.metrics.malformed.increment(1);
        self.tenant.reports.record(self.report(Code::MalformedWebSocketMessage, Scope::Log), why);
    }
}

impl Session for PhoenixSession {
    fn outbox(&self) -> &Arc<Outbox> {
        &self.outbound.outbox
    }

    fn text(&mut self, message: &str) {
        match phoenix::decode_text(self.outbound.dialect, message) {
            Ok(push) if self.is_joining(&push.topic) && !matches!(&*push.event, "phx_join" | "phx_leave") => {
                let held = HeldMessage::Text(message.into());
                self.hold(&push.topic, (&push.join_ref, &push.reference), held);
            }
            Ok(push) => self.push(&push),
            Err(why) => self.malformed(why),
        }
    }

    fn binary(&mut self, message: &[u8]) {
        let (address, event) = match phoenix::decode_binary(self.outbound.dialect, message) {
            Ok(UserBroadcast { join_ref, reference, topic, event, payload, metadata: _ }) => {
                // The metadata that a client sends is discarded, as upstream does it.
                (Address { join_ref, reference, topic }, Ok(Broadcast::User { event, payload, meta: None }))
            }
            Err(UnreadableBroadcast { why, address: Some(address) }) => {
                (address, Err(BroadcastError::Unreadable(why)))
            }
            Err(UnreadableBroadcast { why, address: None }) => return self.malformed(why),
        };
        let refs = (&address.join_ref, &address.reference);
        if self.is_joining(address.topic) {
            return self.hold(address.topic, refs, HeldMessage::Binary(message.into()));
        }
        self.broadcast(address.topic, refs, event);
    }

    fn broken(&mut self, why: &str) {
        self.malformed(why);
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
        self.follow_policy();
        self.answer_authorized();
        if self.deadline.is_none_or(|deadline| deadline > now) {
            return;
        }
        self.refusals.release(&self.outbound, now);
        self.end_outlived();
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

/// The response of an error reply.
fn reason(text: &str) -> String {
    json!({ "reason": text }).to_string()
}
