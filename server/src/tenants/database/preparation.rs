//! What the server makes in the database of a tenant: the schema `realtime`, and the partitions of its messages.

use std::time::{Duration, SystemTime};

use sqlx::{Connection as _, PgConnection};
use tracing::{info, warn};

use super::partitions::{self, Day};
use super::schema::{self, SchemaState};
use super::{DatabaseFailure, TenantDatabase};
use crate::telemetry::codes::{Code, Scope};

/// The name of the connection that makes the schema, as upstream has it.
pub(super) const MIGRATIONS_NAME: &str = "realtime_migrations";

/// The name of the connection that makes and deletes partitions, as upstream has it.
const JANITOR_NAME: &str = "realtime_janitor";

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Makes the schema if it is not there, and the partitions that are missing.
///
/// # Errors
/// When the database cannot be connected to. What it refuses is reported: it may have what clients need. Returns whether it
/// has refused nothing.
pub(super) async fn prepare(database: &TenantDatabase) -> Result<bool, DatabaseFailure> {
    let mut connection = database.connect(MIGRATIONS_NAME).await?;
    let mut is_complete = true;
    if database.spec.usage.migrate == settings::Migrate::OnStart {
        match schema::prepare(&mut connection).await {
            Ok(prepared) => log(database, &prepared),
            Err(error) => {
                report(database, Code::MigrationsFailedToRun, &error);
                // What has taken too long may still be using it.
                drop(std::mem::replace(&mut connection, database.connect(MIGRATIONS_NAME).await?));
                is_complete = false;
            }
        }
    }
    is_complete &= make_partitions(database, &mut connection).await;
    check_roles(database, &mut connection).await?;
    let _closed = connection.close().await;
    Ok(is_complete)
}

/// Reports the roles of clients as which the role of the server may not act: their policies cannot be asked.
async fn check_roles(
    database: &TenantDatabase,
    connection: &mut PgConnection,
) -> Result<(), DatabaseFailure> {
    // A member may not act as a role since PostgreSQL 16 unless it has that option.
    let others = "SELECT rolname::text, current_user::text FROM pg_catalog.pg_roles
         WHERE rolname IN ('anon', 'authenticated', 'service_role') AND NOT pg_catalog.pg_has_role(oid,
             CASE WHEN pg_catalog.current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END)
         ORDER BY rolname";
    let others: Vec<(String, String)> = sqlx::query_as(others).fetch_all(connection).await?;
    if let Some((_, user)) = others.first() {
        let roles = others.iter().map(|(role, _)| role.as_str()).collect::<Vec<_>>().join(", ");
        warn!(
            tenant = &*database.tenant.id,
            "The server may not act as the roles of clients, who are refused in private rooms: GRANT {roles} TO \"{user}\""
        );
    }
    Ok(())
}

/// Makes the partitions of the next days, and deletes those that are older than `database.retention`, if they are to be.
///
/// # Errors
/// When the database cannot be connected to.
pub(super) async fn maintain(database: &TenantDatabase) -> Result<(), DatabaseFailure> {
    let mut connection = database.connect(JANITOR_NAME).await?;
    make_partitions(database, &mut connection).await;
    if database.spec.usage.delete_old {
        delete_old(database, &mut connection).await;
    }
    let _closed = connection.close().await;
    Ok(())
}

/// Returns whether there is one for each of the next days.
async fn make_partitions(database: &TenantDatabase, connection: &mut PgConnection) -> bool {
    let made = partitions::make_partitions(connection, Day::at(SystemTime::now())).await;
    made.inspect_err(|error| report(database, Code::PartitionCreationFailed, error)).is_ok()
}

async fn delete_old(database: &TenantDatabase, connection: &mut PgConnection) {
    let days = database.spec.usage.retention.as_secs() / DAY.as_secs();
    let first_kept = Day::at(SystemTime::now()).plus(-i64::try_from(days).unwrap_or(i64::MAX / 2));
    match partitions::drop_partitions_before(connection, first_kept).await {
        Ok(result) if !result.dropped.is_empty() => {
            info!(tenant = &*database.tenant.id, days = result.dropped.len(), "Deleted old broadcasts");
        }
        Ok(_) => {}
        Err(error) => report(database, Code::PartitionCreationFailed, &error),
    }
}

fn report(database: &TenantDatabase, code: Code, error: &schema::SchemaError) {
    database.reports().record(code.at(Scope::Log), error);
}

fn log(database: &TenantDatabase, prepared: &schema::Prepared) {
    let tenant = &*database.tenant.id;
    let schema::Prepared { state, missing_objects, missing_roles, missing_publications, .. } = prepared;
    match state {
        SchemaState::Made => info!(tenant, "Made the schema `realtime` in the database of the tenant"),
        SchemaState::Present => {}
        SchemaState::UpstreamNewer => {
            info!(tenant, "The schema `realtime` is newer than this server knows, and is left as it is");
        }
    }
    for (what, missing) in
        [("objects", missing_objects), ("roles", missing_roles), ("publications", missing_publications)]
    {
        if !missing.is_empty() {
            warn!(tenant, missing = missing.join(", "), "The database of the tenant lacks {what}");
        }
    }
}
