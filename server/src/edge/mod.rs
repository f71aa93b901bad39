//! The door: sockets, HTTP and WebSocket. The only place that knows hyper and tungstenite.

mod caller;
mod handshake;
pub mod listener;
mod request_id;
mod request_log;
mod router;
pub mod websocket;
