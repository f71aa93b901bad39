//! What the SQL of both databases has in common: the columns that are written, and what their errors mean.

use super::StoreError;

/// The columns of `tenants` that a write sets, in the order of [`bind_columns`], all but the key.
pub(super) const COLUMNS: [&str; 20] = [
    "id",
    "name",
    "jwt_secret",
    "jwt_jwks",
    "postgres_cdc_default",
    "max_concurrent_users",
    "max_events_per_second",
    "max_presence_events_per_second",
    "max_payload_size_in_kb",
    "max_bytes_per_second",
    "max_channels_per_client",
    "max_joins_per_second",
    "max_client_presence_events_per_window",
    "client_presence_window_ms",
    "suspend",
    "private_only",
    "presence_enabled",
    "migrations_ran",
    "broadcast_adapter",
    "feature_flags",
];

/// Binds the key and the [`COLUMNS`] of a tenant to a query.
macro_rules! bind_columns {
    ($query:expr, $tenant:expr) => {{
        let tenant: &$crate::store::StoredTenant = $tenant;
        $query
            .bind(&tenant.external_id)
            .bind(&tenant.id)
            .bind(&tenant.name)
            .bind(&tenant.jwt_secret)
            .bind(tenant.jwt_jwks.as_ref().map(sqlx::types::Json))
            .bind(&tenant.postgres_cdc_default)
            .bind(tenant.max_concurrent_users)
            .bind(tenant.max_events_per_second)
            .bind(tenant.max_presence_events_per_second)
            .bind(tenant.max_payload_size_in_kb)
            .bind(tenant.max_bytes_per_second)
            .bind(tenant.max_channels_per_client)
            .bind(tenant.max_joins_per_second)
            .bind(tenant.max_client_presence_events_per_window)
            .bind(tenant.client_presence_window_ms)
            .bind(tenant.suspend)
            .bind(tenant.private_only)
            .bind(tenant.presence_enabled)
            .bind(tenant.migrations_ran)
            .bind(&tenant.broadcast_adapter)
            .bind(sqlx::types::Json(&tenant.feature_flags))
    }};
}
pub(super) use bind_columns;

/// Writes a tenant with its extensions in a transaction that has begun, by the SQL of the module that uses this, and
/// returns it as `select` then finds it.
macro_rules! put_tenant {
    ($transaction:expr, $tenant:expr, $replaces:expr, $select:expr) => {{
        let mut transaction = $transaction;
        let statement = if $replaces.is_some() { update() } else { insert() };
        let mut query = $crate::store::row::bind_columns!(sqlx::query(&statement), $tenant);
        if let Some(revision) = $replaces {
            query = query.bind(revision);
        }
        if query.execute(&mut *transaction).await?.rows_affected() == 0 {
            return Err($crate::store::StoreError::Changed);
        }
        put_extensions(&mut transaction, &$tenant.external_id, &$tenant.extensions).await?;
        let stored = sqlx::query_as(&$select).bind(&$tenant.external_id).fetch_one(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(stored)
    }};
}
pub(super) use put_tenant;

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            // Their texts name what they concern, such as a table or a permission; details, which hold values, are not in them.
            sqlx::Error::Database(error) => match error.code() {
                Some(code) if is_passing(&code) => Self::Unavailable(error.message().into()),
                Some(code) if is_missing(&code) => Self::Unavailable(format!(
                    "{}: its tables are not migrated (`realtime-server migrate`)",
                    error.message()
                )),
                Some(code) if code == READ_ONLY => Self::ReadOnly(error.message().into()),
                _ => Self::Rejected(error.message().into()),
            },
            sqlx::Error::PoolTimedOut => Self::Unavailable("no connection was free in time".into()),
            sqlx::Error::ColumnDecode { index, source } => {
                Self::Rejected(format!("the column {index} cannot be read: {source}"))
            }
            sqlx::Error::Configuration(error) => Self::Rejected(error.to_string()),
            other => Self::Unavailable(other.to_string()),
        }
    }
}

/// SQLSTATE `read_only_sql_transaction`.
pub(super) const READ_ONLY: &str = "25006";

/// Whether PostgreSQL does not know a schema, a table or a column.
fn is_missing(code: &str) -> bool {
    ["3F000", "42P01", "42703"].contains(&code)
}

/// Whether an error of PostgreSQL (by class) or SQLite (by number) passes by itself.
fn is_passing(code: &str) -> bool {
    // Connection exceptions, a login that is refused, a database that is missing, resources, operator intervention (a
    // shutdown, a start), serialization, and a lock that is not free in time; SQLITE_BUSY.
    let classes = ["08", "28", "3D", "53", "57", "40", "55P03"];
    classes.iter().any(|class| code.len() == 5 && code.starts_with(class)) || code == "5"
}
