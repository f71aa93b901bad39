//! What is traced beside HTTP requests.

/// The name of a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpanName {
    /// The checks of a WebSocket handshake.
    Handshake,
    /// A join, from its message until it is answered.
    Join,
    /// A broadcast sent over HTTP, from its token to its response.
    Broadcast,
    /// A question to the database of a tenant: what a client may do in a room.
    Authorization,
    /// The receipt of a broadcast that another node has published.
    Receipt,
}

impl SpanName {
    /// As collectors show it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Handshake => "handshake",
            Self::Join => "join",
            Self::Broadcast => "broadcast",
            Self::Authorization => "authorize",
            Self::Receipt => "receive",
        }
    }
}
