//! What the server promises, as conversations between clients and a server; a file per feature.
//!
//! Comments cite the notes in docs/protocol. Each test starts a server of its own on a free port. `imports`,
//! `citations` and `words` test the sources themselves.

mod addresses;
mod admin;
mod broadcast;
mod bus;
mod busy_sockets;
mod changes;
mod citations;
mod database_broadcasts;
mod documents;
mod draining;
mod frames;
mod handshake;
mod heads;
mod health;
mod heartbeat;
mod history;
mod hostile;
mod http_broadcast;
mod idle;
mod imports;
mod internal;
mod joining;
mod jwks;
mod jwks_url;
mod jwks_waits;
mod keep_alive;
mod large_messages;
mod limits;
mod memory;
mod metrics;
mod metrics_push;
mod openapi;
mod outbox;
mod permissions;
mod ping;
mod presence;
mod private_rooms;
mod protocols;
mod proxy_protocol;
mod refusals;
mod reload;
mod replay;
mod repository;
mod request_ids;
mod rfc6455;
mod rolling_restart;
mod routes;
mod session_memory;
mod sockets;
mod stopping;
mod tenant_connections;
mod tenant_sources;
mod tenants;
mod tenants_api;
mod tenants_contract;
mod tls;
mod tokens;
mod trace_collectors;
mod traces;
mod unread_pages;
mod unverified;
mod waiting_joins;
mod words;

use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};

/// A count for a setting that must not be zero.
fn count(n: u32) -> NonZeroU32 {
    NonZeroU32::new(n).expect("not zero")
}

/// A number of things for a setting that must not be zero.
fn size(n: usize) -> NonZeroUsize {
    NonZeroUsize::new(n).expect("not zero")
}

/// Milliseconds for a setting that must not be zero.
fn millis(n: u64) -> NonZeroU64 {
    NonZeroU64::new(n).expect("not zero")
}
