//! What a new slot waits for: PostgreSQL creates one only when the transactions that were open before have ended.

use std::convert::Infallible;
use std::time::Duration;

use tokio::time::sleep;

use crate::tenants::database::changes::ask;
use crate::tenants::database::{DatabaseFailure, TenantDatabase};

/// How long a slot is waited for before it is looked what it waits for, and the time between two looks.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// What blocks the session that creates the slot. The start of a transaction is seen by its own role, and by members of
/// `pg_read_all_stats`. Prepared transactions have no session.
const BLOCKING: &str = "
    SELECT blocking.pid, pg_catalog.to_char(a.xact_start AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')
    FROM pg_catalog.pg_replication_slots AS s
    CROSS JOIN LATERAL pg_catalog.unnest(pg_catalog.pg_blocking_pids(s.active_pid)) AS blocking (pid)
    LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.pid = blocking.pid
    WHERE s.slot_name = $1
    ORDER BY a.xact_start
    LIMIT 1";

/// Notes, until it is cancelled, what the creation of a slot waits for.
pub(super) async fn watch(database: &TenantDatabase, slot: &str, note: impl Fn(String)) -> Infallible {
    loop {
        sleep(LOOK_INTERVAL).await;
        // A failure is reported.
        if let Ok(Some((pid, started))) = blocking(database, slot).await {
            note(described(pid, started.as_deref()));
        }
    }
}

async fn blocking(
    database: &TenantDatabase,
    slot: &str,
) -> Result<Option<(i32, Option<String>)>, DatabaseFailure> {
    ask(database, slot, |connection, slot| {
        Box::pin(sqlx::query_as(BLOCKING).bind(slot).fetch_optional(connection))
    })
    .await
}

fn described(pid: i32, started: Option<&str>) -> String {
    let transaction = match (pid, started) {
        (0, _) => "a prepared transaction (`pg_prepared_xacts`)".to_owned(),
        (_, Some(started)) => format!("a transaction that began at {started} (pid {pid})"),
        (_, None) => format!("a transaction (pid {pid})"),
    };
    format!("a new replication slot waits for the end of {transaction}")
}
