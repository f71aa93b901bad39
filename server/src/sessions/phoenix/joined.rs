//! One joined topic: what its client does there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hub::{Audience, Bundle, Membership, MemoryCharge, Privacy};
use wire::phoenix::{Ref, Status};
use wire::supabase::{Broadcast, PresenceCall};

use super::outbound::Outbound;
use crate::auth::{Claims, Rights};
use crate::broadcast::{self, BroadcastError};
use crate::changes::ChangeSubscription;
use crate::presence::{PresenceError, TrackedBytes, Tracker};
use crate::sessions::KeptClaims;
use crate::telemetry::codes::{Code, Scope};
use crate::tenants::Tenant;

/// A sender whose messages are refused gets one `system` message per reason in this time: the time whose messages the
/// token buckets of the limits hold.
const NOTICE_WINDOW: Duration = Duration::from_secs(10);

/// A client's membership of a room, and the options of its join.
#[derive(Debug)]
pub(super) struct JoinedTopic {
    /// Of the join; what is sent to this member alone carries it.
    pub(super) join_ref: Ref<'static>,
    pub(super) privacy: Privacy,
    pub(super) membership: Membership,
    /// The claims of the token that it acts with.
    pub(super) claims: Arc<KeptClaims>,
    /// What it may do here.
    pub(super) rights: Rights,
    /// Since when it waits to hear that broadcasts from the database reach it.
    pub(super) awaits_log: Option<Instant>,
    /// Whether each broadcast is answered.
    pub(super) ack: bool,
    /// Whether it receives its own broadcasts.
    pub(super) audience: Audience,
    /// The key that the client has chosen, until there is a tracker.
    pub(super) presence_key: Option<Box<str>>,
    /// There once presence is used.
    pub(super) tracker: Option<Box<Tracker>>,
    /// Changes of tables that it has subscribed to.
    pub(super) changes: Option<ChangeSubscription>,
    /// The refusals it was notified of within the last window, and when; no more than there are reasons.
    pub(super) noticed: Vec<(Instant, Box<str>)>,
    /// For all of this but the claims, and for the room.
    pub(super) _charge: MemoryCharge,
}

impl JoinedTopic {
    /// Takes part in presence from now on, and requests the state so far.
    pub(super) fn enable_presence(&mut self, tracked_bytes: &TrackedBytes) {
        self.membership.request_state(self.join_ref.as_json());
        self.tracker = Some(Box::new(Tracker::new(self.presence_key.take(), tracked_bytes)));
    }

    /// Adds a broadcast to `bundle`, unless it is refused. If the join asked for acknowledgements, the bundle is sent and
    /// the reply follows.
    pub(super) fn broadcast(
        &mut self,
        outbound: &Outbound,
        tenant: &Tenant,
        topic: &str,
        refs: (&Ref<'_>, &Ref<'_>),
        event: Result<Broadcast<'_>, BroadcastError>,
        bundle: &mut Bundle,
    ) {
        let may_send = self.rights.send_broadcasts;
        let gathered = event
            .and_then(|event| if may_send { Ok(event) } else { Err(BroadcastError::Denied) })
            .and_then(|event| broadcast::gather(tenant, &self.membership, &event, self.audience, bundle));
        let refused = gathered.err().map(|error| self.refuse(outbound, tenant, topic, &error));
        if self.ack {
            self.send(tenant, std::mem::take(bundle));
            reply(outbound, topic, refs, refused.as_deref());
        }
    }

    /// Reports a refused broadcast: to the log, and to the sender if no reply does. Returns the reason.
    fn refuse(
        &mut self,
        outbound: &Outbound,
        tenant: &Tenant,
        topic: &str,
        error: &BroadcastError,
    ) -> String {
        let text = error.to_string();
        self.report(outbound, tenant, error.code(), &text);
        if error.code() == Code::MalformedWebSocketMessage {
            tenant.metrics.malformed.increment(1);
        }
        // The rate concerns the messages that follow as well, so it is sent besides the reply.
        if !self.ack || *error == BroadcastError::TooMany {
            self.notice(outbound, topic, &text);
        }
        text
    }

    /// Sends the broadcasts that were gathered.
    pub(super) fn send(&self, tenant: &Tenant, bundle: Bundle) {
        broadcast::send(tenant, &self.membership, bundle, self.audience);
    }

    /// Handles a `presence` message and answers it. The client may track `bytes_max` in all its topics together.
    pub(super) fn presence(
        &mut self,
        outbound: &Outbound,
        tenant: &Tenant,
        topic: &str,
        refs: (&Ref<'_>, &Ref<'_>),
        call: PresenceCall<'_>,
        (tracked_bytes, bytes_max): (&TrackedBytes, usize),
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
                let tracked = self.track(tenant, payload, (tracked_bytes, bytes_max), now);
                tracked.err().map(|error| {
                    let text = error.to_string();
                    self.report(outbound, tenant, error.code(), &text);
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
        reply(outbound, topic, refs, refused.as_deref());
    }

    /// Tracks `payload`, if the member may be present.
    fn track(
        &mut self,
        tenant: &Tenant,
        payload: &str,
        (tracked_bytes, bytes_max): (&TrackedBytes, usize),
        now: Instant,
    ) -> Result<(), PresenceError> {
        if !self.rights.track_presence {
            return Err(PresenceError::Denied);
        }
        if self.tracker.is_none() && self.rights.read_presence {
            self.enable_presence(tracked_bytes);
        }
        let tracker = self.tracker.get_or_insert_with(|| {
            // Present, without the right to see who else is.
            Box::new(Tracker::new(self.presence_key.take(), tracked_bytes))
        });
        tracker.track(tenant, &self.membership, payload, bytes_max, now)
    }

    /// Reports that a message of this member had no effect.
    fn report(&self, outbound: &Outbound, tenant: &Tenant, code: Code, text: &str) {
        let Claims { sub, expires_at, .. } = &**self.claims;
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

    /// The connection has caught up after frames were dropped: sends how many broadcasts are missing, and requests the
    /// presence state again.
    pub(super) fn caught_up(&self, outbound: &Outbound, topic: &str) {
        let missed = self.membership.take_missed();
        // A member without presence receives neither state nor diffs.
        if missed.presence && self.tracker.is_some() && self.rights.read_presence {
            self.membership.request_state(self.join_ref.as_json());
        }
        if missed.broadcasts > 0 {
            // Status ok: after an error some SDKs end the channel, which works as before.
            let message = format!("{} messages were dropped: reading too slowly", missed.broadcasts);
            outbound.system(&self.join_ref, topic, "system", Status::Ok, &message);
        }
    }
}

fn reply(outbound: &Outbound, topic: &str, refs: (&Ref<'_>, &Ref<'_>), refused: Option<&str>) {
    match refused {
        None => outbound.reply(refs.0, refs.1, topic, Status::Ok, "{}"),
        Some(reason) => outbound.reply(refs.0, refs.1, topic, Status::Error, &super::error_response(reason)),
    }
}
