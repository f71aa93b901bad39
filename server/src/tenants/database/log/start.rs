//! The slot of a session, and where the session starts.
//!
//! A new slot begins at the present end of the log, and waits for the transactions that are open. A copy of another slot begins at once
//! and has what that one has kept: so it is known exactly whether something is missing.

use std::time::{Duration, Instant};

use wire::pgoutput::Lsn;

use super::connection::{FirstRow, LogConnection, identifier, literal};
use super::{LogError, LogOptions};

/// How long a slot may remain after the session that had it has freed the lock: PostgreSQL removes its files.
const SLOT_REMOVAL_MAX: Duration = Duration::from_secs(2);

/// The time between two attempts to create a slot whose name is not free yet.
const SLOT_ATTEMPT_INTERVAL: Duration = Duration::from_millis(100);

/// SQLSTATE `lock_not_available`: the wait for a transaction took too long.
const LOCK_TIMEOUT: &str = "55P03";

/// What the slot of a session is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SlotSource {
    /// The end of the log, once the transactions that are open have ended.
    LogEnd,
    /// Another slot of the database, which keeps the log.
    Copy {
        /// Its name.
        slot: String,
        /// Up to where the log was handled by earlier sessions, if there were any.
        handled: Option<Lsn>,
    },
}

/// Where a session starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionStart {
    /// Transactions that end after this position are received.
    pub position: Lsn,
    /// Whether transactions may be missing between what was handled before and this position.
    pub has_gap: bool,
    /// No session was there, or has handled anything: transactions that were committed before this position wait until receivers are
    /// there again.
    pub waits_before: Option<Lsn>,
}

/// Makes the slot. It is temporary: it ends with the session.
pub(super) async fn make_slot(
    connection: &mut LogConnection,
    options: &LogOptions,
) -> Result<SessionStart, LogError> {
    match &options.source {
        SlotSource::LogEnd => {
            let sql = format!(
                "CREATE_REPLICATION_SLOT {} TEMPORARY LOGICAL pgoutput NOEXPORT_SNAPSHOT",
                identifier(&options.slot)
            );
            let position = position(&create(connection, &sql).await?, 1)?;
            Ok(SessionStart { position: position.unwrap_or_default(), has_gap: true, waits_before: None })
        }
        SlotSource::Copy { slot, handled } => {
            // Before there is a slot of this session.
            let (end, others) = look(connection, options).await?;
            let sql = format!(
                "SELECT slot_name, lsn FROM pg_catalog.pg_copy_logical_replication_slot({}, {}, true)",
                literal(slot),
                literal(&options.slot)
            );
            let copied = position(&create(connection, &sql).await?, 1)?.unwrap_or_default();
            Ok(SessionStart::of_copy(copied, end, others, *handled))
        }
    }
}

/// The end of the log, and up to where other sessions of this name have handled it, if there are any.
async fn look(connection: &mut LogConnection, options: &LogOptions) -> Result<(Lsn, Option<Lsn>), LogError> {
    let sql = format!(
        "SELECT CASE WHEN pg_catalog.pg_is_in_recovery()
                 THEN pg_catalog.pg_last_wal_replay_lsn() ELSE pg_catalog.pg_current_wal_lsn() END,
             (SELECT pg_catalog.max(slots.confirmed_flush_lsn) FROM pg_catalog.pg_replication_slots AS slots
                 JOIN pg_catalog.pg_stat_activity AS sessions ON sessions.pid = slots.active_pid
                 WHERE slots.database = pg_catalog.current_database() AND sessions.application_name = {})",
        literal(options.application_name)
    );
    let row = connection.query(&sql).await?.unwrap_or_default();
    Ok((position(&row, 0)?.unwrap_or_default(), position(&row, 1)?))
}

/// Runs a statement that creates a slot. Returns its row.
async fn create(connection: &mut LogConnection, sql: &str) -> Result<FirstRow, LogError> {
    let begun = Instant::now();
    loop {
        match connection.query(sql).await {
            Ok(row) => return Ok(row.unwrap_or_default()),
            Err(LogError::SlotInUse(_)) if begun.elapsed() < SLOT_REMOVAL_MAX => {
                tokio::time::sleep(SLOT_ATTEMPT_INTERVAL).await;
            }
            Err(LogError::Server { code, .. }) if code == LOCK_TIMEOUT => return Err(LogError::SlotTimeout),
            Err(error) => return Err(error),
        }
    }
}

impl SessionStart {
    /// Of a slot that was copied at `copied`, when the log ended at `end` and other sessions had handled it up to `others`.
    fn of_copy(copied: Lsn, end: Lsn, others: Option<Lsn>, handled: Option<Lsn>) -> Self {
        let at = |position| Self { position, has_gap: false, waits_before: None };
        match (handled, others) {
            (Some(handled), _) if (copied..=end).contains(&handled) => at(handled),
            // The database has dropped a part of the log, or is another one by now.
            (Some(_), _) => Self { has_gap: true, ..at(copied) },
            // Receivers of others have the changes until now.
            (None, Some(others)) if others > copied => at(end),
            // Others have just started too. Later changes find their receivers.
            (None, Some(_)) => Self { waits_before: Some(end), ..at(copied) },
            (None, None) => Self { waits_before: Some(Lsn(u64::MAX)), ..at(copied) },
        }
    }
}

/// A position in the log, as PostgreSQL writes it; `None` for NULL.
fn position(row: &FirstRow, column: usize) -> Result<Option<Lsn>, LogError> {
    let wrong = || LogError::Protocol("a row without a position in the log".into());
    let Some(text) = row.get(column).ok_or_else(wrong)? else { return Ok(None) };
    let (high, low) =
        std::str::from_utf8(text).ok().and_then(|text| text.split_once('/')).ok_or_else(wrong)?;
    let half = |text| u32::from_str_radix(text, 16).map_err(|_not_hexadecimal| wrong());
    Ok(Some(Lsn(u64::from(half(high)?) << 32 | u64::from(half(low)?))))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn a_session_starts_where_this_node_has_stopped_or_after_a_gap() {
        let start = |copied, others: Option<u64>, handled: Option<u64>| {
            let start = SessionStart::of_copy(Lsn(copied), Lsn(100), others.map(Lsn), handled.map(Lsn));
            (start.position.0, start.has_gap, start.waits_before.map(|before| before.0))
        };
        assert_eq!(start(50, None, Some(70)), (70, false, None));
        assert_eq!(start(50, Some(90), Some(50)), (50, false, None));
        assert_eq!(start(50, None, Some(40)), (50, true, None), "the slot was made again");
        assert_eq!(start(50, None, Some(101)), (50, true, None), "the database was restored");
        assert_eq!(start(50, Some(51), None), (100, false, None), "others read");
        assert_eq!(start(50, Some(50), None), (50, false, Some(100)), "others start too");
        assert_eq!(start(50, None, None), (50, false, Some(u64::MAX)), "all nodes have stopped");
    }

    #[test]
    fn a_position_is_read_and_a_damaged_one_is_an_error() {
        let read = |text: &'static str| position(&vec![Some(Bytes::from_static(text.as_bytes()))], 0);
        assert_eq!(read("16/B374D848").unwrap(), Some(Lsn(0x16_B374_D848)));
        assert_eq!(position(&vec![None], 0).unwrap(), None);
        assert!(read("16").is_err() && read("x/1").is_err() && position(&Vec::new(), 0).is_err());
    }
}
