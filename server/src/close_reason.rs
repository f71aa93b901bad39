//! Why the server closes a WebSocket: the close code and the reason, in one table.
//!
//! A client of channels decides by the code whether it reconnects, and it should after every close of this table. So the
//! table has no code that is final for a client: 1000 is final for phoenix.js 1.6 and 1.7, 1000 and 1001 are for
//! realtime-py 2.4 to 2.28, 4000 and above are for supabase-swift. A test below checks that; the official clients
//! in `tests/clients` reconnect after each code. Clients of documents have codes of [their own](DocumentCloseReason) beside these.

mod document;

use std::borrow::Cow;

use hub::Disconnect;

pub use document::DocumentCloseReason;

/// Why the server closes a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// The server stops or restarts.
    Restarting,
    /// An operator has disconnected the tenant's clients.
    Disconnected,
    /// The tenant was suspended. The next handshake is refused with that reason.
    Suspended,
    /// The tenant was removed from the settings. The next handshake is refused with that reason.
    Removed,
    /// The client has sent no byte for `server.idle_timeout`.
    Idle,
    /// The client has joined no room for `server.no_channel_timeout`.
    NoChannel,
    /// The client has accepted no byte for `outbox.stall_timeout`.
    ReadsTooSlowly,
    /// There is no memory for the rest of a large message, of which a part was received (`server.memory_budget`).
    OutOfMemory,
    /// What the client sent breaks RFC 6455.
    ProtocolError,
    /// A text message is not UTF-8.
    InvalidText,
    /// A message is larger than `server.max_frame_size`.
    MessageTooLarge {
        /// The limit in bytes.
        max: usize,
    },
}

impl CloseReason {
    /// The close code (RFC 6455 §7.4 and its registry).
    pub const fn code(self) -> u16 {
        match self {
            Self::ProtocolError => 1002,
            Self::InvalidText => 1007,
            Self::MessageTooLarge { .. } => 1009,
            Self::Restarting | Self::Disconnected | Self::Suspended | Self::Removed => 1012,
            Self::Idle | Self::NoChannel | Self::ReadsTooSlowly | Self::OutOfMemory => 1013,
        }
    }

    /// The reason sent with the code.
    pub fn text(self) -> Cow<'static, str> {
        match self {
            Self::Restarting => "server is restarting".into(),
            Self::Disconnected => "an operator has disconnected this tenant".into(),
            Self::Suspended => "tenant is suspended".into(),
            Self::Removed => "tenant was removed".into(),
            Self::Idle => "idle timeout".into(),
            Self::NoChannel => "no channel joined".into(),
            Self::ReadsTooSlowly => "reading too slowly".into(),
            Self::OutOfMemory => "no memory for a large message".into(),
            Self::ProtocolError => "protocol error".into(),
            Self::InvalidText => "text message is not UTF-8".into(),
            Self::MessageTooLarge { max } => format!("message is larger than {max} bytes").into(),
        }
    }
}

impl From<CloseReason> for Disconnect {
    fn from(reason: CloseReason) -> Self {
        Self { code: reason.code(), reason: reason.text() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [CloseReason; 11] = [
        CloseReason::Restarting,
        CloseReason::Disconnected,
        CloseReason::Suspended,
        CloseReason::Removed,
        CloseReason::Idle,
        CloseReason::NoChannel,
        CloseReason::ReadsTooSlowly,
        CloseReason::OutOfMemory,
        CloseReason::ProtocolError,
        CloseReason::InvalidText,
        CloseReason::MessageTooLarge { max: usize::MAX },
    ];

    /// Returns whether a client reconnects after a close code.
    type Reconnects = fn(u16) -> bool;

    /// The clients of docs/protocol/clients.md#reconnecting and what they do, by their source.
    const CLIENTS: [(&str, Reconnects); 9] = [
        ("phoenix.js 1.4, 1.5, 1.8", |_| true),
        ("phoenix.js 1.6, 1.7", |code| code != 1000),
        ("realtime-js 2.9 to 3", |_| true),
        ("realtime-py 2.4 to 2.28", |code| !matches!(code, 1000 | 1001)),
        ("realtime-py from 2.34", |_| true),
        ("realtime_client (Dart)", |_| true),
        ("supabase-swift", |code| code < 4000),
        ("supabase-kt", |_| true),
        ("realtime-csharp", |_| true),
    ];

    #[test]
    fn every_client_reconnects_after_every_close_code() {
        for reason in ALL {
            for (client, reconnects) in CLIENTS {
                assert!(reconnects(reason.code()), "{client} does not reconnect after {reason:?}");
            }
        }
    }

    // RFC 6455 §5.5: a control frame carries 125 bytes, two of which are the code.
    #[test]
    fn every_text_fits_a_close_frame() {
        for reason in ALL {
            assert!(reason.text().len() <= 123, "{reason:?}");
        }
    }
}
