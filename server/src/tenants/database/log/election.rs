//! Which session reads the log: the one with the lock, and then with the slot.

use super::connection::{FirstRow, LogConnection};
use super::{LogError, LogOptions};

/// Takes the advisory lock for the session, if the log can be read at all. Returns whether the server is a standby.
pub(super) async fn take_lock(
    connection: &mut LogConnection,
    options: &LogOptions,
) -> Result<bool, LogError> {
    let sql = format!(
        "SELECT pg_catalog.current_setting('wal_level'), pg_catalog.pg_try_advisory_lock({}), pg_catalog.pg_is_in_recovery()",
        options.lock_key
    );
    let row = connection.query(&sql).await?.unwrap_or_default();
    let [Some(wal_level), Some(is_locked), Some(is_standby)] = &row[..] else { return Err(unexpected(&row)) };
    match (&wal_level[..], &is_locked[..]) {
        (b"logical", b"t") => Ok(&is_standby[..] == b"t"),
        (b"logical", _) => Err(LogError::OtherReader),
        (other, _) => Err(LogError::NotLogical(String::from_utf8_lossy(other).into_owned())),
    }
}

fn unexpected(row: &FirstRow) -> LogError {
    LogError::Protocol(format!("a row of {} columns instead of 3", row.len()))
}
