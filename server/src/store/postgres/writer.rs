//! Whether a connection that is open still leads to the writer.
//!
//! After a failover the name of a database leads to another server, while the one before may stay up as a reader, with the connections
//! that were open; and for some seconds new connections still lead to it. So each connection that is used again is asked, instead of
//! tested alone, and closed if it is read-only: the next one leads where the name leads by then. A database that is read-only on purpose
//! is read, by more connections.
//!
//! A connection may end, or its server be demoted, between this and the statement. So what has no effect yet is repeated once, over
//! another connection: a read in any case, a write only if it was refused as one. Of a write whose connection has ended it is unknown
//! whether it was committed.

use sqlx::{Executor, Postgres, Row as _};

use crate::store::StoreError;
use crate::store::row::READ_ONLY;

/// Of a standby, and of sessions that are read-only by default (`default_transaction_read_only`).
const IS_READ_ONLY: &str = "SELECT pg_catalog.current_setting('transaction_read_only') = 'on'";

/// Whether the connection is open and accepts writes.
pub(super) async fn accepts_writes(connection: impl Executor<'_, Database = Postgres>) -> bool {
    let row = connection.fetch_one(sqlx::raw_sql(IS_READ_ONLY)).await;
    row.and_then(|row| row.try_get(0)).is_ok_and(|is_read_only: bool| !is_read_only)
}

/// The result of a read, which is repeated once if its connection was of no use any more.
pub(super) async fn read<T, Read>(query: impl Fn() -> Read) -> Result<T, StoreError>
where
    Read: Future<Output = sqlx::Result<T>>,
{
    Ok(match query().await {
        Err(error) if has_ended(&error) => query().await?,
        result => result?,
    })
}

/// The result of a write, which is repeated once if its connection was that of a reader.
pub(super) async fn write<T, Write>(statements: impl Fn() -> Write) -> Result<T, StoreError>
where
    Write: Future<Output = Result<T, StoreError>>,
{
    match statements().await {
        Err(StoreError::ReadOnly(_)) => statements().await,
        result => result,
    }
}

/// Whether the connection has ended, for example by an administrator or a crash, or is read-only.
fn has_ended(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) => true,
        sqlx::Error::Database(error) => {
            error.code().is_some_and(|code| [READ_ONLY, "57P01", "57P02"].contains(&&*code))
        }
        _ => false,
    }
}
