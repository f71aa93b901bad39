//! One joined topic: what a client does in it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hub::{Audience, Bundle, Membership, Privacy};
use wire::phoenix::{Ref, Status};
use wire::supabase::{Broadcast, PresenceCall};

use super::outbound::Outbound;
use crate::auth::Claims;
use crate::broadcast;
use crate::presence::{PresenceBudget, Tracker};
use crate::telemetry::codes::{Code, Scope};
use crate::tenants::Tenant;

/// A sender whose messages are refused gets one `system` message per reason in this time: the span that the
/// limits' buckets hold.
const NOTICE_WINDOW: Duration = Duration::from_secs(10);

/// A client's place in a room, and how it wants to be treated there.
#[derive(Debug)]
pub(super) struct JoinedTopic {
    /// Of the join; everything the room says to this member carries it.
    pub(super) join_ref: Ref<'static>,
    pub(super) privacy: Privacy,
    pub(super) membership: Membership,
    /// What the token said that it acts with.
    pub(super) claims: Arc<Claims>,
    /// Whether each broadcast is answered.
    pub(super) ack: bool,
    /// Whether it hears its own broadcasts.
    pub(super) audience: Audience,
    /// What to be present as, unless the server chooses.
    pub(super) presence_key: Option<Box<str>>,
    /// There once presence is used.
    pub(super) tracker: Option<Box<Tracker>>,
    /// The refusals it was notified of within the last window, and when; no more than there are reasons.
    pub(super) noticed: Vec<(Instant, Box<str>)>,
}

impl JoinedTopic {
    /// Takes part in presence from now on, and asks for the state so far.
    pub(super) fn enable_presence(&mut self, budget: &PresenceBudget) {
        self.membership.request_state(self.join_ref.as_json());
        self.tracker = Some(Box::new(Tracker::new(self.presence_key.as_deref(), budget)));
    }

    /// Adds to `bundle` what is to be sent to the room, unless it is refused. A sender that wants answers gets
    /// one at once, and what was gathered is sent before it.
    pub(super) fn broadcast(
        &mut self,
        outbound: &Outbound,
        tenant: &Tenant,
        topic: &str,
        refs: (&Ref<'_>, &Ref<'_>),
        event: Result<Broadcast<'_>, broadcast::BroadcastError>,
        bundle: &mut Bundle,
    ) {
        let gathered = event
            .and_then(|event| broadcast::gather(tenant, &self.membership, &event, self.audience, bundle));
        let refused = gathered.err().map(|refusal| self.refuse(outbound, tenant, topic, refusal));
        if self.ack {
            self.send(tenant, std::mem::take(bundle));
            answer(outbound, topic, refs, refused.as_deref());
        }
    }

    /// Reports a refused broadcast, to the sender as well if no reply will. Returns the reason.
    fn refuse(
        &mut self,
        outbound: &Outbound,
        tenant: &Tenant,
        topic: &str,
        refusal: broadcast::BroadcastError,
    ) -> String {
        let text = refusal.to_string();
        self.report(outbound, tenant, refusal.code(), &text);
        if refusal.code() == Code::MalformedWebSocketMessage {
            tenant.metrics.malformed.increment(1);
        }
        // The rate concerns the messages that follow as well, so it is in both.
        if !self.ack || refusal == broadcast::BroadcastError::TooMany {
            self.notice(outbound, topic, &text);
        }
        text
    }

    /// Sends what was gathered.
    pub(super) fn send(&self, tenant: &Tenant, bundle: Bundle) {
        broadcast::send(tenant, &self.membership, bundle, self.audience);
    }

    /// Does what a `presence` message asks for, and answers. No more than `bytes_max` are to be kept for it.
    pub(super) fn presence(
        &mut self,
        outbound: &Outbound,
        tenant: &Tenant,
        topic: &str,
        refs: (&Ref<'_>, &Ref<'_>),
        call: PresenceCall<'_>,
        (budget, bytes_max): (&PresenceBudget, usize),
    ) {
        let now = Instant::now();
        let refused = match call {
            PresenceCall::Nothing => None,
            PresenceCall::TrackNotAMap => {
                if let Some(tracker) = &mut self.tracker {
                    tracker.unknown(tenant, now);
                }
                let code = Code::InvalidPresencePayload;
                self.report(outbound, tenant, code, code.text());
                Some(code.text().to_owned())
            }
            PresenceCall::Track(payload) => {
                if self.tracker.is_none() {
                    self.enable_presence(budget);
                }
                let tracker = self.tracker.as_mut().expect("presence was just enabled");
                let refused = tracker.track(tenant, &self.membership, payload, bytes_max, now).err();
                refused.map(|refusal| {
                    let text = refusal.to_string();
                    self.report(outbound, tenant, refusal.code(), &text);
                    self.notice(outbound, topic, &text);
                    text
                })
            }
            PresenceCall::Untrack => {
                if let Some(tracker) = &mut self.tracker {
                    tracker.untrack(tenant, &self.membership, now);
                }
                None
            }
            PresenceCall::Unknown => {
                if let Some(tracker) = &mut self.tracker {
                    tracker.unknown(tenant, now);
                }
                self.report(outbound, tenant, Code::UnknownPresenceEvent, "neither `track` nor `untrack`");
                return outbound.reply(refs.0, refs.1, topic, Status::Error, "{}");
            }
        };
        answer(outbound, topic, refs, refused.as_deref());
    }

    /// Tells that what this member wanted was not done.
    fn report(&self, outbound: &Outbound, tenant: &Tenant, code: Code, text: &str) {
        let Claims { sub, expires_at, .. } = &*self.claims;
        let report = code.at(Scope::Channel).from(&outbound.context).by(sub.as_deref(), *expires_at);
        tenant.reports.record(report, text);
    }

    /// Notifies a sender that a message was refused, unless it had the same notice within the window. Of
    /// status ok, because the channel stays: Dart's client takes an error for the end of the channel.
    fn notice(&mut self, outbound: &Outbound, topic: &str, message: &str) {
        let now = Instant::now();
        self.noticed.retain(|(last, _)| now < *last + NOTICE_WINDOW);
        if self.noticed.iter().all(|(_, text)| **text != *message) {
            self.noticed.push((now, message.into()));
            outbound.system(&self.join_ref, topic, "system", Status::Ok, message);
        }
    }

    /// The connection has caught up after frames were dropped: says how many, and asks for what can be
    /// asked for again.
    pub(super) fn caught_up(&self, outbound: &Outbound, topic: &str) {
        let missed = self.membership.take_missed();
        // A member without presence receives neither state nor diffs.
        if missed.presence && self.tracker.is_some() {
            self.membership.request_state(self.join_ref.as_json());
        }
        if missed.broadcasts > 0 {
            // Status ok: an error makes some SDKs give up the channel, which is as good as before.
            let message = format!("{} messages were dropped: reading too slowly", missed.broadcasts);
            outbound.system(&self.join_ref, topic, "system", Status::Ok, &message);
        }
    }
}

fn answer(outbound: &Outbound, topic: &str, refs: (&Ref<'_>, &Ref<'_>), refused: Option<&str>) {
    match refused {
        None => outbound.reply(refs.0, refs.1, topic, Status::Ok, "{}"),
        Some(reason) => outbound.reply(refs.0, refs.1, topic, Status::Error, &super::reason(reason)),
    }
}
