//! The door: sockets, HTTP and WebSocket. The only place that knows hyper and tungstenite.

pub mod acceptor;
mod caller;
mod handshake;
pub mod listener;
pub mod proxy_protocol;
mod request_deadline;
mod request_id;
mod request_log;
mod router;
pub mod tls;
mod upgrade;
pub mod websocket;
