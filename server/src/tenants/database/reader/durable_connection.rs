//! The connection on which the slot of changes is advanced and dropped, beside the pool.

use std::time::Duration;

use sqlx::{Executor as _, PgConnection};
use tokio::time::timeout;
use wire::pgoutput::Lsn;

use super::durable_slot::{CONNECTION_NAME, DurableSlot};
use crate::telemetry::codes::Code;
use crate::tenants::database::{DatabaseFailure, TenantDatabase};

/// How long the database may take to advance the slot: it reads the log from where the oldest open transaction has begun.
const ADVANCE_MAX: Duration = Duration::from_secs(60);

/// How long the answer may take after that.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// A connection for what may take longer than a question of a client.
pub(super) async fn connect(database: &TenantDatabase) -> Result<PgConnection, DatabaseFailure> {
    let mut connection = database.connect(CONNECTION_NAME).await?;
    let statement = format!("SET statement_timeout = {}", ADVANCE_MAX.as_millis());
    connection.execute(sqlx::raw_sql(&statement)).await?;
    Ok(connection)
}

/// Advances the slot. Returns the connection if it can be used again.
pub(super) async fn advance(
    mut connection: PgConnection,
    slot: &DurableSlot,
    position: Lsn,
) -> Result<PgConnection, DatabaseFailure> {
    let silent = || DatabaseFailure::new(Code::QueryCanceled, "the database does not answer");
    let advanced = timeout(ADVANCE_MAX + ANSWER_MAX, slot.advance(&mut connection, position)).await;
    advanced.map_err(|_elapsed| silent())??;
    Ok(connection)
}
