//! The store that several nodes share: a PostgreSQL database, with upstream's schema `_realtime`.

mod changes;
mod credentials;
mod document_tables;
mod documents;
mod migrate;
mod probe;
mod tables;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use secrecy::ExposeSecret;
use settings::{DatabaseAddress, StoreTls};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgSslMode};
use sqlx::{ConnectOptions as _, Executor as _, PgPool, Postgres, Transaction};

use self::changes::notifying;
use self::document_tables::FoundTables;
use self::tables::{CONTROL, DOCUMENTS, TableGroup};
use self::writer::{accepts_writes, read, write};
use super::migration::{Migration, MigrationStatus};
use super::row::{COLUMNS, put_tenant};
use super::{
    ChangedNames, Migrate, Revision, StoreError, StoreKind, StoredExtension, StoredTenant, TenantStore,
};
use crate::new_credentials::{NewCredentials, Trial};

pub use self::migrate::PostgresTables;

/// As upstream's sessions are named, which operators may watch.
const APPLICATION_NAME: &str = "supabase_mt_realtime";

/// The current time, as it is stored. Functions are named with their schema: in one of the `search_path` others may have
/// made a function that fits better, and would run it as this role.
const NOW: &str = "pg_catalog.date_trunc('second', pg_catalog.now() AT TIME ZONE 'UTC')";

/// A store in a database.
#[derive(Debug, Clone)]
pub struct PostgresStore {
    pool: PgPool,
    /// Those that the pool does not use yet.
    new_credentials: Arc<NewCredentials<DatabaseAddress>>,
    document_tables: Arc<FoundTables>,
    /// What is run on each new connection.
    after_connect_query: Option<Arc<str>>,
    timeout: Duration,
}

impl PostgresStore {
    /// The database that `[store]` names. It is connected to when it is first used.
    ///
    /// # Errors
    /// When the URL is none of PostgreSQL.
    pub fn new(settings: &settings::Store) -> Result<Self, StoreError> {
        let mut pool = PgPoolOptions::new()
            .max_connections(settings.max_connections.get())
            .acquire_timeout(settings.acquire_timeout)
            .test_before_acquire(false)
            .before_acquire(|connection, _| Box::pin(async { Ok(accepts_writes(connection).await) }));
        let after_connect_query: Option<Arc<str>> = settings.after_connect_query.as_deref().map(Arc::from);
        if let Some(query) = after_connect_query.clone() {
            pool = pool.after_connect(move |connection, _| {
                let query = Arc::clone(&query);
                Box::pin(async move { connection.execute(&*query).await.map(drop) })
            });
        }
        let address = settings.address();
        let pool = pool.connect_lazy_with(store_options(&address)?);
        let new_credentials = Arc::new(NewCredentials::none_beside(address));
        let document_tables = Arc::default();
        Ok(Self { pool, new_credentials, document_tables, after_connect_query, timeout: settings.timeout })
    }

    /// The tables of documents.
    pub fn documents(&self) -> PostgresTables {
        self.tables(&DOCUMENTS)
    }

    fn tables(&self, group: &'static TableGroup) -> PostgresTables {
        PostgresTables { pool: self.pool.clone(), group, timeout: self.timeout }
    }
}

/// How the database of the store is connected to.
fn store_options(address: &DatabaseAddress) -> Result<PgConnectOptions, sqlx::Error> {
    Ok(connect_options(address)?.application_name(APPLICATION_NAME))
}

/// How a database is connected to, which need not be that of the store. The application name is left to the caller.
///
/// # Errors
/// When the URL is none of PostgreSQL.
pub(crate) fn connect_options(address: &DatabaseAddress) -> Result<PgConnectOptions, sqlx::Error> {
    let mut options = match (&address.url, &address.host) {
        (Some(url), _) => url.expose_secret().parse()?,
        (None, host) => PgConnectOptions::new_without_pgpass()
            .host(host.as_deref().unwrap_or("127.0.0.1"))
            .port(address.port)
            .username(&address.user)
            .database(&address.database),
    };
    if let (None, Some(password)) = (&address.url, &address.password) {
        options = options.password(password.expose_secret());
    }
    let mode = match address.tls_mode {
        StoreTls::Auto if address.tls_ca_file.is_some() && !says_sslmode(address) => {
            Some(PgSslMode::VerifyFull)
        }
        StoreTls::Auto => None,
        StoreTls::Off => Some(PgSslMode::Disable),
        // As libpq does: with CA certificates the certificate is verified.
        StoreTls::Require if address.tls_ca_file.is_some() => Some(PgSslMode::VerifyFull),
        StoreTls::Require => Some(PgSslMode::Require),
        StoreTls::Verify => Some(PgSslMode::VerifyFull),
    };
    if let Some(mode) = mode {
        options = options.ssl_mode(mode);
    }
    if let Some(file) = &address.tls_ca_file {
        options = options.ssl_root_cert(file);
    }
    // Statements that wait for a lock are no news, and their lines would have fields of unrelated requests.
    Ok(options.disable_statement_logging())
}

/// Whether the URL says how TLS is used.
fn says_sslmode(address: &DatabaseAddress) -> bool {
    let names = ["sslmode=", "ssl-mode="];
    let url = address.url.as_ref().map_or("", |url| url.expose_secret());
    url.split_once('?').is_some_and(|(_, query)| {
        query.split('&').any(|pair| names.iter().any(|name| pair.starts_with(name)))
    })
}

impl Migrate for PostgresStore {
    fn migration_status(&self) -> BoxFuture<'_, Result<MigrationStatus, StoreError>> {
        async move { self.tables(&CONTROL).migration_status().await }.boxed()
    }

    fn migrate(&self) -> BoxFuture<'_, Result<Vec<Migration>, StoreError>> {
        async move { self.tables(&CONTROL).migrate().await }.boxed()
    }

    fn script(&self, steps: &[Migration]) -> String {
        CONTROL.script(steps)
    }
}

impl TenantStore for PostgresStore {
    fn kind(&self) -> StoreKind {
        StoreKind::Postgres
    }

    fn probe(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.reach().boxed()
    }

    fn offer_credentials(&self, settings: &settings::Store) -> bool {
        self.new_credentials.offer(settings.address())
    }

    fn try_credentials(&self) -> BoxFuture<'_, Option<Trial>> {
        self.try_offered().boxed()
    }

    fn refuses_credentials(&self) -> bool {
        self.new_credentials.are_refused()
    }

    fn tenants(&self) -> BoxFuture<'_, Result<Vec<StoredTenant>, StoreError>> {
        async move {
            let query = select("WHERE t.external_id IS NOT NULL ORDER BY t.external_id COLLATE \"C\"");
            read(|| sqlx::query_as(&query).fetch_all(&self.pool)).await
        }
        .boxed()
    }

    fn tenant<'a>(&'a self, external_id: &'a str) -> BoxFuture<'a, Result<Option<StoredTenant>, StoreError>> {
        async move {
            if !can_be_text(external_id) {
                return Ok(None);
            }
            let query = select("WHERE t.external_id = $1");
            read(|| sqlx::query_as(&query).bind(external_id).fetch_optional(&self.pool)).await
        }
        .boxed()
    }

    fn revisions(&self) -> BoxFuture<'_, Result<Vec<(String, Revision)>, StoreError>> {
        async move {
            let query = "SELECT external_id, xmin::text FROM _realtime.tenants WHERE external_id IS NOT NULL";
            read(|| sqlx::query_as(query).fetch_all(&self.pool)).await
        }
        .boxed()
    }

    fn put<'a>(
        &'a self,
        tenant: &'a StoredTenant,
        replaces: Option<&'a Revision>,
    ) -> BoxFuture<'a, Result<StoredTenant, StoreError>> {
        async move {
            let put = || async {
                put_tenant!(self.pool.begin().await?, tenant, replaces, select("WHERE t.external_id = $1"))
            };
            write(put).await
        }
        .boxed()
    }

    fn delete<'a>(&'a self, external_id: &'a str) -> BoxFuture<'a, Result<bool, StoreError>> {
        async move {
            if !can_be_text(external_id) {
                return Ok(false);
            }
            let delete =
                notifying("DELETE FROM _realtime.tenants WHERE external_id = $1 RETURNING external_id");
            let delete = || async {
                let query = sqlx::query(&delete).bind(external_id);
                Ok(query.execute(&self.pool).await?.rows_affected() > 0)
            };
            write(delete).await
        }
        .boxed()
    }

    fn changes(&self) -> Option<BoxFuture<'_, Result<ChangedNames, StoreError>>> {
        Some(changes::listen(&self.pool, self.timeout).boxed())
    }
}

/// Whether PostgreSQL has such a text. It refuses others with an error.
fn can_be_text(text: &str) -> bool {
    !text.contains('\0')
}

/// Makes `extensions` all that the tenant has.
async fn put_extensions(
    transaction: &mut Transaction<'_, Postgres>,
    external_id: &str,
    extensions: &[StoredExtension],
) -> Result<(), StoreError> {
    let kept: Vec<_> = extensions.iter().map(|extension| &*extension.kind).collect();
    sqlx::query("DELETE FROM _realtime.extensions WHERE tenant_external_id = $1 AND type <> ALL ($2)")
        .bind(external_id)
        .bind(kept)
        .execute(&mut **transaction)
        .await?;
    let put = format!(
        "INSERT INTO _realtime.extensions AS e (id, tenant_external_id, type, settings, inserted_at, updated_at) \
         VALUES (pg_catalog.gen_random_uuid(), $1, $2, $3, {NOW}, {NOW}) ON CONFLICT (tenant_external_id, type) DO UPDATE \
         SET settings = excluded.settings, updated_at = excluded.updated_at \
         WHERE e.settings IS DISTINCT FROM excluded.settings"
    );
    for StoredExtension { kind, settings, .. } in extensions {
        let query = sqlx::query(&put).bind(external_id).bind(kind).bind(sqlx::types::Json(settings));
        query.execute(&mut **transaction).await?;
    }
    Ok(())
}

/// How a time is written in what is read.
const TIME: &str = "'YYYY-MM-DD\"T\"HH24:MI:SS'";

fn select(which: &str) -> String {
    // The id as text, which the row has.
    let columns =
        COLUMNS.map(|column| if column == "id" { "t.id::text AS id".into() } else { format!("t.{column}") });
    let columns = columns.join(", ");
    format!(
        "SELECT {columns}, t.external_id, pg_catalog.to_char(t.inserted_at, {TIME}) AS inserted_at, t.xmin::text AS revision, \
         (SELECT coalesce(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('type', e.type, 'settings', e.settings, \
         'inserted_at', pg_catalog.to_char(e.inserted_at, {TIME}), 'updated_at', pg_catalog.to_char(e.updated_at, {TIME})) \
         ORDER BY e.type), '[]') FROM _realtime.extensions e WHERE e.tenant_external_id = t.external_id AND e.type IS NOT NULL) AS extensions \
         FROM _realtime.tenants t {which}"
    )
}

/// The placeholder of a column, with the type of a value that is bound as text.
fn placeholder(number: usize, column: &str) -> String {
    let cast = if column == "id" { "::uuid" } else { "" };
    format!("${}{cast}", number + 2)
}

fn insert() -> String {
    let columns = COLUMNS.join(", ");
    let values = COLUMNS.iter().enumerate().map(|(number, column)| placeholder(number, column));
    let values = values.collect::<Vec<_>>().join(", ");
    notifying(&format!(
        "INSERT INTO _realtime.tenants (external_id, {columns}, inserted_at, updated_at) \
         VALUES ($1, {values}, {NOW}, {NOW}) ON CONFLICT (external_id) DO NOTHING RETURNING external_id"
    ))
}

fn update() -> String {
    let set = COLUMNS
        .iter()
        .enumerate()
        .map(|(number, column)| format!("{column} = {}", placeholder(number, column)));
    let set = set.collect::<Vec<_>>().join(", ");
    let replaces = COLUMNS.len() + 2;
    // The number of the transaction that has written the row, upstream's included.
    notifying(&format!(
        "UPDATE _realtime.tenants SET {set}, updated_at = {NOW} \
         WHERE external_id = $1 AND xmin::text = ${replaces} RETURNING external_id"
    ))
}
