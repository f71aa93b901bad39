//! Makes the schema: the SQL of `migrations/tenant`, in one transaction.

use sqlx::{Connection as _, Executor as _, PgConnection};

use super::inventory;
use super::versions::VERSIONS;

macro_rules! tenant_sql {
    ($file:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/tenant/", $file, ".sql"))
    };
}

/// In order: each uses what is before it.
const STEPS: [&str; 9] = [
    tenant_sql!("roles"),
    tenant_sql!("schema"),
    tenant_sql!("messages"),
    tenant_sql!("broadcast"),
    tenant_sql!("filters"),
    tenant_sql!("subscription"),
    tenant_sql!("changes"),
    tenant_sql!("privileges"),
    tenant_sql!("publications"),
];
const MESSAGES_PUBLICATION: &str = tenant_sql!("messages_publication");
pub(super) const AUTH_HELPERS: &str = tenant_sql!("auth_helpers");

/// Others may make the schema meanwhile: this waits for the lock as long as that takes. «rtschema» in ASCII.
const LOCK: &str = "SET LOCAL lock_timeout TO '30s';
    SET LOCAL statement_timeout TO '30s';
    SELECT pg_catalog.pg_advisory_xact_lock(x'7274736368656d61'::bigint);\n";

/// A statement waits no longer than this for other users of a table, because later ones wait behind it. Nothing is looked up in
/// a schema in which others may make functions. Notices would be lines in the log.
const SETTINGS: &str = "SET LOCAL lock_timeout TO '5s';
    SET LOCAL search_path TO pg_catalog;
    SET LOCAL client_min_messages TO warning;\n";

/// The statement that records the versions.
fn record() -> String {
    let versions: Vec<String> = VERSIONS.iter().map(i64::to_string).collect();
    format!(
        "INSERT INTO realtime.schema_migrations
         SELECT version, date_trunc('second', now() AT TIME ZONE 'UTC') FROM unnest(array[{}]) AS version;\n",
        versions.join(", ")
    )
}

/// Makes the schema unless it is there. Returns whether it was made.
pub(super) async fn make_if_missing(connection: &mut PgConnection) -> sqlx::Result<bool> {
    if inventory::has_versions(connection).await? {
        return Ok(false);
    }
    let mut transaction = connection.begin().await?;
    (&mut *transaction).execute(LOCK).await?;
    // Another node may have made it before this one had the lock.
    if inventory::has_versions(&mut transaction).await? {
        transaction.rollback().await?;
        return Ok(false);
    }
    (&mut *transaction).execute(SETTINGS).await?;
    for step in STEPS {
        (&mut *transaction).execute(step).await?;
    }
    (&mut *transaction).execute(&*record()).await?;
    (&mut *transaction).execute(MESSAGES_PUBLICATION).await?;
    transaction.commit().await?;
    Ok(true)
}

pub(super) async fn make_messages_publication(connection: &mut PgConnection) -> sqlx::Result<bool> {
    let mut transaction = connection.begin().await?;
    (&mut *transaction).execute(LOCK).await?;
    (&mut *transaction).execute(SETTINGS).await?;
    (&mut *transaction).execute(MESSAGES_PUBLICATION).await?;
    let exists =
        "SELECT EXISTS (SELECT FROM pg_publication WHERE pubname = 'supabase_realtime_messages_publication')";
    let exists = sqlx::query_scalar(exists).fetch_one(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(exists)
}

pub(super) fn script() -> String {
    let steps = STEPS.join("\n");
    format!("BEGIN;\n{LOCK}{SETTINGS}\n{steps}\n{}\n{MESSAGES_PUBLICATION}COMMIT;\n", record())
}
