//! Why a message of PostgreSQL could not be read. No variant holds a part of the message, which may be a user's row.

/// Why a message could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PgoutputError {
    /// It ends before its fields do, or a length exceeds what is left.
    #[error("message ends too early")]
    Truncated,
    /// Bytes are left after its last field.
    #[error("message is longer than its fields")]
    TooLong,
    /// No message of protocol version 1 begins with this byte.
    #[error("message of the unknown kind {0}")]
    Kind(u8),
    /// A row is announced by a byte that does not belong there.
    #[error("row of the unknown kind {0}")]
    RowKind(u8),
    /// A value is of a kind that does not exist.
    #[error("value of the unknown kind {0}")]
    ValueKind(u8),
    /// The replica identity is none of the four.
    #[error("unknown replica identity {0}")]
    ReplicaIdentity(u8),
    /// More columns than a row of PostgreSQL can have.
    #[error("{0} columns, which is not possible")]
    Columns(i16),
    /// A name is not UTF-8.
    #[error("a name is not UTF-8")]
    NotText,
}
