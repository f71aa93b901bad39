//! **Realtime Server**: rooms for applications. This page is the map of the code.
//!
//! ```text
//! main ─ cli ─ app ─ edge ─ sessions ─ broadcast, presence, documents, changes, admin, openapi ─ node ─ tenants, auth ─ bus ─┐
//!                                                                                    telemetry ──────────────────────────────┤
//!                                     crates:  settings (a leaf)      wire (bytes ↔ messages) ─ hub ─────────────────────────┘
//! ```
//!
//! | module | responsibility |
//! |---|---|
//! | [`cli`] | the command line: `serve`, `token`, `health`, `probe`, `tenants`, `config`, `migrate`, `completions`, `man`, `version` |
//! | [`app`] | builds the server out of its parts, starts and stops it |
//! | [`resources`] | files and addresses that settings name, as a start, a reload and `config check` load them |
//! | [`reload`] | reloads the settings when their files change |
//! | [`drain`] | stops the server so that a client notices one reconnect and nothing else |
//! | [`edge`] | sockets, TLS, HTTP, WebSocket |
//! | [`sessions`] | turns messages of clients into calls of slices and hub; one module per protocol |
//! | [`broadcast`], [`presence`], [`documents`], [`changes`], [`admin`] | the slices: one feature each |
//! | [`routes`] | HTTP routes: what a slice declares about its endpoints, enforced by the edge (`docs/http.md`) |
//! | [`openapi`] | the OpenAPI document of all routes |
//! | [`response`], [`query`] | HTTP responses, and the query of a request |
//! | [`node`] | what all parts of this process share: identity, lifecycle, settings, hub, tenants |
//! | [`tenants`] | the owners of rooms: keys, limits, open sockets; merges what several sources specify |
//! | [`auth`] | verifies tokens, and decides who may join or administer |
//! | [`bus`] | connects the nodes of a cluster |
//! | [`store`] | what is remembered: tenants and documents, in SQLite, PostgreSQL or memory, and the encryption of their secrets |
//! | [`telemetry`] | logs, metrics and traces |
//! | [`close_reason`] | why the server closes a WebSocket, and with which code |
//! | [`pem`] | files of certificates and keys |
//! | [`outgoing`] | the client of HTTP requests that the server sends itself |
//! | [`backoff`] | waits between attempts |
//! | [`new_credentials`] | tries credentials that were rotated, before they are used |
//! | [`permit`], [`token_bucket`] | counts what is bounded: in number, such as sockets and users; in time, such as messages |
//! | [`addresses`] | the same for each client address: WebSockets, calls without a valid token |
//! | [`crypto`] | chooses the cryptography provider of TLS; TLS without verification |
//! | [`watch`] | reports when a file has changed |
//! | [`version`] | the version and the commit of this build |
//! | crate `hub` | rooms: members, fan-out, presence, outboxes. No await, no JSON, no sockets |
//! | crate `wire` | bytes ↔ messages. Pure, fuzzed |
//! | crate `settings` | what can be configured |
//!
//! The path of a message: `edge::websocket` (bytes) → `wire::phoenix` (refs and topic borrowed, payload left as text) →
//! `sessions::phoenix` (which membership?) → `broadcast` (allowed? too large? too fast?) → a `hub::Bundle` with whatever
//! else was read at once → `hub` (fan-out) → outboxes, each drained by its connection in one vectored write.
//!
//! # Invariants
//!
//! 1. `hub` does not await, does not allocate per member on a publish, and knows no protocol.
//! 2. A frame is encoded at most once per event, dialect and delivery group, and copied at most once more, into a bundle.
//! 3. No lock is held across an await. Lock order is shard → room → outbox, observer (the queues of the relay and of others) or
//!    history; these are leaves, no callback runs under one.
//! 4. Every queue is bounded (frames *and* bytes), named in the settings, counted when full; no hidden second queue
//!    (tungstenite's write buffer included).
//! 5. `wire` takes any bytes without panic, without unbounded memory, in linear time.
//! 6. Only `edge` and the clients in `cli` use hyper and tungstenite, only `telemetry` exporters, only `settings::load` figment, only `bus::redis`
//!    Redis, only `store` and `tenants::database` sqlx and SQL, only `tenants::database::log` pgwire-replication,
//!    only `watch` notify, only `auth` jsonwebtoken, only `outgoing` and what sends requests with it reqwest,
//!    only `documents` yrs.
//! 7. One snapshot of the settings per operation.
//! 8. A default is written once, in `Default`.
//! 9. No tenant can see, slow down or name what belongs to another tenant.
//! 10. Nothing that a client sends can stall another connection, or another topic of its own connection.
//! 11. Only the [lifecycle](node::Lifecycle) says that the server stops: what ends with a phase holds its token.
//!
//! Imports go down only, and slices do not import slices: `tests/e2e/imports.rs` reads the `use` lines. State that a slice
//! owns is a field of [`sessions::Services`], which `app` builds; `node` holds only what the layers below the slices need.

pub mod addresses;
pub mod admin;
pub mod app;
pub mod auth;
pub mod backoff;
pub mod broadcast;
pub mod bus;
pub mod changes;
pub mod cli;
pub mod close_reason;
pub mod crypto;
pub mod documents;
pub mod drain;
pub mod edge;
pub mod new_credentials;
pub mod node;
pub mod openapi;
pub mod outgoing;
pub mod pem;
pub mod permit;
pub mod presence;
pub mod query;
pub mod reload;
pub mod resources;
pub mod response;
pub mod routes;
pub mod sessions;
pub mod store;
pub mod telemetry;
pub mod tenants;
pub mod token_bucket;
pub mod version;
pub mod watch;
pub mod workers;
