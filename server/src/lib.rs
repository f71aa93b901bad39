//! **Realtime Server**: rooms for applications. This page is the map.
//!
//! ```text
//! main ─ cli ─ app ─ edge ─ sessions ─ broadcast, presence, admin ─ node ─ tenants, auth ─ bus ─┐
//!                                                                         telemetry ────────────┤
//!                          crates:  settings (a leaf)      wire (bytes ↔ messages) ─ hub ───────┘
//! ```
//!
//! | where | what it answers |
//! |---|---|
//! | [`cli`] | what can be typed: `serve`, `token`, `health`, `config`, `completions`, `man`, `version` |
//! | [`app`] | how the parts are put together, started and stopped |
//! | [`resources`] | the files and addresses that settings name, as a start, a reload and `config check` load them |
//! | [`reload`] | how the settings follow their files while it runs |
//! | [`drain`] | how it stops without anybody noticing more than one reconnect |
//! | [`edge`] | sockets, HTTP, the WebSocket; the only place that knows hyper and tungstenite |
//! | [`sessions`] | what a client says → what the hub does; one module per protocol |
//! | [`broadcast`], [`presence`], [`admin`] | the slices: one feature each, none knows another |
//! | [`routes`] | HTTP routes: what a slice declares about its endpoints, enforced by the edge (`docs/http.md`) |
//! | [`response`], [`query`] | HTTP responses, and the query of a request |
//! | [`node`] | what every part of this process shares |
//! | [`tenants`] | who owns rooms: keys, limits, open sockets |
//! | [`auth`] | which tokens are believed |
//! | [`bus`] | how nodes hear each other |
//! | [`telemetry`] | logs and metrics |
//! | [`close_reason`] | why the server closes a WebSocket, and with which code |
//! | [`pem`] | files of certificates and keys |
//! | [`permit`] | what is bounded in number: sockets, users, WebSockets of an address |
//! | [`crypto`] | which cryptography TLS uses |
//! | [`watch`] | when a file has changed |
//! | [`version`] | the version and the commit of this build |
//! | crate `hub` | rooms: members, fan-out, presence, outboxes. No await, no JSON, no sockets |
//! | crate `wire` | bytes ↔ messages. Pure, fuzzed |
//! | crate `settings` | what can be configured |
//!
//! A message's way: `edge::websocket` (bytes) → `wire::phoenix` (refs and topic borrowed, payload left as
//! text) → `sessions::phoenix` (which membership?) → `broadcast` (allowed? too large? too fast?) → a
//! `hub::Bundle` with whatever else was read at once → `hub` (fan-out) → outboxes, each drained by its
//! connection in one vectored write.
//!
//! # Invariants
//!
//! 1. `hub` does not await, does not allocate per member on a publish, and knows no protocol.
//! 2. A frame is encoded at most once per event, dialect and delivery group, and copied at most once more,
//!    into a bundle.
//! 3. No lock is held across an await. Lock order is shard → room → outbox or observer (the queues of the
//!    relay and of others); these two are leaves, no callback runs under one.
//! 4. Every queue is bounded (frames *and* bytes), named in the settings, counted when full; no hidden
//!    second queue (tungstenite's write buffer included).
//! 5. `wire` takes any bytes without panic, without unbounded memory, in linear time.
//! 6. Only `edge` knows hyper and tungstenite; only `telemetry` knows exporters; only
//!    `settings::load` knows figment; only `bus::redis` knows Redis.
//! 7. One snapshot of the settings per operation.
//! 8. A default is written once, in `Default`.
//! 9. No tenant can see, slow down or name another tenant's things.
//! 10. Nothing a client sends can stall another connection, or another topic of its own connection.
//!
//! Imports go down only, slices do not import slices: `tests/e2e/imports.rs` reads the `use` lines.
//! `node` stands beside the agreed design: slices and sessions need the same handful of things, and one
//! struct below them all is simpler than handing five around.

pub mod admin;
pub mod app;
pub mod auth;
pub mod broadcast;
pub mod bus;
pub mod cli;
pub mod close_reason;
pub mod crypto;
pub mod drain;
pub mod edge;
pub mod node;
pub mod pem;
pub mod permit;
pub mod presence;
pub mod query;
pub mod reload;
pub mod resources;
pub mod response;
pub mod routes;
pub mod sessions;
pub mod telemetry;
pub mod tenants;
pub mod version;
pub mod watch;
