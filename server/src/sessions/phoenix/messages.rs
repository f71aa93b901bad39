//! What clients send to topics: broadcasts, presence, leaves, heartbeats (docs/protocol/channels.md).

use std::time::Instant;

use wire::phoenix::{DecodeError, Push, Ref, Status};
use wire::supabase::{Broadcast, PresenceCall};

use super::{CONNECTION_TOPIC, GatheredBroadcasts, PhoenixSession, TOPIC_ECHOED_MAX, error_response};
use crate::broadcast::BroadcastError;
use crate::sessions::Session;

impl PhoenixSession {
    /// Any text message.
    pub(super) fn push(&mut self, push: &Push<'_>) {
        let topic = &*push.topic;
        if topic.len() > TOPIC_ECHOED_MAX {
            return self.malformed(DecodeError::Topic);
        }
        if push.event == "broadcast" {
            let event = if push.payload_is_object() {
                Ok(Broadcast::Text { payload: push.payload })
            } else {
                Err(BroadcastError::NotAMap)
            };
            return self.broadcast(topic, (&push.join_ref, &push.reference), event);
        }
        // Everything else is done after the broadcasts that came before it.
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

    /// An event of a joined topic. Every join_ref is accepted: SDKs leave it out
    /// (docs/protocol/channels.md#join-refs).
    fn event(&mut self, push: &Push<'_>, event: &str) {
        let topic = &*push.topic;
        let refs = (&push.join_ref, &push.reference);
        if !self.topics.contains_key(topic) {
            return self.unmatched(&push.reference, topic);
        }
        let started = Instant::now();
        match event {
            "presence" => self.presence(topic, refs, PresenceCall::parse(push.payload)),
            "access_token" => self.refresh_token(topic, push.payload),
            _ => self.unknown_event(),
        }
        self.tenant.metrics.common().note_handled(started.elapsed());
    }

    /// A `presence` message.
    fn presence(&mut self, topic: &str, refs: (&Ref<'_>, &Ref<'_>), call: PresenceCall<'_>) {
        let bytes_max = self.services.node.settings().presence.max_bytes_per_client.as_u64();
        let bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX);
        let tracked_bytes = self.tracked_bytes.get_or_insert_default();
        let Some(joined) = self.topics.get_mut(topic) else { return };
        joined.presence(&self.outbound, &self.tenant, topic, refs, call, (tracked_bytes, bytes_max));
        let held = joined.tracker.as_ref().and_then(|tracker| tracker.deadline(&self.tenant));
        self.tick_by(held);
    }

    /// A broadcast. Those that are read together are sent together: see [`Bundle`](hub::Bundle).
    pub(super) fn broadcast(
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
        let gathered = self.gathered.get_or_insert_with(|| Box::new(GatheredBroadcasts::new(topic)));
        joined.broadcast(&self.outbound, &self.tenant, topic, refs, event, &mut gathered.bundle);
        if gathered.bundle.is_full() {
            self.flush();
        }
    }

    /// A `phx_leave`. One with the `join_ref` of an earlier join is ignored, because that join has ended
    /// (docs/protocol/channels.md#join-refs).
    fn leave(&mut self, push: &Push<'_>) {
        let topic = &*push.topic;
        self.delayed_replies.send_for(&self.outbound, topic);
        let matches = |join_ref: &Ref<'_>| push.join_ref.is_null() || push.join_ref == *join_ref;
        if self.topics.get(topic).is_some_and(|joined| !matches(&joined.join_ref))
            || self.waiting_join(topic).is_some_and(|join_ref| !matches(join_ref))
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

    /// A message for a topic that is not joined or is not a room's (docs/protocol/channels.md#topics).
    pub(super) fn unmatched(&self, reference: &Ref<'_>, topic: &str) {
        self.outbound.reply(&Ref::NULL, reference, topic, Status::Error, &error_response("unmatched topic"));
    }

    /// An unknown event is not answered, and counts as a message.
    pub(super) fn unknown_event(&self) {
        let _counted = self.tenant.allowance.events.take(1, Instant::now());
    }
}
