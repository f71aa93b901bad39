//! What the server makes in the database of a tenant: the schema `realtime`, and the partitions of its messages.

use std::time::{Duration, Instant, SystemTime};

use sqlx::{Connection as _, PgConnection};
use tracing::{info, warn};

use super::partitions::{self, Day};
use super::schema::{self, SchemaError, SchemaState};
use super::{DatabaseFailure, DatabaseState, TenantDatabase, client_roles};
use crate::telemetry::codes::{Code, Scope};

/// The name of the connection that makes the schema, as upstream has it.
pub(super) const MIGRATIONS_NAME: &str = "realtime_migrations";

/// The name of the connection that makes and deletes partitions, as upstream has it.
const JANITOR_NAME: &str = "realtime_janitor";

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Makes the schema if it is not there, and the partitions that are missing. Returns what clients need and the database still
/// lacks, for operators.
///
/// # Errors
/// When the database cannot be connected to. What it refuses is reported: it may have what clients need.
pub(super) async fn prepare(database: &TenantDatabase) -> Result<Option<String>, DatabaseFailure> {
    let mut connection = database.connect(MIGRATIONS_NAME).await?;
    let mut lacks = Vec::new();
    if database.spec.usage.migrate == settings::Migrate::OnStart {
        let (migrations, started) = (&database.tenant.metrics.common().migrations, Instant::now());
        match schema::prepare(&mut connection).await {
            Ok(prepared) => {
                if prepared.state == SchemaState::Made {
                    migrations.note_made(started.elapsed());
                }
                // It is looked at again every half minute while something is missing.
                if database.state() != DatabaseState::Ready {
                    log(database, &prepared);
                }
                if !prepared.missing_objects.is_empty() {
                    lacks.push(format!("the schema lacks {}", prepared.missing_objects.join(", ")));
                }
            }
            Err(error) => {
                migrations.note_failure(error.kind());
                report(database, Code::MigrationsFailedToRun, &error);
                lacks.push(error.with_source());
                // What has taken too long may still be using it.
                drop(std::mem::replace(&mut connection, database.connect(MIGRATIONS_NAME).await?));
            }
        }
    }
    if let Err(error) = make_partitions(database, &mut connection).await
        && lacks.is_empty()
    {
        lacks.push(error.with_source());
    }
    if let Some(grant) = client_roles::missing_grant(&mut connection).await? {
        if database.state() != DatabaseState::Ready {
            warn!(tenant = &*database.tenant.id, "The database of the tenant denies all clients: {grant}");
        }
        lacks.push(grant);
    }
    let _closed = connection.close().await;
    Ok((!lacks.is_empty()).then(|| lacks.join("; ")))
}

/// Makes the partitions of the next days, and deletes those that are older than `database.retention`, if they are to be.
///
/// # Errors
/// When the database cannot be connected to.
pub(super) async fn maintain(database: &TenantDatabase) -> Result<(), DatabaseFailure> {
    let mut connection = database.connect(JANITOR_NAME).await?;
    let _reported = make_partitions(database, &mut connection).await;
    if database.spec.usage.delete_old {
        delete_old(database, &mut connection).await;
    }
    let _closed = connection.close().await;
    Ok(())
}

/// Makes one for each of the next days.
///
/// # Errors
/// What the database refuses, which is reported.
async fn make_partitions(
    database: &TenantDatabase,
    connection: &mut PgConnection,
) -> Result<(), SchemaError> {
    let made = partitions::make_partitions(connection, Day::at(SystemTime::now())).await;
    made.map(drop).inspect_err(|error| report(database, Code::PartitionCreationFailed, error))
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

fn report(database: &TenantDatabase, code: Code, error: &SchemaError) {
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
