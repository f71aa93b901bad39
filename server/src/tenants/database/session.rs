//! Sessions of the database of a tenant: how they are opened, and what each of them needs.

use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{Executor as _, PgConnection};
use tokio::time::timeout;

use super::DatabaseFailure;
use crate::store::connect_options;
use crate::telemetry::codes::Code;
use crate::tenants::DatabaseSpec;

/// The name of pooled connections in `pg_stat_activity`, as upstream has it.
const POOL_NAME: &str = "realtime_connect";

/// Opens a connection to a database, named `name` in `pg_stat_activity`.
///
/// # Errors
/// When that cannot be done in time.
pub(super) async fn connect(spec: &DatabaseSpec, name: &str) -> Result<PgConnection, DatabaseFailure> {
    let options = options(spec)?.application_name(name);
    let connected = async {
        let mut connection = sqlx::Connection::connect_with(&options).await.map_err(|error| match error {
            sqlx::Error::Io(error) => {
                let reason = format!("{}:{}: {error}", options.get_host(), options.get_port());
                DatabaseFailure::new(Code::UnableToConnectToProject, reason)
            }
            other => other.into(),
        })?;
        prepare_session(&mut connection, spec.usage.query_timeout).await?;
        Ok(connection)
    };
    timeout(spec.usage.connect_timeout, connected).await.unwrap_or_else(|_elapsed| {
        let reason = "it does not accept a connection in time";
        Err(DatabaseFailure::new(Code::UnableToConnectToProject, reason))
    })
}

/// How connections of the pool are opened.
///
/// # Errors
/// If its URL is none of PostgreSQL.
pub(super) fn pool_options(spec: &DatabaseSpec) -> Result<PgConnectOptions, DatabaseFailure> {
    Ok(options(spec)?.application_name(POOL_NAME))
}

fn options(spec: &DatabaseSpec) -> Result<PgConnectOptions, DatabaseFailure> {
    let options = connect_options(&spec.address);
    options.map_err(|error| DatabaseFailure::new(Code::UnableToConnectToProject, error.to_string()))
}

/// What every session needs: literals in statements are quoted for `standard_conforming_strings`, and no plan is compiled (`jit`),
/// which PostgreSQL decides by estimates that are far too high for its catalog, and which takes longer than any question that is
/// asked here. Everything else, such as the search path, is as policies and their functions expect it of this role.
pub(super) async fn prepare_session(
    connection: &mut PgConnection,
    query_timeout: Duration,
) -> Result<(), sqlx::Error> {
    let milliseconds = query_timeout.as_millis();
    let statement = format!(
        "SET statement_timeout = {milliseconds}; SET standard_conforming_strings = on; SET jit = off"
    );
    connection.execute(sqlx::raw_sql(&statement)).await.map(drop)
}
