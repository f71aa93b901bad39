//! What a connection takes from the settings: its timeouts, and the sizes of what it reads.

use std::time::Duration;

use settings::{ByteSize, Settings};

/// Timeouts and sizes of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionConfig {
    /// Silence after which the client is pinged, and again after each further one without an answer.
    pub ping_interval: Duration,
    /// Silence after which the connection is closed (1013).
    pub idle_timeout: Duration,
    /// How long the client may accept no byte before the connection is closed (1013).
    pub stall_timeout: Duration,
    /// How long the client may take to answer a close frame.
    pub close_timeout: Duration,
    /// Bytes of the longest message that is accepted (1009).
    pub max_message_size: usize,
    /// How long a large message may wait for memory and be under way.
    pub large_message_timeout: Duration,
    /// Bytes of the read buffer.
    pub read_buffer_size: usize,
}

impl ConnectionConfig {
    /// The values of `settings`.
    pub fn of(settings: &Settings) -> Self {
        let (server, outbox) = (&settings.server, &settings.outbox);
        let bytes = |size: ByteSize| usize::try_from(size.as_u64()).unwrap_or(usize::MAX);
        Self {
            ping_interval: server.ping_interval,
            idle_timeout: server.idle_timeout,
            stall_timeout: outbox.stall_timeout,
            close_timeout: server.close_timeout,
            max_message_size: bytes(server.max_frame_size),
            large_message_timeout: server.large_message_timeout,
            read_buffer_size: bytes(server.read_buffer_size),
        }
    }
}
