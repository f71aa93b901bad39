//! What the database of a tenant has of the schema: versions, objects, roles, publications.

use sqlx::PgConnection;

use super::error::SchemaError;

/// The roles that the schema names.
const ROLES: [&str; 7] = [
    "anon",
    "authenticated",
    "service_role",
    "postgres",
    "dashboard_user",
    "supabase_admin",
    "supabase_realtime_admin",
];

const PUBLICATIONS: [&str; 2] = ["supabase_realtime", "supabase_realtime_messages_publication"];

/// The columns of `realtime.messages` that the server writes or reads.
const COLUMNS: [&str; 9] = [
    "topic",
    "extension",
    "payload",
    "event",
    "private",
    "updated_at",
    "inserted_at",
    "id",
    "binary_payload",
];

/// Whether the table of versions exists and may be read. Asked of the catalogue, which needs no permission.
async fn is_readable(connection: &mut PgConnection) -> Result<Option<bool>, sqlx::Error> {
    let readable = "SELECT has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
        FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        WHERE n.nspname = 'realtime' AND c.relname = 'schema_migrations'";
    sqlx::query_scalar(readable).fetch_optional(connection).await
}

/// Whether the schema records a version. One whose record may not be read is another role's, and has them.
pub(super) async fn has_versions(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    match is_readable(connection).await? {
        None => Ok(false),
        Some(false) => Ok(true),
        Some(true) => {
            let any = "SELECT EXISTS (SELECT FROM realtime.schema_migrations)";
            sqlx::query_scalar(any).fetch_one(connection).await
        }
    }
}

pub(super) async fn versions(connection: &mut PgConnection) -> Result<Vec<i64>, SchemaError> {
    if is_readable(connection).await? != Some(true) {
        return Ok(Vec::new());
    }
    let versions = "SELECT version FROM realtime.schema_migrations ORDER BY version";
    Ok(sqlx::query_scalar(versions).fetch_all(connection).await?)
}

pub(super) async fn missing_objects(connection: &mut PgConnection) -> Result<Vec<String>, SchemaError> {
    // Partitioned: the server makes a partition for each day.
    let columns = "SELECT a.attname::text
        FROM pg_catalog.pg_class AS c
        JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        WHERE n.nspname = 'realtime' AND c.relname = 'messages' AND c.relkind = 'p'";
    let columns: Vec<String> = sqlx::query_scalar(columns).fetch_all(connection).await?;
    if columns.is_empty() {
        return Ok(vec!["realtime.messages".into()]);
    }
    let missing = COLUMNS.into_iter().filter(|column| !columns.iter().any(|found| found == column));
    Ok(missing.map(|column| format!("realtime.messages.{column}")).collect())
}

pub(super) async fn missing_roles(connection: &mut PgConnection) -> Result<Vec<String>, SchemaError> {
    let missing =
        "SELECT name FROM unnest($1) AS name WHERE name NOT IN (SELECT rolname FROM pg_catalog.pg_roles)";
    Ok(sqlx::query_scalar(missing).bind(ROLES.map(String::from)).fetch_all(connection).await?)
}

pub(super) async fn missing_publications(connection: &mut PgConnection) -> Result<Vec<String>, SchemaError> {
    let missing = "SELECT name FROM unnest($1) AS name
        WHERE name NOT IN (SELECT pubname FROM pg_catalog.pg_publication)";
    Ok(sqlx::query_scalar(missing).bind(PUBLICATIONS.map(String::from)).fetch_all(connection).await?)
}
