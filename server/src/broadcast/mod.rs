//! Messages to a room: checked against the limits, then fanned out. Some rooms keep them for a while, which is
//! [`history`].
//!
//! A refusal concerns one message: it affects neither the receivers nor other messages of the sender.

#[cfg(feature = "postgres")]
mod database_broadcasts;
pub mod history;
pub mod http;
pub mod replay;

#[cfg(feature = "postgres")]
pub use self::database_broadcasts::DatabaseBroadcasts;

use std::time::Instant;

use hub::{Audience, Bundle, Delivery, Membership, RoomKey};
use wire::phoenix::{DecodeError, UserPayload};
use wire::relay::InSpan;
use wire::supabase::Broadcast;
use wire::term_size;

use self::history::Identified;
use crate::node::Node;
use crate::telemetry::codes::{Code, Scope};
use crate::telemetry::metrics::MessageType;
use crate::telemetry::traces::TraceSpan;
use crate::tenants::Tenant;

/// Why a broadcast is not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BroadcastError {
    /// The tenant's senders together are over `limits.max_events_per_second`.
    #[error("Too many messages per second")]
    TooMany,
    /// The join of the channel waits, and the client has sent more messages than are held (`server.max_held_messages`).
    #[error("{}", Code::HeldMessagesLimitReached.text())]
    TooManyHeld,
    /// The join of the channel waits, and the client has sent more bytes than are held (`server.max_held_bytes`).
    #[error("{}", Code::HeldBytesLimitReached.text())]
    TooLargeHeld,
    /// The payload is over `limits.max_payload_size_in_kb`.
    #[error("payload_size_exceeded")]
    TooLarge,
    /// There is no memory for a message of this size (`server.memory_budget`).
    #[error("{}", Code::MemoryLimitReached.text())]
    OutOfMemory,
    /// The policies of the room do not allow it.
    #[error("You do not have permissions to write to this Channel topic")]
    Denied,
    /// A text broadcast whose payload is not a JSON object.
    #[error("Broadcast payload must be a map")]
    NotAMap,
    /// A binary broadcast whose metadata or payload is not the JSON that it announces.
    #[error(transparent)]
    Unreadable(DecodeError),
}

impl BroadcastError {
    /// The operational code, for the log.
    pub fn code(self) -> Code {
        match self {
            Self::TooMany => Code::MessagePerSecondRateLimitReached,
            Self::TooManyHeld => Code::HeldMessagesLimitReached,
            Self::TooLargeHeld => Code::HeldBytesLimitReached,
            Self::TooLarge => Code::PayloadSizeExceeded,
            Self::OutOfMemory => Code::MemoryLimitReached,
            Self::Denied => Code::Unauthorized,
            Self::NotAMap | Self::Unreadable(_) => Code::MalformedWebSocketMessage,
        }
    }
}

/// Adds a member's broadcast to the bundle that it will send.
///
/// # Errors
/// When a limit is reached. The broadcast is then not in the bundle.
pub fn gather(
    tenant: &Tenant,
    membership: &Membership,
    event: &Broadcast<'_>,
    audience: Audience,
    bundle: &mut Bundle,
) -> Result<(), BroadcastError> {
    if !tenant.allowance.events.take(1, Instant::now()) {
        return Err(BroadcastError::TooMany);
    }
    check_size(tenant, event)?;
    match identified(tenant, membership.key(), event) {
        Some(event) => {
            let keep = event.keep(&tenant.history);
            membership.gather_kept(&event.broadcast(), audience, bundle, keep);
        }
        None => membership.gather(event, audience, bundle),
    }
    Ok(())
}

/// Sends the bundle of a member to its room.
pub fn send(tenant: &Tenant, membership: &Membership, bundle: Bundle, audience: Audience) {
    let (messages, started) = (bundle.messages(), Instant::now());
    let delivery = membership.publish(bundle, audience);
    let (took, common) = (started.elapsed(), tenant.metrics.common());
    common.note_fan_out(took);
    common.note_handled(took);
    count(tenant, messages, delivery);
}

/// Sends a message of no member to a room; the limits have been checked. Other nodes receive it with `span`, unless it is kept: what
/// reads it later has no part in the span.
fn publish(node: &Node, (tenant, key): (&Tenant, &RoomKey), event: &Broadcast<'_>, span: &TraceSpan) {
    let (hub, started) = (&node.hub, Instant::now());
    let sent_with =
        || span.is_recorded().then(|| span.context()).flatten().filter(|_| node.link.sends_spans());
    let delivery = match (identified(tenant, key, event), sent_with()) {
        (Some(event), _) => hub.publish_kept(key, &event.broadcast(), event.keep(&tenant.history)),
        (None, Some(span)) => hub.publish(key, &InSpan { broadcast: event, span: span.to_bytes() }),
        (None, None) => hub.publish(key, event),
    };
    tenant.metrics.common().note_fan_out(started.elapsed());
    count(tenant, 1, delivery);
}

/// The broadcast with an id, if the room keeps it.
fn identified<'b>(tenant: &Tenant, room: &RoomKey, event: &Broadcast<'b>) -> Option<Identified<'b>> {
    if tenant.keeps_history_of(&room.topic) { Identified::of(event) } else { None }
}

fn check_size(tenant: &Tenant, event: &Broadcast<'_>) -> Result<(), BroadcastError> {
    let limit = tenant.allowance.max_payload_bytes();
    let exceeds = match *event {
        Broadcast::Text { payload } | Broadcast::Http { payload, .. } => term_size::exceeds(payload, limit),
        Broadcast::User { event, payload, meta } => term_size::user_broadcast(event, payload, meta) > limit,
    };
    tenant.metrics.payload_size(MessageType::Broadcast).record(payload_len(event) as f64);
    if exceeds { Err(BroadcastError::TooLarge) } else { Ok(()) }
}

fn payload_len(event: &Broadcast<'_>) -> usize {
    match event {
        Broadcast::Text { payload } | Broadcast::Http { payload, .. } => payload.len(),
        Broadcast::User { payload: UserPayload::Json(text), .. } => text.len(),
        Broadcast::User { payload: UserPayload::Binary(bytes), .. } => bytes.len(),
    }
}

fn count(tenant: &Tenant, messages: u32, delivery: Delivery) {
    let messages = u64::from(messages);
    tenant.metrics.events.increment(messages * (1 + delivery.delivered as u64));
    if delivery.unrelayed > 0 {
        tenant.metrics.bus_unsent.increment(delivery.unrelayed.into());
    }
    let dropped = messages * delivery.dropped as u64 + delivery.evicted as u64;
    if dropped > 0 {
        tenant.metrics.outbox_dropped.increment(dropped);
        tenant.reports.record(Code::OutboxFull.at(Scope::Log), Code::OutboxFull.text());
    }
}
