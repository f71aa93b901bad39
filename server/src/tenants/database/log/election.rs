//! Which session reads the log: the one with the lock, and then with the slot.

use std::time::{Duration, Instant};

use super::connection::{FirstRow, LogConnection, identifier};
use super::{LogError, LogOptions};

/// How long a slot may remain after the session that had it has freed the lock: PostgreSQL removes its files.
const SLOT_REMOVAL_MAX: Duration = Duration::from_secs(2);

/// The time between two attempts to create a slot whose name is not free yet.
const SLOT_ATTEMPT_INTERVAL: Duration = Duration::from_millis(100);

/// SQLSTATE `lock_not_available`: the wait for a transaction took too long.
const LOCK_TIMEOUT: &str = "55P03";

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

/// Creates the slot. It is temporary: it ends with the session.
pub(super) async fn create_slot(
    connection: &mut LogConnection,
    options: &LogOptions,
) -> Result<(), LogError> {
    let sql = format!(
        "CREATE_REPLICATION_SLOT {} TEMPORARY LOGICAL pgoutput NOEXPORT_SNAPSHOT",
        identifier(&options.slot)
    );
    let begun = Instant::now();
    loop {
        match connection.query(&sql).await {
            Ok(_) => return Ok(()),
            Err(LogError::SlotInUse(_)) if begun.elapsed() < SLOT_REMOVAL_MAX => {
                tokio::time::sleep(SLOT_ATTEMPT_INTERVAL).await;
            }
            Err(LogError::Server { code, .. }) if code == LOCK_TIMEOUT => return Err(LogError::SlotTimeout),
            Err(error) => return Err(error),
        }
    }
}

fn unexpected(row: &FirstRow) -> LogError {
    LogError::Protocol(format!("a row of {} columns instead of 2", row.len()))
}
