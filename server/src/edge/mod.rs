//! Sockets, HTTP and WebSocket. The only place of the server that knows hyper and tungstenite.

pub mod acceptor;
mod authorise;
mod caller;
mod cors;
mod handshake;
mod head_check;
mod head_scanner;
pub mod listener;
mod listener_kind;
pub mod networks;
pub mod proxy_protocol;
mod request_body;
mod request_deadline;
mod request_id;
mod request_log;
mod request_span;
mod router;
mod sockets;
pub mod tls;
mod upgrade;
mod upgrade_routes;
pub mod websocket;

pub use listener_kind::ListenerKind;
pub use upgrade_routes::{ServedProtocol, upgrade_routes};
