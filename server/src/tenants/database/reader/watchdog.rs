//! What a reader asks the database beside its session: what it needs before, and whether its slot is well.

use std::time::Duration;

use sqlx::Connection as _;
use tokio::time::sleep;

use crate::telemetry::codes::{Code, Scope};
use crate::tenants::database::{DatabaseFailure, TenantDatabase, schema};

/// The name of the connection that makes the publication.
const MIGRATIONS_NAME: &str = "realtime_migrations";

/// How often the slot is looked at, as upstream does.
const INTERVAL: Duration = Duration::from_secs(300);

/// Makes the publication of the messages if it is not there. Returns the oid of the database.
pub(super) async fn prepare(database: &TenantDatabase) -> Result<u32, DatabaseFailure> {
    let mut connection = database.connect(MIGRATIONS_NAME).await?;
    let failed =
        |error: schema::SchemaError| DatabaseFailure::new(Code::StartReplicationFailed, error.to_string());
    if !schema::make_messages_publication(&mut connection).await.map_err(failed)? {
        let reason =
            "the publication supabase_realtime_messages_publication is missing, and the role may not make it";
        return Err(DatabaseFailure::new(Code::StartReplicationFailed, reason));
    }
    let oid = "SELECT oid::bigint FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()";
    let (oid,): (i64,) = sqlx::query_as(oid).fetch_one(&mut connection).await?;
    let _closed = connection.close().await;
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
pub(super) async fn watch(database: &TenantDatabase, slot: &str) -> String {
    loop {
        sleep(INTERVAL).await;
        match check(database, slot).await {
            Ok(None) => {}
            Ok(Some((code, reason))) => {
                database.reports().record(code.at(Scope::Log), &reason);
                return reason;
            }
            Err(failure) => {
                database.reports().record(Code::ReplicationSlotCheckSkipped.at(Scope::Log), &failure.reason);
            }
        }
    }
}

async fn check(database: &TenantDatabase, slot: &str) -> Result<Option<(Code, String)>, DatabaseFailure> {
    let connection = database.acquire().await?;
    // In bytes; `max_slot_wal_keep_size` is in megabytes, or -1.
    let statement = "SELECT active, pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), restart_lsn)::bigint,
             (SELECT setting::bigint * 1048576 FROM pg_catalog.pg_settings WHERE name = 'max_slot_wal_keep_size')
         FROM pg_catalog.pg_replication_slots WHERE slot_name = $1";
    let found: Option<(bool, Option<i64>, i64)> = database
        .ask(connection, async |connection| {
            sqlx::query_as(statement).bind(slot).fetch_optional(connection).await
        })
        .await?;
    Ok(match found {
        Some((true, lag, max)) if max >= 0 && lag.unwrap_or(0) > max / 2 => {
            let reason =
                format!("the slot {slot} is {} bytes behind, of {max} that are kept", lag.unwrap_or(0));
            Some((Code::ReplicationSlotLagTooHigh, reason))
        }
        Some((true, _, _)) => None,
        _ => Some((Code::ReplicationSlotNotAlive, format!("the slot {slot} is not active"))),
    })
}
