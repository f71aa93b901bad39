//! Broadcasts that rooms keep for members that join later (`[broadcast.history]`; docs/protocol/history.md).
//!
//! Which rooms keep what is in the policy of their tenant. What is kept is in the hub, which does so in the order in which
//! members receive it, or on the bus if there is one (`cluster.rs`). A member that joins reads it after its join is confirmed: whatever was published before is found
//! here, and what is published from then on it receives, so it misses nothing, and drops by their ids what it gets twice.

mod cluster;
mod identified;
mod ids;

use std::sync::Arc;
use std::time::Duration;

use hub::{HistoryQuery, HistoryRead, KeptMessage, MemoryCharge, RoomKey};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use wire::phoenix::UserPayload;
use wire::relay;
use wire::supabase::Broadcast;

use self::cluster::ClusterRead;
use crate::bus::{BusError, Connectivity};
use crate::node::Node;
use crate::tenants::Tenant;

pub use identified::Identified;
pub use ids::next_id;

pub(super) use self::cluster::{CLOCK_SKEW, UNCONFIRMED_AGE};
pub(super) use self::ids::time_of;

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

/// What was read of a room.
#[derive(Debug, Default)]
pub struct ReadHistory {
    /// The messages, the oldest first.
    pub messages: Vec<KeptMessage>,
    /// As in [`HistoryRead`].
    pub is_complete: bool,
    /// For messages that are not shared with the hub.
    _charge: Option<MemoryCharge>,
}

/// Why a history cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The bus, which keeps it, cannot be reached or refuses.
    #[error("the history of the room cannot be read")]
    Bus(#[source] BusError),
    /// The bus has not answered within `bus.timeout`.
    #[error("the history of the room was not read within `bus.timeout`")]
    TimedOut,
}

/// Reads what the room keeps: `limit` messages, and at most `max_replay` of the tenant's settings. To be called when the join
/// of the reader is confirmed: what it does not receive as a member is found then.
///
/// # Errors
/// Only if there is a bus.
pub async fn read(
    node: &Node,
    tenant: &Tenant,
    room: &RoomKey,
    query: HistoryQuery,
) -> Result<ReadHistory, HistoryError> {
    let policy = tenant.policy();
    let bounds = tenant.history.bounds().filter(|_| policy.history().keeps(&room.topic));
    let Some(bounds) = bounds else { return Ok(ReadHistory::default()) };
    let limit = query.limit.min(policy.history().max_replay.get() as usize).min(bounds.messages);
    let query = HistoryQuery { limit, ..query };
    if node.link.connectivity() == Connectivity::Standalone {
        let HistoryRead { messages, is_complete } = tenant.history.read(room, &query);
        return Ok(ReadHistory { messages, is_complete, _charge: None });
    }
    let read = ClusterRead { node, tenant, room, query, bounds }.run();
    timeout(node.settings().bus.timeout, read).await.unwrap_or(Err(HistoryError::TimedOut))
}

/// Drops what is too old, until `stop`.
pub async fn run_sweeper(node: Arc<Node>, stop: CancellationToken) {
    let mut interval = interval(SWEEP_INTERVAL);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let age_max = match node.link.connectivity() {
        Connectivity::Standalone => Duration::MAX,
        _with_other_nodes => UNCONFIRMED_AGE,
    };
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = interval.tick() => node.tenants.all().iter().for_each(|tenant| tenant.history.sweep(age_max)),
        }
    }
}
