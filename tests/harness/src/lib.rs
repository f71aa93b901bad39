//! Support for tests that are written as conversations between clients and a server.
//!
//! [`check`] runs a script against a server of its own: the frames that each client sends and the frames that it
//! must receive, as they are on the wire. `script.rs` describes the language. A test that needs a loop, a clock
//! or malformed bytes is written in Rust with [`World`] (a server), [`Client`] (a WebSocket client), [`Request`]
//! (plain HTTP), [`Provider`] (an identity provider) and [`RawSocket`] (frames that no library sends).
//!
//! Every wait is bounded by [`WAIT_MAX`] and nothing sleeps: that a client receives *nothing* is shown by a
//! heartbeat whose reply comes first. A test whose server panicked fails when its [`World`] is dropped.

mod certificate;
mod chaos_proxy;
mod client;
mod cloudwatch_receiver;
mod conversation;
mod endpoint;
mod expect;
mod haproxy;
mod http;
mod keys;
mod managed_server;
mod memory_exporter;
mod metrics_receiver;
mod openapi;
mod otlp_spans;
mod panics;
mod postgres;
mod postgres_session;
mod provider;
mod raw;
mod received_body;
mod redis;
mod script;
mod server_process;
mod span_receiver;
mod tokens;
mod unresponsive;
mod world;

use std::time::Duration;

pub use self::redis::{Redis, RedisOptions};
pub use certificate::Certificate;
pub use chaos_proxy::ChaosProxy;
pub use client::{Client, Dialect, Frame};
pub use cloudwatch_receiver::{Answer, CloudWatchReceiver, PutMetrics, SentMetric};
pub use conversation::Conversation;
pub use endpoint::Endpoint;
pub use expect::matches;
pub use haproxy::Haproxy;
pub use http::{Request, Response};
pub use jsonwebtoken::Algorithm;
pub use keys::{KeyPair, key_set};
pub use managed_server::ManagedServer;
pub use memory_exporter::MemoryExporter;
pub use metrics_receiver::{MetricsReceiver, Pushed};
pub use otlp_spans::ReceivedSpan;
pub use postgres::Postgres;
pub use postgres_session::PostgresSession;
pub use provider::Provider;
pub use raw::{RawFrame, RawSocket, opcode};
pub use realtime_server::node::ChangedKeys;
pub use realtime_server::node::{LifecyclePhase, Urgency};
pub use realtime_server::tenants::{SourceUnavailable, TenantSource, TenantSpec};
pub use server_process::ServerProcess;
pub use span_receiver::{Accepts, SpanReceiver};
pub use tokens::{Token, TokenIssuer};
pub use tokio_rustls::rustls;
pub use unresponsive::Unresponsive;
pub use world::{Drain, World};

/// The timeout of every single wait in a test: far more than any takes, also while other suites use the same cores.
pub const WAIT_MAX: Duration = Duration::from_secs(20);

/// Runs a conversation with a fresh server of default settings, and stops that server.
///
/// # Panics
/// When a line fails; the message shows the line, the expected frame and the received one.
pub async fn check(script: &str) {
    let world = World::start().await;
    world.check(script).await;
    world.stop().await;
}

/// Polls until the condition holds, for changes without an event to wait for (a slot freed after a disconnect).
///
/// # Panics
/// When it does not hold within [`WAIT_MAX`].
pub async fn eventually(what: &str, holds: impl AsyncFnMut() -> bool) {
    eventually_within(WAIT_MAX, what, holds).await;
}

/// As [`eventually`], with another limit: for what a test needs and does not test.
///
/// # Panics
/// When it does not hold in this time.
pub async fn eventually_within(limit: Duration, what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let polling = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(limit, polling).await.is_ok(), "does not hold in time: {what}");
}
