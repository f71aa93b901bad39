//! Bytes to messages and back: the only crate that knows the wire formats of clients, nodes and PostgreSQL's log.
//!
//! Pure functions over borrowed bytes. No clock, no socket, no state, no logging. Whatever the input, nothing here panics,
//! time and memory are linear in it, and the error for what cannot be read never quotes it, so that it may be logged
//! ([`phoenix::DecodeError`]).
//!
//! JSON that is only forwarded stays text: it is validated once, when it is received, and copied into the frames that are
//! sent. Building a tree would cost more than all the rest, and would change how the sender wrote numbers.
//!
//! - [`websocket`]: whole frames, ready for a socket
//! - [`phoenix`]: the envelope, in its two dialects
//! - [`supabase`]: the payloads inside the envelope
//! - [`relay`]: the messages between nodes
//! - [`yjs`]: what shared documents consist of on the wire, in the encoding of [`lib0`]
//! - [`y_websocket`] and [`hocuspocus`]: the messages around it, in two protocols
//! - [`pgoutput`]: what PostgreSQL sends about committed transactions
//! - [`term_size`]: the size of a payload as upstream's limits measure it

mod broadcast;
mod change_type;
pub mod hocuspocus;
pub mod lib0;
pub mod pgoutput;
pub mod phoenix;
mod raw_json;
pub mod relay;
pub mod supabase;
pub mod term_size;
pub mod websocket;
pub mod y_websocket;
pub mod yjs;
