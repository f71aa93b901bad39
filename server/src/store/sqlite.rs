//! The embedded store: one SQLite file in `server.data_dir`. The folder is locked by its server, so there is one writer
//! process; the file may be read by others.

mod checkpoints;
mod documents;
mod update_ids;

use std::future::ready;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection as _, Executor as _, Sqlite, SqlitePool, Transaction};
use tokio::sync::{Mutex, MutexGuard};

use self::checkpoints::Checkpoints;
use self::update_ids::UpdateIds;
use super::migration::{Migration, MigrationStatus, migrations};
use super::row::{COLUMNS, put_tenant};
use super::{Migrate, Revision, StoreError, StoreKind, StoredExtension, StoredTenant, TenantStore};

const MIGRATIONS: &[Migration] =
    migrations!("control/sqlite": "1_create_tenants", "2_create_documents", "3_order_document_updates");

/// How long a statement waits for one who writes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Connections that read, while another one writes.
const READERS_MAX: u32 = 3;

/// Memory for pages of the connection that writes, in KiB: the ends of the logs of some hundred documents, and what a compaction deletes.
const WRITER_CACHE: &str = "-8192";

/// After so many pages of 4 KiB in the log of the file the commit that has written the last of them does a checkpoint, if that was not
/// done beside the commits.
const CHECKPOINT_PAGES: &str = "16000";

/// The current time, as it is stored.
const NOW: &str = "strftime('%Y-%m-%dT%H:%M:%S', 'now')";

const CREATE_RECORD: &str = "CREATE TABLE IF NOT EXISTS schema_migrations \
                             (version INTEGER PRIMARY KEY NOT NULL, inserted_at TEXT NOT NULL) STRICT";

/// A store in a file.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    /// Those that read.
    pool: SqlitePool,
    /// The one that writes. What another one had changed it would have to read again.
    writer: SqlitePool,
    /// The one that replaces logs by states. Its commits wait for no disk: without the last of them everything is there as before, and
    /// what the writer commits later is on the disk only together with them.
    compactor: SqlitePool,
    /// Whose turn it is to write.
    turn: Arc<Mutex<UpdateIds>>,
    checkpoints: Checkpoints,
}

impl SqliteStore {
    /// Opens the file, or makes it. What is committed survives a loss of power.
    ///
    /// # Errors
    /// When the file cannot be opened, or is none of SQLite.
    pub async fn open(file: &Path) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_TIMEOUT)
            .foreign_keys(true)
            .pragma("wal_autocheckpoint", CHECKPOINT_PAGES);
        let writer = connections(1).connect_with(options.clone().pragma("cache_size", WRITER_CACHE)).await?;
        let compactor =
            connections(1).connect_lazy_with(options.clone().synchronous(SqliteSynchronous::Normal));
        let pool = connections(READERS_MAX).connect_lazy_with(options);
        Ok(Self { pool, writer, compactor, turn: Arc::default(), checkpoints: Checkpoints::default() })
    }

    /// Waits until no other of this process writes.
    async fn turn_to_write(&self) -> MutexGuard<'_, UpdateIds> {
        self.turn.lock().await
    }

    /// A transaction that writes. It begins when no other does.
    async fn begin(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        begin_on(&self.writer).await
    }
}

fn connections(max: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(max)
        // A connection to a file does not get lost while it is idle.
        .test_before_acquire(false)
        // SQLite ends a transaction that fails on a full disk by itself. For sqlx it stays open, so that no other one could ever
        // begin on that connection.
        .before_acquire(|connection, _| ready(Ok(!connection.is_in_transaction())).boxed())
}

async fn begin_on(pool: &SqlitePool) -> Result<Transaction<'static, Sqlite>, StoreError> {
    Ok(pool.begin_with("BEGIN IMMEDIATE").await?)
}

impl Migrate for SqliteStore {
    fn migration_status(&self) -> BoxFuture<'_, Result<MigrationStatus, StoreError>> {
        async move {
            let exists =
                "SELECT count(*) > 0 FROM sqlite_master WHERE type = 'table' AND name = 'schema_migrations'";
            let exists: bool = sqlx::query_scalar(exists).fetch_one(&self.pool).await?;
            if !exists {
                return Ok(MigrationStatus::of(MIGRATIONS, Vec::new()));
            }
            let applied = "SELECT version FROM schema_migrations ORDER BY version";
            Ok(MigrationStatus::of(MIGRATIONS, sqlx::query_scalar(applied).fetch_all(&self.pool).await?))
        }
        .boxed()
    }

    fn migrate(&self) -> BoxFuture<'_, Result<Vec<Migration>, StoreError>> {
        async move {
            let mut applied = Vec::new();
            for step in MIGRATIONS {
                let mut transaction = self.begin().await?;
                sqlx::query(CREATE_RECORD).execute(&mut *transaction).await?;
                let record =
                    format!("INSERT INTO schema_migrations VALUES (?1, {NOW}) ON CONFLICT DO NOTHING");
                let recorded = sqlx::query(&record).bind(step.version).execute(&mut *transaction).await?;
                if recorded.rows_affected() > 0 {
                    (&mut *transaction).execute(step.sql).await?;
                    applied.push(*step);
                }
                transaction.commit().await?;
            }
            Ok(applied)
        }
        .boxed()
    }

    fn script(&self, steps: &[Migration]) -> String {
        let script = |Migration { version, name, sql }: &Migration| {
            format!(
                "-- {name}\nBEGIN IMMEDIATE;\n{CREATE_RECORD};\n{sql}\
                 INSERT INTO schema_migrations VALUES ({version}, {NOW});\nCOMMIT;\n"
            )
        };
        steps.iter().map(script).collect()
    }
}

impl TenantStore for SqliteStore {
    fn kind(&self) -> StoreKind {
        StoreKind::Sqlite
    }

    fn tenants(&self) -> BoxFuture<'_, Result<Vec<StoredTenant>, StoreError>> {
        async move {
            let query = select("ORDER BY external_id");
            Ok(sqlx::query_as(&query).fetch_all(&self.pool).await?)
        }
        .boxed()
    }

    fn tenant<'a>(&'a self, external_id: &'a str) -> BoxFuture<'a, Result<Option<StoredTenant>, StoreError>> {
        async move {
            let query = select("WHERE external_id = ?1");
            Ok(sqlx::query_as(&query).bind(external_id).fetch_optional(&self.pool).await?)
        }
        .boxed()
    }

    fn revisions(&self) -> BoxFuture<'_, Result<Vec<(String, Revision)>, StoreError>> {
        async move {
            let query = "SELECT external_id, CAST(revision AS TEXT) FROM tenants";
            Ok(sqlx::query_as(query).fetch_all(&self.pool).await?)
        }
        .boxed()
    }

    fn put<'a>(
        &'a self,
        tenant: &'a StoredTenant,
        replaces: Option<&'a Revision>,
    ) -> BoxFuture<'a, Result<StoredTenant, StoreError>> {
        async move {
            let _turn = self.turn_to_write().await;
            put_tenant!(self.begin().await?, tenant, replaces, select("WHERE external_id = ?1"))
        }
        .boxed()
    }

    fn delete<'a>(&'a self, external_id: &'a str) -> BoxFuture<'a, Result<bool, StoreError>> {
        async move {
            let _turn = self.turn_to_write().await;
            let query = sqlx::query("DELETE FROM tenants WHERE external_id = ?1").bind(external_id);
            Ok(query.execute(&self.writer).await?.rows_affected() > 0)
        }
        .boxed()
    }
}

/// Makes `extensions` all that the tenant has.
async fn put_extensions(
    transaction: &mut Transaction<'_, Sqlite>,
    external_id: &str,
    extensions: &[StoredExtension],
) -> Result<(), StoreError> {
    let kept: Vec<_> = extensions.iter().map(|extension| &extension.kind).collect();
    sqlx::query(
        "DELETE FROM extensions WHERE tenant_external_id = ?1 AND type NOT IN (SELECT value FROM json_each(?2))",
    )
    .bind(external_id)
    .bind(sqlx::types::Json(kept))
    .execute(&mut **transaction)
    .await?;
    let put = format!(
        "INSERT INTO extensions (tenant_external_id, type, settings, inserted_at, updated_at) \
         VALUES (?1, ?2, ?3, {NOW}, {NOW}) ON CONFLICT DO UPDATE \
         SET settings = excluded.settings, updated_at = excluded.updated_at \
         WHERE settings <> excluded.settings"
    );
    for StoredExtension { kind, settings, .. } in extensions {
        let query = sqlx::query(&put).bind(external_id).bind(kind).bind(sqlx::types::Json(settings));
        query.execute(&mut **transaction).await?;
    }
    Ok(())
}

fn select(which: &str) -> String {
    let columns = COLUMNS.join(", ");
    format!(
        "SELECT {columns}, external_id, inserted_at, CAST(revision AS TEXT) AS revision, \
         (SELECT json_group_array(json_object('type', type, 'settings', json(settings), \
         'inserted_at', inserted_at, 'updated_at', updated_at) ORDER BY type) \
         FROM extensions WHERE tenant_external_id = external_id) AS extensions FROM tenants {which}"
    )
}

/// A new tenant begins with a random revision: one of the same name that was deleted must not be taken for it.
fn insert() -> String {
    let columns = COLUMNS.join(", ");
    let values: Vec<_> = (0..COLUMNS.len()).map(|column| format!("?{}", column + 2)).collect();
    let values = values.join(", ");
    format!(
        "INSERT INTO tenants (external_id, {columns}, inserted_at, updated_at, revision) \
         VALUES (?1, {values}, {NOW}, {NOW}, random() / 2) ON CONFLICT (external_id) DO NOTHING"
    )
}

fn update() -> String {
    let set = COLUMNS.iter().enumerate().map(|(number, column)| format!("{column} = ?{}", number + 2));
    let set = set.collect::<Vec<_>>().join(", ");
    let replaces = COLUMNS.len() + 2;
    format!(
        "UPDATE tenants SET {set}, updated_at = {NOW}, revision = revision + 1 \
         WHERE external_id = ?1 AND CAST(revision AS TEXT) = ?{replaces}"
    )
}
