//! Bytes to messages and back: the only crate that knows how clients, and nodes, spell things.
//!
//! Pure functions over borrowed bytes. No clock, no socket, no state, no logging. Whatever arrives,
//! nothing here panics, time and memory stay linear in the input, and what cannot be read comes back
//! as a [`phoenix::Malformed`] that never quotes it, so that it may be logged.
//!
//! JSON that is only passed on stays text: it is checked once, when it comes in, and copied into the
//! frames that go out. Building a tree would cost more than all the rest, and would lose the sender's
//! spelling of numbers.
//!
//! - [`websocket`]: whole frames, ready for a socket
//! - [`phoenix`]: the envelope, in its two dialects
//! - [`supabase`]: what lies inside the envelope
//! - [`relay`]: what nodes say to each other
//! - [`term_size`]: how large a payload is, by the measure upstream's limits are written in

pub mod phoenix;
mod raw_json;
pub mod relay;
pub mod supabase;
pub mod term_size;
pub mod websocket;
