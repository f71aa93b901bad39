//! What a tenant's clients may use together, and how much of it they have used on this node.
//!
//! Limits are replaced while they are in use, each by itself: a plain number that the next operation reads. So a
//! message costs no lock and no access to the settings.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use settings::{ByteSize, Limits};

use crate::token_bucket::TokenBucket;

/// Limits with their counters. Rates are token buckets with a burst of ten seconds, and apply to one node: a tenant with
/// clients on two nodes has them twice.
#[derive(Debug)]
pub struct Allowance {
    /// Messages accepted from senders on this node.
    pub events: TokenBucket,
    /// Changes of tables that are sent to channels on this node, counted by the subscriptions that they are for.
    pub changes: TokenBucket,
    /// Joins on this node.
    pub joins: TokenBucket,
    /// Presence calls on this node.
    pub presence_events: TokenBucket,
    max_concurrent_users: AtomicUsize,
    node_max_connections: AtomicUsize,
    max_connections: AtomicUsize,
    max_channels_per_client: AtomicUsize,
    max_payload_bytes: AtomicUsize,
    max_events_per_second: AtomicU64,
    max_presence_bytes_per_room: AtomicUsize,
    max_document_bytes: AtomicUsize,
    max_document_update_bytes: AtomicUsize,
    max_awareness_bytes: AtomicUsize,
    client_presence_calls: AtomicU32,
    client_presence_window_ms: AtomicU64,
}

impl Allowance {
    /// Full buckets for `limits`. A tenant has no more users on this node than the node has connections.
    pub(super) fn new(limits: &Limits, node_max_connections: NonZeroUsize) -> Self {
        let allowance = Self {
            events: TokenBucket::per_second(0),
            changes: TokenBucket::per_second(0),
            joins: TokenBucket::per_second(0),
            presence_events: TokenBucket::per_second(0),
            max_concurrent_users: AtomicUsize::default(),
            node_max_connections: AtomicUsize::default(),
            max_connections: AtomicUsize::default(),
            max_channels_per_client: AtomicUsize::default(),
            max_payload_bytes: AtomicUsize::default(),
            max_events_per_second: AtomicU64::default(),
            max_presence_bytes_per_room: AtomicUsize::default(),
            max_document_bytes: AtomicUsize::default(),
            max_document_update_bytes: AtomicUsize::default(),
            max_awareness_bytes: AtomicUsize::default(),
            client_presence_calls: AtomicU32::default(),
            client_presence_window_ms: AtomicU64::default(),
        };
        allowance.set(limits, node_max_connections);
        allowance
    }

    /// Applies these limits. What was used stays used.
    pub(super) fn set(&self, limits: &Limits, node_max_connections: NonZeroUsize) {
        let users = limits.max_concurrent_users.map_or(usize::MAX, NonZeroUsize::get);
        self.max_concurrent_users.store(users, Ordering::Relaxed);
        self.node_max_connections.store(node_max_connections.get(), Ordering::Relaxed);
        self.max_connections
            .store(limits.connections().unwrap_or(node_max_connections).get(), Ordering::Relaxed);
        self.max_channels_per_client.store(limits.max_channels_per_client.get(), Ordering::Relaxed);
        self.max_payload_bytes.store(limits.max_payload_bytes(), Ordering::Relaxed);
        self.max_events_per_second.store(limits.max_events_per_second.get().into(), Ordering::Relaxed);
        let bytes = |size: Option<ByteSize>| {
            size.and_then(|size| usize::try_from(size.as_u64()).ok()).unwrap_or(usize::MAX)
        };
        let room_bytes = bytes(Some(limits.max_presence_bytes_per_room));
        self.max_presence_bytes_per_room.store(room_bytes, Ordering::Relaxed);
        self.max_document_bytes.store(bytes(limits.max_document_bytes), Ordering::Relaxed);
        self.max_document_update_bytes.store(bytes(limits.max_document_update_bytes), Ordering::Relaxed);
        self.max_awareness_bytes.store(bytes(limits.max_awareness_bytes), Ordering::Relaxed);
        let calls = limits.max_client_presence_events_per_window.get();
        self.client_presence_calls.store(calls, Ordering::Relaxed);
        self.client_presence_window_ms.store(limits.client_presence_window_ms.get(), Ordering::Relaxed);
        self.events.set_rate(limits.max_events_per_second.get().into());
        self.changes.set_rate(limits.max_events_per_second.get().into());
        self.joins.set_rate(limits.max_joins_per_second.get().into());
        self.presence_events.set_rate(limits.max_presence_events_per_second.get().into());
    }

    /// Connections on this node that may have joined a room, given the users of the other nodes.
    pub fn max_users_here(&self, users_elsewhere: usize) -> usize {
        let users = self.max_concurrent_users.load(Ordering::Relaxed).saturating_sub(users_elsewhere);
        users.min(self.node_max_connections.load(Ordering::Relaxed))
    }

    /// WebSockets on this node, whether or not they have joined a room.
    pub fn max_connections(&self) -> usize {
        self.max_connections.load(Ordering::Relaxed)
    }

    /// Rooms of one connection.
    pub fn max_channels_per_client(&self) -> usize {
        self.max_channels_per_client.load(Ordering::Relaxed)
    }

    /// Bytes of one payload, measured as [`wire::term_size`] does.
    pub fn max_payload_bytes(&self) -> usize {
        self.max_payload_bytes.load(Ordering::Relaxed)
    }

    /// Messages accepted per second on this node; HTTP responses name it.
    pub fn max_events_per_second(&self) -> u64 {
        self.max_events_per_second.load(Ordering::Relaxed)
    }

    /// Bytes that one room shows as presence.
    pub fn max_presence_bytes_per_room(&self) -> usize {
        self.max_presence_bytes_per_room.load(Ordering::Relaxed)
    }

    /// Bytes of one shared document; [`usize::MAX`] if the tenant has no limit of its own.
    pub fn max_document_bytes(&self) -> usize {
        self.max_document_bytes.load(Ordering::Relaxed)
    }

    /// Bytes of one update of a shared document, likewise.
    pub fn max_document_update_bytes(&self) -> usize {
        self.max_document_update_bytes.load(Ordering::Relaxed)
    }

    /// Bytes that one client shows of itself in a shared document, likewise.
    pub fn max_awareness_bytes(&self) -> usize {
        self.max_awareness_bytes.load(Ordering::Relaxed)
    }

    /// Presence calls of one client in one room within [`client_presence_window`](Self::client_presence_window).
    pub fn client_presence_calls(&self) -> u32 {
        self.client_presence_calls.load(Ordering::Relaxed)
    }

    /// See [`client_presence_calls`](Self::client_presence_calls).
    pub fn client_presence_window(&self) -> Duration {
        Duration::from_millis(self.client_presence_window_ms.load(Ordering::Relaxed))
    }
}
