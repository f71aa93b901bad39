//! Tables and types, which PostgreSQL describes in a session before the first row that refers to them, and again after each
//! change of their definition.

use super::PgoutputError;
use super::fields::LogFields;
use super::row::column_count;

/// A table of the publication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation<'a> {
    /// The id by which rows refer to it: its OID.
    pub id: u32,
    /// Its schema; empty for `pg_catalog`.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// What identifies a row in updates and deletions.
    pub replica_identity: ReplicaIdentity,
    /// The published columns, in the order in which rows have their values.
    pub columns: Vec<Column<'a>>,
}

/// A column of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column<'a> {
    /// Whether it belongs to the replica identity. With [`ReplicaIdentity::Full`] all columns do.
    pub is_key: bool,
    /// Its name.
    pub name: &'a str,
    /// OID of its type.
    pub type_id: u32,
    /// Modifier of the type, such as the length of a `varchar`; -1 for none.
    pub type_modifier: i32,
}

/// What identifies a row in updates and deletions (`REPLICA IDENTITY`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplicaIdentity {
    /// The primary key, if there is one.
    Default,
    /// Nothing.
    Nothing,
    /// All columns.
    Full,
    /// The columns of an index.
    Index,
}

/// A type that is not built in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Type<'a> {
    /// Its OID.
    pub id: u32,
    /// Its schema; empty for `pg_catalog`.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
}

/// The shortest column: flags, an empty name, type, modifier.
const COLUMN_BYTES_MIN: usize = 10;

impl<'a> Relation<'a> {
    pub(super) fn read(fields: &mut LogFields<'a>) -> Result<Self, PgoutputError> {
        let (id, namespace, name) = (fields.u32()?, fields.text()?, fields.text()?);
        let replica_identity = ReplicaIdentity::read(fields)?;
        let count = column_count(fields)?;
        if count * COLUMN_BYTES_MIN > fields.len() {
            return Err(PgoutputError::Truncated);
        }
        let columns = (0..count).map(|_| Column::read(fields)).collect::<Result<_, _>>()?;
        Ok(Self { id, namespace, name, replica_identity, columns })
    }
}

impl<'a> Column<'a> {
    /// The bit of a column's flags that marks it as a part of the replica identity; the others have no meaning.
    const KEY: u8 = 1;

    fn read(fields: &mut LogFields<'a>) -> Result<Self, PgoutputError> {
        let is_key = fields.byte()? & Self::KEY != 0;
        Ok(Self { is_key, name: fields.text()?, type_id: fields.u32()?, type_modifier: fields.i32()? })
    }
}

impl ReplicaIdentity {
    fn read(fields: &mut LogFields<'_>) -> Result<Self, PgoutputError> {
        match fields.byte()? {
            b'd' => Ok(Self::Default),
            b'n' => Ok(Self::Nothing),
            b'f' => Ok(Self::Full),
            b'i' => Ok(Self::Index),
            other => Err(PgoutputError::ReplicaIdentity(other)),
        }
    }
}

impl<'a> Type<'a> {
    pub(super) fn read(fields: &mut LogFields<'a>) -> Result<Self, PgoutputError> {
        Ok(Self { id: fields.u32()?, namespace: fields.text()?, name: fields.text()? })
    }
}
