//! Broadcasts that rooms keep for members that join later (`[broadcast.history]`; docs/protocol/history.md).
//!
//! Which rooms keep what is in the policy of their tenant. What is kept is in the hub, which does so in the order in which
//! members receive it. A member that joins reads it after its join is confirmed: whatever was published before is found
//! here, and what is published from then on it receives, so it misses nothing, and drops by their ids what it gets twice.

mod identified;
mod ids;

use std::sync::Arc;
use std::time::Duration;

use hub::{HistoryQuery, HistoryRead, KeptMessage, RoomKey};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use wire::phoenix::UserPayload;
use wire::relay;
use wire::supabase::Broadcast;

use crate::node::Node;
use crate::tenants::Tenant;

pub use identified::Identified;
pub use ids::next_id;

/// How often messages that are too old are dropped.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// A broadcast that was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeptBroadcast<'k> {
    /// Its `meta.id`.
    pub id: Uuid,
    /// The user's event.
    pub event: &'k str,
    /// The inner payload.
    pub payload: UserPayload<'k>,
}

impl<'k> KeptBroadcast<'k> {
    /// The broadcast in a kept message.
    pub fn of(message: &'k KeptMessage) -> Option<Self> {
        let id = Uuid::from_u128(message.id);
        match relay::decode_events(message.frame.bytes()).ok()?.next()? {
            Broadcast::User { event, payload, .. } => Some(Self { id, event, payload }),
            Broadcast::Http { event, payload, .. } => {
                Some(Self { id, event, payload: UserPayload::Json(payload) })
            }
            // It has no metadata, so none is kept in this form.
            Broadcast::Text { .. } => None,
        }
    }
}

/// Reads what the room keeps, `limit` messages and at most `max_replay` of the tenant's settings. To be called when the
/// join of the reader is confirmed.
pub fn read(tenant: &Tenant, room: &RoomKey, query: HistoryQuery) -> HistoryRead {
    let policy = tenant.policy();
    if !policy.history().keeps(&room.topic) {
        return HistoryRead::default();
    }
    let limit = query.limit.min(policy.history().max_replay.get() as usize);
    tenant.history.read(room, &HistoryQuery { limit, ..query })
}

/// Drops what is too old, until `stop`.
pub async fn run_sweeper(node: Arc<Node>, stop: CancellationToken) {
    let mut interval = interval(SWEEP_INTERVAL);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = interval.tick() => node.tenants.all().iter().for_each(|tenant| tenant.history.sweep()),
        }
    }
}
