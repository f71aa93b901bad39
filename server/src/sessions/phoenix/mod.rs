//! What supabase-js and its sisters say: the Phoenix channel protocol as Supabase Realtime speaks it
//! (the section numbers in here are those of its specification).
//!
//! Every message is handled to its end before the next one, and nothing here waits: an answer that is to
//! be delayed is put aside with its time. So a refused join delays only its own answer, and heartbeats
//! are answered at once.

mod join;
mod joined;
mod line;
mod refusals;
mod tokens;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use hub::{Bounds, Dialect, Goodbye, Outbox};
use rustc_hash::FxBuildHasher;
use serde_json::json;
use tracing::debug;
use wire::phoenix::{self, Malformed, Push, Ref, Status, UserBroadcast};
use wire::supabase::{Broadcast, PresenceCall};

use self::joined::Joined;
use self::line::Line;
use self::refusals::Refusals;
use super::Session;
use crate::auth::Claims;
use crate::node::Node;
use crate::tenants::{Tenant, Ticket, User};

/// The topic of heartbeats.
const CONNECTION_TOPIC: &str = "phoenix";

/// One connection of a Phoenix client.
pub struct Phoenix {
    node: Arc<Node>,
    tenant: Arc<Tenant>,
    line: Line,
    /// What the token of the handshake said; channels that bring none of their own act with it.
    claims: Arc<Claims>,
    /// By full topic. The hash needs no secret: a client that makes its own topics collide slows down
    /// nobody else, and it has at most `limits.max_channels_per_client` of them.
    topics: HashMap<Box<str>, Box<Joined>, FxBuildHasher>,
    refusals: Refusals,
    /// Held from the first successful join on.
    user: Option<User>,
    /// Since when no room is joined, if none is.
    roomless: Option<Instant>,
    deadline: Option<Instant>,
    _ticket: Ticket,
}

impl Phoenix {
    /// A client of `tenant` that has just connected, believed because of `claims`.
    pub fn new(node: Arc<Node>, tenant: Arc<Tenant>, dialect: Dialect, claims: Claims) -> Self {
        let bounds = Bounds {
            frames: u32::try_from(node.settings.outbox.max_frames.get()).unwrap_or(u32::MAX),
            bytes: usize::try_from(node.settings.outbox.max_bytes.as_u64()).unwrap_or(usize::MAX),
        };
        let outbox = Arc::new(Outbox::new(bounds));
        let ticket = tenant.sockets.enter(Arc::clone(&outbox));
        let mut session = Self {
            node,
            tenant,
            line: Line { outbox, dialect },
            claims: Arc::new(claims),
            topics: HashMap::default(),
            refusals: Refusals::default(),
            user: None,
            roomless: None,
            deadline: None,
            _ticket: ticket,
        };
        session.reschedule();
        session
    }

    fn push(&mut self, push: &Push<'_>) {
        let topic = &*push.topic;
        match &*push.event {
            "heartbeat" if topic == CONNECTION_TOPIC => {
                self.line.reply(&push.join_ref, &push.reference, topic, Status::Ok, "{}");
            }
            "phx_join" => self.join(push),
            "phx_leave" => self.leave(push),
            event => self.event(push, event),
        }
    }

    /// Something said in a joined topic. Any join_ref will do: SDKs leave it out (§3.4).
    fn event(&mut self, push: &Push<'_>, event: &str) {
        let topic = &*push.topic;
        let refs = (&push.join_ref, &push.reference);
        let Some(joined) = self.topics.get_mut(topic) else {
            return self.unmatched(&push.reference, topic);
        };
        match event {
            "broadcast" => {
                let event = push.payload_is_object().then_some(Broadcast::Text { payload: push.payload });
                joined.broadcast(&self.line, &self.tenant, topic, refs, event);
            }
            "presence" => {
                let call = PresenceCall::parse(push.payload);
                joined.presence(&self.line, &self.tenant, topic, refs, call);
                self.reschedule();
            }
            "access_token" => self.refresh_token(topic, push.payload),
            _ => self.unknown_event(),
        }
    }

    fn user_broadcast(&mut self, push: &UserBroadcast<'_>) {
        let Some(joined) = self.topics.get_mut(push.topic) else {
            return self.unmatched(&push.reference, push.topic);
        };
        // The metadata a client sends reaches nobody, as upstream has it.
        let event = Broadcast::User { event: push.event, payload: push.payload, meta: None };
        let refs = (&push.join_ref, &push.reference);
        joined.broadcast(&self.line, &self.tenant, push.topic, refs, Some(event));
    }

    /// A `phx_leave`. One that names an earlier join is ignored: that join is over already (§3.4).
    fn leave(&mut self, push: &Push<'_>) {
        let topic = &*push.topic;
        self.refusals.settle(&self.line, topic);
        let meant =
            |joined: &Joined| push.join_ref.is_null() || push.join_ref.as_json() == joined.join_ref.as_json();
        if self.topics.get(topic).is_some_and(|joined| !meant(joined)) {
            return;
        }
        let left = self.topics.remove(topic).map(|joined| joined.join_ref);
        self.line.reply(&push.join_ref, &push.reference, topic, Status::Ok, "{}");
        if let Some(join_ref) = left {
            self.line.closed(&join_ref, topic);
        }
        self.reschedule();
    }

    /// Anything for a topic that is not joined or is none (§3.3).
    fn unmatched(&self, reference: &Ref<'_>, topic: &str) {
        self.line.reply(&Ref::NULL, reference, topic, Status::Error, &reason("unmatched topic"));
    }

    /// An event nobody knows is not answered, but counts as one.
    fn unknown_event(&self) {
        let _counted = self.tenant.allowance.events.take(1, Instant::now());
    }

    fn malformed(&self, why: &Malformed) {
        self.tenant.metrics.malformed.increment(1);
        debug!(code = "MalformedWebSocketMessage", tenant = %self.tenant.id, "Dropped a message: {why}");
    }

    /// Looks for the next thing that is due. Called after whatever may have changed it.
    fn reschedule(&mut self) {
        let now = Instant::now();
        self.roomless = self.topics.is_empty().then(|| self.roomless.unwrap_or(now));
        let held = self.topics.values().filter_map(|joined| joined.tracker.as_ref()?.deadline(&self.tenant));
        let roomless = self.roomless.map(|since| since + self.node.settings.server.no_channel_timeout);
        let others = [roomless, self.refusals.deadline(), self.token_deadline(now)];
        self.deadline = held.chain(others.into_iter().flatten()).min();
    }
}

impl Session for Phoenix {
    fn outbox(&self) -> &Arc<Outbox> {
        &self.line.outbox
    }

    fn text(&mut self, message: &str) {
        match phoenix::decode_text(self.line.dialect, message) {
            Ok(push) => self.push(&push),
            Err(why) => self.malformed(&why),
        }
    }

    fn binary(&mut self, message: &[u8]) {
        match phoenix::decode_binary(self.line.dialect, message) {
            Ok(push) => self.user_broadcast(&push),
            Err(why) => self.malformed(&why),
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    fn tick(&mut self, now: Instant) {
        if self.deadline.is_none_or(|deadline| deadline > now) {
            return;
        }
        self.refusals.release(&self.line, now);
        self.end_expired();
        for joined in self.topics.values_mut() {
            if let Some(tracker) = &mut joined.tracker {
                tracker.release(&self.tenant, &joined.membership, now);
            }
        }
        let no_channel_timeout = self.node.settings.server.no_channel_timeout;
        if self.roomless.is_some_and(|since| now >= since + no_channel_timeout) {
            let reason = "no channel joined".into();
            self.line.outbox.say_goodbye(Goodbye { code: 1000, reason });
            self.deadline = None;
            return;
        }
        self.reschedule();
    }

    fn caught_up(&mut self) {
        for (topic, joined) in &self.topics {
            joined.caught_up(&self.line, topic);
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
