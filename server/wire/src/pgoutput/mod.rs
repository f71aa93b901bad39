//! What PostgreSQL's output plugin `pgoutput` sends about committed transactions, in version 1 of its protocol.
//!
//! Source: the PostgreSQL manual, «Logical Replication Message Formats». Everything borrows from the bytes of the message,
//! and only a [`Relation`] and a [`Truncate`] allocate: for as many columns and tables as they have bytes for. The columns
//! of a row are checked at once and read later, so a row that is not wanted costs one pass over its bytes.
//!
//! The messages of later protocol versions (streamed and prepared transactions) are unknown kinds here: a session that asks
//! for version 1 does not receive them.

mod error;
mod fields;
pub mod json;
mod lsn;
mod message;
mod relation;
mod row;

pub use error::PgoutputError;
pub use lsn::Lsn;
pub use message::{Begin, Commit, Delete, EmittedMessage, Insert, LogMessage, Origin, Truncate, Update};
pub use relation::{Column, Relation, ReplicaIdentity, Type};
pub use row::{COLUMNS_MAX, OldRow, Row, RowBuffer, Value, Values};

use fields::LogFields;

/// Reads one message, the whole content of an `XLogData`.
///
/// # Errors
/// When the bytes are not exactly one message of protocol version 1.
pub fn decode(message: &[u8]) -> Result<LogMessage<'_>, PgoutputError> {
    let mut fields = LogFields::new(message);
    let kind = fields.byte()?;
    let decoded = match kind {
        b'B' => LogMessage::Begin(Begin::read(&mut fields)?),
        b'C' => LogMessage::Commit(Commit::read(&mut fields)?),
        b'O' => LogMessage::Origin(Origin::read(&mut fields)?),
        b'R' => LogMessage::Relation(Relation::read(&mut fields)?),
        b'Y' => LogMessage::Type(Type::read(&mut fields)?),
        b'I' => LogMessage::Insert(Insert::read(&mut fields)?),
        b'U' => LogMessage::Update(Update::read(&mut fields)?),
        b'D' => LogMessage::Delete(Delete::read(&mut fields)?),
        b'T' => LogMessage::Truncate(Truncate::read(&mut fields)?),
        b'M' => LogMessage::Emitted(EmittedMessage::read(&mut fields)?),
        other => return Err(PgoutputError::Kind(other)),
    };
    fields.end()?;
    Ok(decoded)
}
