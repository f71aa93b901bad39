//! What a client says, turned into what the hub does. One session per connection, one module per protocol.
//!
//! A session is plain state without awaits: the connection hands it messages and the time, and it answers
//! through its outbox. So no message waits for another, and a test can drive a session without a socket.

pub mod phoenix;
mod services;

pub use services::Services;

use std::sync::Arc;
use std::time::Instant;

use hub::Outbox;

/// One connection's conversation, seen from the transport.
///
/// To end the connection a session says goodbye through its [outbox](Self::outbox).
pub trait Session: Send + Unpin {
    /// Where everything the client is to hear is queued.
    fn outbox(&self) -> &Arc<Outbox>;

    /// A whole text message.
    fn text(&mut self, message: &str);

    /// A whole binary message.
    fn binary(&mut self, message: &[u8]);

    /// What came is no message: the connection is about to end because of `why`.
    fn broken(&mut self, why: &str);

    /// Nothing more is to be read for now: what was held back to go out together goes out.
    fn flush(&mut self);

    /// The connection is about to end: leaves every room, so that nobody waits for it to be gone.
    fn close(&mut self);

    /// When [`tick`](Self::tick) is needed next, if at all. Looked at after messages and after every tick.
    fn deadline(&self) -> Option<Instant>;

    /// The deadline has passed, or a little time has, or somebody rang: does what is due.
    fn tick(&mut self, now: Instant);

    /// Frames were dropped because the client read too slowly, and it has now caught up.
    fn caught_up(&mut self);

    /// Counts bytes that went through the connection since the last call, as TCP saw them.
    fn count(&self, received: u64, sent: u64);
}
