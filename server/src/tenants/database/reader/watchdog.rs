//! What a reader asks the database beside its session: who reads, and whether its slot is well.

use std::time::Duration;

use sqlx::PgConnection;
use tokio::time::sleep;

use super::log_stream::LogStream;
use crate::telemetry::codes::{Code, Scope};
use crate::tenants::database::{DatabaseFailure, TenantDatabase};

/// How often a slot is looked at: the session of a server that was demoted stays open, and receives nothing.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// The oid of the database.
pub(super) async fn oid(connection: &mut PgConnection) -> Result<u32, sqlx::Error> {
    let oid = "SELECT oid::bigint FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()";
    let (oid,): (i64,) = sqlx::query_as(oid).fetch_one(connection).await?;
    Ok(u32::try_from(oid).unwrap_or_default())
}

/// Whether a session has the lock with this key, and the name of the slot that it reads.
pub(super) async fn other_reader(
    database: &TenantDatabase,
    lock_key: i64,
) -> Result<(bool, Option<String>), DatabaseFailure> {
    let connection = database.acquire().await?;
    let statement = "SELECT pg_catalog.count(*) > 0, pg_catalog.max(slots.slot_name::text)
         FROM pg_catalog.pg_locks AS locks
         LEFT JOIN pg_catalog.pg_replication_slots AS slots ON slots.active_pid = locks.pid
         WHERE locks.locktype = 'advisory' AND locks.objsubid = 1 AND locks.granted
             AND locks.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
             AND (locks.classid::bigint << 32 | locks.objid::bigint) = $1";
    database
        .ask(connection, async |connection| {
            sqlx::query_as(statement).bind(lock_key).fetch_one(connection).await
        })
        .await
}

/// Looks at the slot from time to time. Returns why the session is to be replaced.
pub(super) async fn watch<S: LogStream>(database: &TenantDatabase, slot: &str, stream: &S) -> String {
    loop {
        sleep(LOOK_INTERVAL).await;
        let (code, reason) = match look_at_writer(database, slot).await {
            Ok(progress) if progress.is_active => {
                stream.note_lag(progress.unconfirmed());
                let Some(reason) = progress.is_far_behind(slot) else { continue };
                (Code::ReplicationSlotLagTooHigh, reason)
            }
            Ok(_) => (Code::ReplicationSlotNotAlive, format!("the slot {slot} is not active")),
            Err(failure) => {
                database.reports().record(Code::ReplicationSlotCheckSkipped.at(Scope::Log), &failure.reason);
                continue;
            }
        };
        database.reports().record(code.at(Scope::Log), &reason);
        return reason;
    }
}

/// How far a slot is. Positions are differences from the end of the log, in bytes; `None` if the log is no longer there.
#[derive(sqlx::FromRow)]
struct SlotProgress {
    is_active: bool,
    /// The server is a standby, or was demoted.
    is_read_only: bool,
    retained: Option<i64>,
    unconfirmed: Option<i64>,
    /// What PostgreSQL retains at most, or negative.
    retained_max: i64,
}

impl SlotProgress {
    fn unconfirmed(&self) -> u64 {
        self.unconfirmed.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0)
    }

    /// Why PostgreSQL may soon end the session, if so.
    fn is_far_behind(&self, slot: &str) -> Option<String> {
        let (behind, max) = (self.retained.unwrap_or(0), self.retained_max);
        let is_far = max >= 0 && behind > max / 2;
        is_far.then(|| format!("the slot {slot} is {behind} bytes behind, of {max} that are kept"))
    }
}

/// Looks where the name of the database leads. Connections that are open may lead to the server before.
async fn look_at_writer(database: &TenantDatabase, slot: &str) -> Result<SlotProgress, DatabaseFailure> {
    let progress = look(database, slot).await?;
    if !progress.is_read_only {
        return Ok(progress);
    }
    database.close_idle();
    look(database, slot).await
}

async fn look(database: &TenantDatabase, slot: &str) -> Result<SlotProgress, DatabaseFailure> {
    let connection = database.acquire().await?;
    // `max_slot_wal_keep_size` is in megabytes, or -1. A standby reads what it has replayed.
    let statement = "SELECT COALESCE(active, false) AS is_active,
             pg_catalog.current_setting('transaction_read_only') = 'on' AS is_read_only,
             pg_catalog.pg_wal_lsn_diff(log_end, restart_lsn)::bigint AS retained,
             pg_catalog.pg_wal_lsn_diff(log_end, confirmed_flush_lsn)::bigint AS unconfirmed,
             (SELECT setting::bigint * 1048576 FROM pg_catalog.pg_settings WHERE name = 'max_slot_wal_keep_size') AS retained_max
         FROM (SELECT CASE WHEN pg_catalog.pg_is_in_recovery()
             THEN pg_catalog.pg_last_wal_replay_lsn() ELSE pg_catalog.pg_current_wal_lsn() END) AS log (log_end)
         LEFT JOIN pg_catalog.pg_replication_slots ON slot_name = $1";
    database
        .ask(connection, async |connection| sqlx::query_as(statement).bind(slot).fetch_one(connection).await)
        .await
}
