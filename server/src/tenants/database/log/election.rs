//! Which session reads the log: the one with the lock, and then with the slot.

use super::connection::{FirstRow, LogConnection};
use super::{LogError, LogOptions};

/// Takes the advisory lock for the session, if the log can be read at all.
pub(super) async fn take_lock(connection: &mut LogConnection, options: &LogOptions) -> Result<(), LogError> {
    let sql = format!(
        "SELECT pg_catalog.current_setting('wal_level'), pg_catalog.pg_try_advisory_lock({})",
        options.lock_key
    );
    let row = connection.query(&sql).await?.unwrap_or_default();
    let [Some(wal_level), Some(is_locked)] = &row[..] else { return Err(unexpected(&row)) };
    match (&wal_level[..], &is_locked[..]) {
        (b"logical", b"t") => Ok(()),
        (b"logical", _) => Err(LogError::OtherReader),
        (other, _) => Err(LogError::NotLogical(String::from_utf8_lossy(other).into_owned())),
    }
}

fn unexpected(row: &FirstRow) -> LogError {
    LogError::Protocol(format!("a row of {} columns instead of 2", row.len()))
}
