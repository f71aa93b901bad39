//! Applies the steps of tables in a database: by one process at a time, each step in a transaction of its own.
//!
//! Every wait has a limit. A process that ends half-way leaves the steps that it has finished; the database undoes the one
//! that it was at, and releases the lock, when it notices the end of the connection.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use sqlx::error::DatabaseError;
use sqlx::{Connection as _, Executor as _, PgConnection, PgPool};
use tokio::time::{Instant, timeout, timeout_at};
use tracing::info;

use super::super::migration::{Migration, MigrationStatus};
use super::super::{Migrate, StoreError};
use super::tables::TableGroup;

/// The advisory lock that one process has while it migrates: «realtime» in ASCII.
const MIGRATION_LOCK: i64 = 0x7265_616c_7469_6d65;

/// How long others may migrate before this process gives up.
const MIGRATION_WAIT_MAX: Duration = Duration::from_secs(120);

/// How long one step may take.
const STEP_MAX: Duration = Duration::from_secs(300);

/// Tables in a database, which can be migrated.
#[derive(Debug, Clone)]
pub struct PostgresTables {
    pub(super) pool: PgPool,
    pub(super) group: &'static TableGroup,
    /// How long the database may take to answer a query that reads.
    pub(super) timeout: Duration,
}

impl PostgresTables {
    /// The steps that are recorded, none without a record.
    async fn applied(&self, connection: &mut PgConnection) -> Result<Vec<i64>, StoreError> {
        let record = self.group.record;
        let mut transaction = connection.begin().await?;
        (&mut *transaction).execute(self.group.enter).await?;
        let exists =
            sqlx::query_scalar::<_, bool>("SELECT pg_catalog.to_regclass($1) IS NOT NULL").bind(record);
        if !exists.fetch_one(&mut *transaction).await? {
            return Ok(Vec::new());
        }
        let applied = format!("SELECT version FROM {record} ORDER BY version");
        Ok(sqlx::query_scalar(&applied).fetch_all(&mut *transaction).await?)
    }

    async fn status_of(&self, connection: &mut PgConnection) -> Result<MigrationStatus, StoreError> {
        let applied = timeout(self.timeout, self.applied(connection)).await.map_err(|_elapsed| late())??;
        Ok(MigrationStatus::of(self.group.steps, applied))
    }

    /// Applies what is pending, on a connection that has the lock.
    async fn apply_pending(&self, connection: &mut PgConnection) -> Result<Vec<Migration>, StoreError> {
        // Another process may have migrated meanwhile.
        let status = self.status_of(connection).await?;
        if !status.unknown.is_empty() || status.pending.is_empty() {
            return Ok(Vec::new());
        }
        // A step waits no longer than this for other users of a table, because later ones wait behind it.
        // Without the notices of what is skipped because it does not exist, which would be lines in the log.
        connection.execute("SET lock_timeout = '5s'; SET client_min_messages = warning").await?;
        let applied = timeout(STEP_MAX, self.create_schema(connection)).await.map_err(|_elapsed| late())?;
        self.explained(connection, applied).await?;
        for step in &status.pending {
            let applied = timeout(STEP_MAX, self.apply(connection, step)).await.map_err(|_elapsed| late())?;
            self.explained(connection, applied).await?;
        }
        Ok(status.pending)
    }

    /// The schema may have been made for a role that may not make one, so it is made only if it is missing.
    async fn create_schema(&self, connection: &mut PgConnection) -> sqlx::Result<()> {
        let Some(create) = self.group.create_schema() else { return Ok(()) };
        let exists =
            sqlx::query_scalar("SELECT pg_catalog.count(*) > 0 FROM pg_namespace WHERE nspname = $1");
        if !exists.bind(self.group.own_schema).fetch_one(&mut *connection).await? {
            connection.execute(&*create).await?;
        }
        Ok(())
    }

    async fn apply(&self, connection: &mut PgConnection, step: &Migration) -> sqlx::Result<()> {
        let mut transaction = connection.begin().await?;
        (&mut *transaction).execute(&*self.group.statements(step)).await?;
        transaction.commit().await
    }

    /// Adds to a refusal which permission is missing.
    async fn explained(
        &self,
        connection: &mut PgConnection,
        applied: sqlx::Result<()>,
    ) -> Result<(), StoreError> {
        let Err(error) = applied else { return Ok(()) };
        if !has_code(&error, "42501") {
            return Err(error.into());
        }
        let grant = sqlx::query_scalar::<_, String>(self.group.missing_grant).fetch_one(connection);
        let grant = timeout(self.timeout, grant).await.map_err(|_elapsed| late())??;
        let message = error.as_database_error().map_or("", DatabaseError::message);
        Err(StoreError::Rejected(format!(
            "{message}; its role needs `{grant}`, or the owner runs the SQL that `realtime-server migrate --print` prints"
        )))
    }
}

/// Waits until no other process migrates.
async fn lock(connection: &mut PgConnection) -> Result<(), StoreError> {
    let deadline = Instant::now() + MIGRATION_WAIT_MAX;
    let wait = async {
        // The wait is cut into pieces, so that it can be reported.
        connection.execute("SET lock_timeout = '1s'").await?;
        let mut is_reported = false;
        loop {
            let locked = sqlx::query("SELECT pg_advisory_lock($1)").bind(MIGRATION_LOCK);
            match locked.execute(&mut *connection).await {
                Ok(_done) => return Ok(()),
                Err(error) if !has_code(&error, "55P03") => return Err(error.into()),
                Err(_still_locked) if is_reported => {}
                Err(_still_locked) => {
                    info!("Waiting for another process that migrates the store");
                    is_reported = true;
                }
            }
        }
    };
    let busy = |_elapsed| {
        StoreError::Unavailable(format!("another process has migrated it for {MIGRATION_WAIT_MAX:?}"))
    };
    timeout_at(deadline, wait).await.unwrap_or_else(|elapsed| Err(busy(elapsed)))
}

pub(super) fn late() -> StoreError {
    StoreError::Unavailable("it does not answer in time".into())
}

fn has_code(error: &sqlx::Error, code: &str) -> bool {
    error.as_database_error().and_then(DatabaseError::code).as_deref() == Some(code)
}

impl Migrate for PostgresTables {
    fn migration_status(&self) -> BoxFuture<'_, Result<MigrationStatus, StoreError>> {
        async move {
            let mut connection = self.pool.acquire().await?;
            self.status_of(&mut connection).await
        }
        .boxed()
    }

    fn migrate(&self) -> BoxFuture<'_, Result<Vec<Migration>, StoreError>> {
        async move {
            // Its lock ends with this connection, which is not given back: also when this future is dropped.
            let mut connection = self.pool.acquire().await?.detach();
            lock(&mut connection).await?;
            let applied = self.apply_pending(&mut connection).await?;
            // What is applied is committed, whether or not the database confirms the end of the connection.
            let _closed = timeout(self.timeout, connection.close()).await;
            Ok(applied)
        }
        .boxed()
    }

    fn script(&self, steps: &[Migration]) -> String {
        self.group.script(steps)
    }
}
