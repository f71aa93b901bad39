//! Tests that read like conversations.
//!
//! [`check`] runs a script against a server of its own: who says what, and who must hear what, word
//! for word as it stands on the wire. The language is described in `script.rs`. What needs a loop, a
//! clock or broken bytes is written in Rust with [`World`] (a server), [`Client`] (a WebSocket that
//! speaks a dialect), [`Request`] (plain HTTP), [`Provider`] (an identity
//! provider) and [`RawSocket`] (frames no library would send).
//!
//! Every wait is bounded by [`WAIT_MAX`] and nothing sleeps: that somebody hears *nothing* is shown
//! by a heartbeat answered at once. A world whose server panicked fails its test.

mod certificate;
mod chaos_proxy;
mod client;
mod conversation;
mod endpoint;
mod expect;
mod haproxy;
mod http;
mod keys;
mod memory_exporter;
mod panics;
mod provider;
mod raw;
mod redis;
mod script;
mod tokens;
mod world;

use std::time::Duration;

pub use self::redis::{Redis, RedisOptions};
pub use certificate::Certificate;
pub use chaos_proxy::ChaosProxy;
pub use client::{Client, Dialect, Frame};
pub use conversation::Conversation;
pub use endpoint::Endpoint;
pub use expect::matches;
pub use haproxy::Haproxy;
pub use http::{Request, Response};
pub use jsonwebtoken::Algorithm;
pub use keys::{KeyPair, key_set};
pub use memory_exporter::MemoryExporter;
pub use provider::Provider;
pub use raw::{RawFrame, RawSocket, opcode};
pub use realtime_server::drain::Urgency;
pub use realtime_server::node::Changes;
pub use tokens::{Token, TokenIssuer};
pub use tokio_rustls::rustls;
pub use world::{Drain, World};

/// How long anything may take before a test gives up on it.
pub const WAIT_MAX: Duration = Duration::from_secs(5);

/// Runs a conversation with a fresh server of default settings, and stops that server.
///
/// # Panics
/// When the conversation goes otherwise than written; the message shows the line, what was expected
/// and what came.
pub async fn check(script: &str) {
    let world = World::start().await;
    world.check(script).await;
    world.stop().await;
}

/// Asks again and again until the answer is yes, for what nobody announces (a slot that frees after a hang-up).
///
/// # Panics
/// When it is still no after [`WAIT_MAX`].
pub async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let asking = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(WAIT_MAX, asking).await.is_ok(), "never came true: {what}");
}
