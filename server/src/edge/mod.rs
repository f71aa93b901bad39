//! The door: sockets, HTTP and WebSocket. The only place that knows hyper and tungstenite.

mod handshake;
pub mod listener;
mod router;
pub mod websocket;
