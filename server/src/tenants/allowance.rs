//! What a tenant's clients may use together, and how much of it they have used.

use std::num::NonZeroUsize;
use std::time::Duration;

use hub::TokenBucket;
use settings::Limits;

/// Limits with their counters. Rates are token buckets with a burst of ten seconds.
#[derive(Debug)]
pub struct Allowance {
    /// Connections that have joined a room.
    pub max_concurrent_users: usize,
    /// Rooms of one connection.
    pub max_channels_per_client: usize,
    /// Bytes of one payload, measured as [`wire::term_size`] does.
    pub max_payload_bytes: usize,
    /// Messages accepted per second; also told to HTTP clients.
    pub max_events_per_second: u64,
    /// Messages accepted from senders.
    pub events: TokenBucket,
    /// Joins.
    pub joins: TokenBucket,
    /// Presence calls.
    pub presence_events: TokenBucket,
    /// Presence calls of one client in one room within `client_presence_window`.
    pub client_presence_calls: u32,
    /// See `client_presence_calls`.
    pub client_presence_window: Duration,
}

impl Allowance {
    /// Full buckets for `limits`. `everyone` stands in where the number of users is not limited by itself.
    pub fn new(limits: &Limits, everyone: NonZeroUsize) -> Self {
        let max_events_per_second = u64::from(limits.max_events_per_second.get());
        Self {
            max_concurrent_users: limits.max_concurrent_users.unwrap_or(everyone).get(),
            max_channels_per_client: limits.max_channels_per_client.get(),
            max_payload_bytes: limits.max_payload_bytes(),
            max_events_per_second,
            events: TokenBucket::per_second(max_events_per_second),
            joins: TokenBucket::per_second(limits.max_joins_per_second.get().into()),
            presence_events: TokenBucket::per_second(limits.max_presence_events_per_second.get().into()),
            client_presence_calls: limits.max_client_presence_events_per_window.get(),
            client_presence_window: Duration::from_millis(limits.client_presence_window_ms.get()),
        }
    }
}
