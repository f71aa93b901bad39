//! Whether a connection that is open still leads to the writer.
//!
//! After a failover the name of a database leads to another server, while the one before may stay up as a reader, with the connections
//! that were open; and for some seconds new connections still lead to it. So each connection that is used again is asked, instead of
//! tested alone, and closed if it is read-only: the next one leads where the name leads by then. A database that is read-only on purpose
//! is read, by more connections.

use sqlx::{Executor, Postgres, Row as _};

/// Of a standby, and of sessions that are read-only by default (`default_transaction_read_only`).
const IS_READ_ONLY: &str = "SELECT pg_catalog.current_setting('transaction_read_only') = 'on'";

/// Whether the connection is open and accepts writes.
pub(super) async fn accepts_writes(connection: impl Executor<'_, Database = Postgres>) -> bool {
    let row = connection.fetch_one(sqlx::raw_sql(IS_READ_ONLY)).await;
    row.and_then(|row| row.try_get(0)).is_ok_and(|is_read_only: bool| !is_read_only)
}
