//! A WebSocket connection, from the upgrade to the last byte (RFC 6455).
//!
//! tungstenite reads: framing, masking, UTF-8 and the closing handshake are its. We write: frames are taken encoded from the
//! outbox and go to the socket in one vectored write per burst. The two meet in the `Tap`, which catches the little that
//! tungstenite writes (pongs, close frames), so that it is sent between two frames. A connection that is not in a message
//! has no state of tungstenite's and no buffer.
//!
//! One task per connection. The `echo` example measures this very code against two tasks.

mod config;
mod connection;
mod frame_header;
mod intake;
mod readable;
mod reader;
mod tap;
mod writer;

pub use config::ConnectionConfig;
pub use connection::Connection;
pub use readable::Readable;
