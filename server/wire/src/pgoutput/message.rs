//! The kinds of messages, but for the definitions of tables and types.

use super::fields::LogFields;
use super::{Lsn, OldRow, PgoutputError, Relation, Row, Type};

/// A message. Those of a transaction come in one piece, between its [`Begin`] and its [`Commit`]; transactions come in the
/// order in which they were committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogMessage<'a> {
    /// A transaction begins.
    Begin(Begin),
    /// A transaction ends.
    Commit(Commit),
    /// The transaction was replicated from another server.
    Origin(Origin<'a>),
    /// The definition of a table, before its first row and after each change of the definition.
    Relation(Relation<'a>),
    /// The definition of a type, before the first table that has it.
    Type(Type<'a>),
    /// A row is new.
    Insert(Insert<'a>),
    /// A row has changed.
    Update(Update<'a>),
    /// A row is gone.
    Delete(Delete<'a>),
    /// Tables were emptied.
    Truncate(Truncate),
    /// A message that was written by `pg_logical_emit_message`. Only sessions that ask for them receive it.
    Emitted(EmittedMessage<'a>),
}

/// The beginning of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Begin {
    /// Position of its commit record.
    pub final_lsn: Lsn,
    /// When it was committed, in microseconds since 2000-01-01.
    pub committed_at: i64,
    /// Its id, without the epoch.
    pub transaction_id: u32,
}

/// The end of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commit {
    /// Position of the commit record.
    pub lsn: Lsn,
    /// Position after it: once this is confirmed, the transaction is not sent again.
    pub end_lsn: Lsn,
    /// When it was committed, in microseconds since 2000-01-01.
    pub committed_at: i64,
}

/// The server that a transaction came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin<'a> {
    /// Position of the commit on that server.
    pub lsn: Lsn,
    /// Its name.
    pub name: &'a str,
}

/// A new row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Insert<'a> {
    /// The table.
    pub relation: u32,
    /// The row.
    pub new: Row<'a>,
}

/// A changed row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Update<'a> {
    /// The table.
    pub relation: u32,
    /// The row before. Without it, the replica identity of the row has not changed.
    pub old: Option<OldRow<'a>>,
    /// The row after.
    pub new: Row<'a>,
}

/// A deleted row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delete<'a> {
    /// The table.
    pub relation: u32,
    /// The row.
    pub old: OldRow<'a>,
}

/// Emptied tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Truncate {
    /// The tables.
    pub relations: Vec<u32>,
    /// Whether `CASCADE` was given.
    pub cascade: bool,
    /// Whether `RESTART IDENTITY` was given.
    pub restart_identity: bool,
}

/// A message that is no change of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EmittedMessage<'a> {
    /// Whether it is a part of the transaction, and so comes only if that was committed.
    pub is_transactional: bool,
    /// Its position.
    pub lsn: Lsn,
    /// What its writer calls it.
    pub prefix: &'a str,
    /// Its content.
    pub content: &'a [u8],
}

impl Begin {
    pub(super) fn read(fields: &mut LogFields<'_>) -> Result<Self, PgoutputError> {
        Ok(Self { final_lsn: fields.lsn()?, committed_at: fields.i64()?, transaction_id: fields.u32()? })
    }
}

impl Commit {
    pub(super) fn read(fields: &mut LogFields<'_>) -> Result<Self, PgoutputError> {
        // Flags, none of which has a meaning yet.
        fields.byte()?;
        Ok(Self { lsn: fields.lsn()?, end_lsn: fields.lsn()?, committed_at: fields.i64()? })
    }
}

impl<'a> Origin<'a> {
    pub(super) fn read(fields: &mut LogFields<'a>) -> Result<Self, PgoutputError> {
        Ok(Self { lsn: fields.lsn()?, name: fields.text()? })
    }
}

impl<'a> Insert<'a> {
    pub(super) fn read(fields: &mut LogFields<'a>) -> Result<Self, PgoutputError> {
        let relation = fields.u32()?;
        match fields.byte()? {
            b'N' => Ok(Self { relation, new: Row::read(fields)? }),
            other => Err(PgoutputError::RowKind(other)),
        }
    }
}

impl<'a> Update<'a> {
    pub(super) fn read(fields: &mut LogFields<'a>) -> Result<Self, PgoutputError> {
        let relation = fields.u32()?;
        let kind = fields.byte()?;
        if kind == b'N' {
            return Ok(Self { relation, old: None, new: Row::read(fields)? });
        }
        let old = Some(OldRow::read(kind, fields)?);
        match fields.byte()? {
            b'N' => Ok(Self { relation, old, new: Row::read(fields)? }),
            other => Err(PgoutputError::RowKind(other)),
        }
    }
}

impl<'a> Delete<'a> {
    pub(super) fn read(fields: &mut LogFields<'a>) -> Result<Self, PgoutputError> {
        let relation = fields.u32()?;
        let kind = fields.byte()?;
        Ok(Self { relation, old: OldRow::read(kind, fields)? })
    }
}

impl<'a> OldRow<'a> {
    fn read(kind: u8, fields: &mut LogFields<'a>) -> Result<Self, PgoutputError> {
        match kind {
            b'K' => Row::read(fields).map(Self::Key),
            b'O' => Row::read(fields).map(Self::Full),
            other => Err(PgoutputError::RowKind(other)),
        }
    }
}

impl Truncate {
    const CASCADE: u8 = 1;
    const RESTART_IDENTITY: u8 = 2;

    pub(super) fn read(fields: &mut LogFields<'_>) -> Result<Self, PgoutputError> {
        let count = usize::try_from(fields.i32()?).map_err(|_negative| PgoutputError::Truncated)?;
        let options = fields.byte()?;
        if count > fields.len() / size_of::<u32>() {
            return Err(PgoutputError::Truncated);
        }
        let relations = (0..count).map(|_| fields.u32()).collect::<Result<_, _>>()?;
        let has = |option| options & option != 0;
        Ok(Self { relations, cascade: has(Self::CASCADE), restart_identity: has(Self::RESTART_IDENTITY) })
    }
}

impl<'a> EmittedMessage<'a> {
    const TRANSACTIONAL: u8 = 1;

    pub(super) fn read(fields: &mut LogFields<'a>) -> Result<Self, PgoutputError> {
        let is_transactional = fields.byte()? & Self::TRANSACTIONAL != 0;
        Ok(Self { is_transactional, lsn: fields.lsn()?, prefix: fields.text()?, content: fields.bytes()? })
    }
}
