//! Why a session could not be opened, or has ended.

use std::io;
use std::sync::Arc;

use pgwire_replication::PgWireError;
use pgwire_replication::protocol::ErrorFields;

/// The longest text of the server in an error, in characters.
const TEXT_CHARS_MAX: usize = 200;

/// Why a session could not be opened, or has ended. No variant holds a password or a row.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Nothing answers at the address.
    #[error("cannot connect")]
    Connect(#[source] io::Error),
    /// Connecting, authentication and the lock took too long.
    #[error("the database does not answer in time")]
    ConnectTimeout,
    /// The server offers no TLS.
    #[error("the database does not offer TLS")]
    TlsRefused,
    /// The certificate is not that of the host, or encryption is not possible for another reason.
    #[error("TLS fails")]
    Tls(#[source] io::Error),
    /// The password or the role is wrong, or the server asks for something that this client does not have.
    #[error("authentication fails: {0}")]
    Authentication(String),
    /// The role may not read the log.
    #[error("the role may not read the write-ahead log; it needs `ALTER ROLE … REPLICATION`: {0}")]
    NotPermitted(String),
    /// The server has no free WAL sender, replication slot or connection.
    #[error("the database has no free WAL sender or replication slot: {0}")]
    NoWalSenders(String),
    /// `wal_level` of the server is not `logical`.
    #[error("`wal_level` of the database is `{0}`, and must be `logical`")]
    NotLogical(String),
    /// Another session has the lock.
    #[error("another session reads the write-ahead log")]
    OtherReader,
    /// Another session has a slot of this name, perhaps in another database of the server.
    #[error("a replication slot of this name exists: {0}")]
    SlotInUse(String),
    /// Transactions that were open before did not end in time.
    #[error("transactions of the database stay open, for whose end a new replication slot has to wait")]
    SlotTimeout,
    /// The server is a standby, and makes no slot: before PostgreSQL 16, as Aurora's readers.
    #[error("the database is a standby that does not decode its log: {0}")]
    Standby(String),
    /// A publication does not exist, or did not exist when the change was written.
    #[error("a publication is missing: {0}")]
    PublicationMissing(String),
    /// A message is larger than allowed.
    #[error("a row of {bytes} bytes, and at most {max} are allowed")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The largest size.
        max: usize,
    },
    /// This process was stopped for so long that the server may have ended the session.
    #[error("this process was stopped for longer than the session lasts without it")]
    Stopped,
    /// The server has not sent anything for long, although it was asked to.
    #[error("the database is silent")]
    Silent,
    /// The connection is closed.
    #[error("the connection is closed")]
    Closed,
    /// The connection fails.
    #[error("the connection fails")]
    Io(#[source] Arc<io::Error>),
    /// The server violates its protocol.
    #[error("the database violates the protocol: {0}")]
    Protocol(String),
    /// Another error of the server.
    #[error("{text} (SQLSTATE {code})")]
    Server {
        /// SQLSTATE.
        code: String,
        /// The message.
        text: String,
    },
}

impl LogError {
    /// Whether a session cannot go on because of what is in the log, so that the next one fails there too. If not, the database or the
    /// connection is away, or refuses sessions.
    pub fn is_of_content(&self) -> bool {
        match self {
            Self::PublicationMissing(_) | Self::TooLarge { .. } | Self::Protocol(_) => true,
            // Connections, resources and operators have classes of their own.
            Self::Server { code, .. } => !["08", "53", "57"].iter().any(|class| code.starts_with(class)),
            _ => false,
        }
    }

    /// When a slot is made on a server, which may be a standby.
    pub(super) fn of_server(self, is_standby: bool) -> Self {
        match self {
            Self::Server { text, .. } if is_standby => Self::Standby(text),
            other => other,
        }
    }

    /// From the connection. A server that closes it while bytes of ours are unread resets it.
    pub(super) fn from_io(error: Arc<io::Error>) -> Self {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
        match error.kind() {
            UnexpectedEof | ConnectionReset | ConnectionAborted | BrokenPipe => Self::Closed,
            _ => Self::Io(error),
        }
    }

    /// From an `ErrorResponse`.
    pub(super) fn from_response(payload: &[u8]) -> Self {
        let fields = ErrorFields::parse(payload);
        let text = printable(&fields.message.unwrap_or_default());
        let code = printable(&fields.code.unwrap_or_default());
        // The manual of PostgreSQL, «PostgreSQL Error Codes».
        match &*code {
            "28000" | "28P01" => Self::Authentication(text),
            "42501" => Self::NotPermitted(text),
            "53300" | "53400" => Self::NoWalSenders(text),
            "42710" | "55006" => Self::SlotInUse(text),
            "42704" => Self::PublicationMissing(text),
            "57P01" | "57P02" | "57P05" => Self::Closed,
            _ => Self::Server { code, text },
        }
    }
}

/// The beginning of a text of the server, on one line.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(TEXT_CHARS_MAX).collect()
}

impl From<PgWireError> for LogError {
    fn from(error: PgWireError) -> Self {
        match error {
            PgWireError::Io(error) => Self::from_io(error),
            PgWireError::MessageTooLarge { payload_bytes, limit_bytes } => {
                Self::TooLarge { bytes: payload_bytes, max: limit_bytes }
            }
            PgWireError::Auth(text) => Self::Authentication(printable(&text)),
            other => Self::Protocol(printable(&other.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_the_server_ends_is_closed_however_it_ends() {
        let of = |kind: io::ErrorKind| LogError::from_io(Arc::new(kind.into()));
        assert!(matches!(of(io::ErrorKind::UnexpectedEof), LogError::Closed));
        assert!(matches!(of(io::ErrorKind::ConnectionReset), LogError::Closed));
        assert!(matches!(of(io::ErrorKind::BrokenPipe), LogError::Closed));
        assert!(matches!(of(io::ErrorKind::TimedOut), LogError::Io(_)));
    }
}
