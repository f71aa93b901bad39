//! What clients send, turned into what the hub does. One session per connection, one module per protocol.
//!
//! A session is plain state without awaits: the connection passes it messages and the time, and it answers
//! through its outbox. So no message waits for another, and a test can drive a session without a socket.

mod client;
mod completions;
mod document_client;
pub mod hocuspocus;
mod kept_claims;
mod kept_headers;
pub mod phoenix;
mod protocol;
mod refused;
mod services;
pub mod y_websocket;

pub use client::{Admission, ClientContext};
pub use kept_claims::KeptClaims;
pub use kept_headers::KeptHeaders;
pub use protocol::{HandshakeError, Protocol, RequestTarget, SessionWithoutClaims, Unauthenticated};
pub use refused::RefusedSession;
pub use services::Services;

use std::sync::Arc;
use std::time::Instant;

use hub::{Disconnect, Outbox};

use crate::close_reason::CloseReason;
use crate::workers::Offload;

/// The beginning of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageHead<'a> {
    /// Text, cut at a character.
    Text(&'a str),
    /// Bytes.
    Binary(&'a [u8]),
}

/// The state of one connection above the transport.
///
/// A session ends its connection by a [disconnect](Outbox::disconnect) in its [outbox](Self::outbox).
pub trait Session: Send {
    /// The queue of everything that is sent to the client.
    fn outbox(&self) -> &Arc<Outbox>;

    /// Where its large messages are handled.
    fn offload(&self) -> &Arc<Offload>;

    /// Handles a whole text message. If it is large, on a thread beside the workers; nothing else is asked meanwhile.
    fn text(&mut self, message: &str);

    /// Handles a whole binary message, as a text message.
    fn binary(&mut self, message: &[u8]);

    /// A message was not received, for lack of memory; this is its beginning.
    fn skipped(&mut self, head: &MessageHead<'_>);

    /// What was received is not a message, or none that can be accepted: the connection is about to end because of `why`. Returns how
    /// that is stated to the client.
    fn broken(&mut self, why: CloseReason) -> Disconnect;

    /// Nothing more is read for now: sends what was gathered to go out together.
    fn flush(&mut self);

    /// The connection is about to end: leaves every room at once, not only when the client has gone.
    fn close(&mut self);

    /// When [`tick`](Self::tick) is needed next, if at all. Read after messages and after every tick.
    fn deadline(&self) -> Option<Instant>;

    /// The deadline has passed, or the connection was notified through its outbox: does what is due. May be called early.
    fn tick(&mut self, now: Instant);

    /// Frames were dropped because the client read too slowly, and it has now caught up.
    fn caught_up(&mut self);

    /// Counts bytes that TCP received and sent since the last call.
    fn count(&self, received: u64, sent: u64);
}
