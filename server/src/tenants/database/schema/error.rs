//! Why the schema of a tenant cannot be made, and what its owner can do about it.

use std::time::Duration;

use sqlx::PgConnection;
use sqlx::error::DatabaseError;

use crate::telemetry::metrics::MigrationFailure;

/// Why the schema or its partitions cannot be made. No text contains values of rows or credentials.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// The role of the connection may not make it. `grant` is the statement that permits it.
    #[error("the role of the connection may not change the schema `realtime`; it needs `{grant}`")]
    NotPermitted {
        /// What the owner of the database may run.
        grant: String,
        /// The object that was refused.
        #[source]
        source: sqlx::Error,
    },
    /// The schema has objects of these names, and no record of who made them. They are left alone.
    #[error("the schema `realtime` has objects that no version records")]
    Occupied(#[source] sqlx::Error),
    /// The database has not answered in time.
    #[error("the database has not answered within {0:?}")]
    Timeout(Duration),
    /// The connection is lost, a lock was not free in time, or the database refuses for another reason.
    #[error("the database refuses to change the schema `realtime`")]
    Database(#[source] sqlx::Error),
}

impl SchemaError {
    /// Its text, and where that does not say what to do also what the database says.
    pub fn with_source(&self) -> String {
        match self {
            Self::NotPermitted { .. } | Self::Timeout(_) => self.to_string(),
            Self::Occupied(source) | Self::Database(source) => format!("{self}: {source}"),
        }
    }
}

impl SchemaError {
    /// What it is counted as.
    pub(in crate::tenants::database) fn kind(&self) -> MigrationFailure {
        match self {
            Self::NotPermitted { .. } => MigrationFailure::NotPermitted,
            Self::Timeout(_) => MigrationFailure::Timeout,
            Self::Database(sqlx::Error::Io(_) | sqlx::Error::Tls(_)) => MigrationFailure::Connection,
            Self::Occupied(_) | Self::Database(_) => MigrationFailure::Other,
        }
    }
}

impl From<sqlx::Error> for SchemaError {
    fn from(error: sqlx::Error) -> Self {
        SchemaError::Database(error)
    }
}

/// Whether another transaction changed the same at the same time: repeated, this one succeeds.
pub(super) fn is_conflict(error: &sqlx::Error) -> bool {
    let Some(error) = error.as_database_error() else { return false };
    match error.code().as_deref() {
        // Unique key, deadlock, serialisation.
        Some("23505" | "40P01" | "40001") => true,
        // An internal error by its code. PostgreSQL raises it when two sessions change one row of its catalogues.
        Some("XX000") => error.message().starts_with("tuple concurrently"),
        _ => false,
    }
}

/// The statement that permits what was refused to the role of this connection: to make the schema, to make something in it,
/// or to change what belongs to its owner.
const MISSING_GRANT: &str = "
    SELECT CASE
        WHEN n.oid IS NULL THEN format('GRANT CREATE ON DATABASE %I TO %I', current_database(), current_user)
        WHEN NOT (has_schema_privilege(n.oid, 'USAGE') AND has_schema_privilege(n.oid, 'CREATE'))
            THEN format('GRANT USAGE, CREATE ON SCHEMA realtime TO %I', current_user)
        ELSE format('GRANT %s TO %I', coalesce(c.relowner, n.nspowner)::regrole, current_user)
    END
    FROM (VALUES ('realtime')) AS wanted (schema)
    LEFT JOIN pg_catalog.pg_namespace AS n ON n.nspname = wanted.schema
    LEFT JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relname = 'messages'";

/// Adds to a refusal what would permit it.
pub(in super::super) async fn explained(connection: &mut PgConnection, error: sqlx::Error) -> SchemaError {
    match error.as_database_error().and_then(DatabaseError::code).as_deref() {
        Some("42501") => match sqlx::query_scalar(MISSING_GRANT).fetch_one(connection).await {
            Ok(grant) => SchemaError::NotPermitted { grant, source: error },
            Err(_lost) => SchemaError::Database(error),
        },
        // Of a table or an index, of a function, of a type.
        Some("42P07" | "42723" | "42710") => SchemaError::Occupied(error),
        _ => SchemaError::Database(error),
    }
}
