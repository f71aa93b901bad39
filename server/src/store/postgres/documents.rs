//! Documents in a database: states of the default tenant's in the documented table `documents`, those of others in
//! `tenant_documents`, the logs of all in `document_updates`.
//!
//! A batch is appended by one statement, which is its own transaction. An idle connection does it without being asked before whether it
//! still leads to the writer: the statement shows that, and then another connection does it.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use sqlx::pool::PoolConnection;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::{Connection as _, Executor as _, PgConnection, Postgres, Transaction};
use tokio::time::timeout;

use super::PostgresStore;
use super::document_tables::{BE_DURABLE, DocumentTables};
use super::migrate::late;
use crate::store::StoreError;
use crate::store::document::{
    CompactedDocument, CompactionError, DocumentName, DocumentStore, DocumentUpdate, DocumentVersion,
    MergeDocument, StoredDocument, check_updates,
};

/// Statements that follow a lock see what was committed before it was free, whatever the role has as its default.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";

impl DocumentStore for PostgresStore {
    fn document<'a>(
        &'a self,
        name: &'a DocumentName,
    ) -> BoxFuture<'a, Result<Option<StoredDocument>, StoreError>> {
        async move {
            name.check()?;
            let (tables, mut connection) = self.documents_connection().await?;
            let select = tables.select(name);
            let read = async {
                let query = sqlx::query_as(&select).bind(name.tenant_column());
                let rows = query.bind(&*name.room).bind(&*name.doc).fetch_all(&mut *connection).await?;
                Ok(StoredDocument::of_rows(rows))
            };
            let read = self.in_time(read).await;
            given_back(connection, read)
        }
        .boxed()
    }

    fn versions<'a>(
        &'a self,
        names: &'a [Arc<DocumentName>],
    ) -> BoxFuture<'a, Result<Vec<DocumentVersion>, StoreError>> {
        async move {
            names.iter().try_for_each(|name| name.check())?;
            let (tables, mut connection) = self.documents_connection().await?;
            let read = async {
                let query = sqlx::query_as(&tables.versions)
                    .bind(names.iter().map(|name| name.tenant_column()).collect::<Vec<_>>())
                    .bind(names.iter().map(|name| &*name.room).collect::<Vec<_>>())
                    .bind(names.iter().map(|name| &*name.doc).collect::<Vec<_>>());
                let rows: Vec<(i64, Vec<i64>)> = query.fetch_all(&mut *connection).await?;
                Ok(rows.into_iter().map(|(state, updates)| DocumentVersion { state, updates }).collect())
            };
            let read = self.in_time(read).await;
            given_back(connection, read)
        }
        .boxed()
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn append<'a>(&'a self, updates: &'a [DocumentUpdate]) -> BoxFuture<'a, Result<Vec<i64>, StoreError>> {
        async move {
            check_updates(updates)?;
            if updates.is_empty() {
                return Ok(Vec::new());
            }
            if let Some(mut idle) = self.pool.try_acquire() {
                let tables = self.found_tables().await?;
                let appended = self.in_time(append(&mut idle, tables, updates)).await;
                match given_back(idle, appended) {
                    Err(StoreError::Unavailable(_) | StoreError::ReadOnly(_)) => {}
                    appended => return appended,
                }
            }
            let (tables, mut connection) = self.documents_connection().await?;
            let appended = self.in_time(append(&mut connection, tables, updates)).await;
            given_back(connection, appended)
        }
        .boxed()
    }

    fn compact<'a>(
        &'a self,
        name: &'a DocumentName,
        merge: MergeDocument,
    ) -> BoxFuture<'a, Result<Option<CompactedDocument>, CompactionError>> {
        async move {
            name.check()?;
            let (tables, mut connection) = self.documents_connection().await?;
            let compacted = self.compact_on(&mut connection, tables, name, merge).await;
            match compacted {
                Err(CompactionError::Store(error)) => Ok(given_back(connection, Err(error))?),
                compacted => compacted,
            }
        }
        .boxed()
    }

    fn delete_document<'a>(&'a self, name: &'a DocumentName) -> BoxFuture<'a, Result<bool, StoreError>> {
        async move {
            name.check()?;
            let (tables, mut connection) = self.documents_connection().await?;
            let deleted = self.in_time(delete(&mut connection, tables, name)).await;
            given_back(connection, deleted)
        }
        .boxed()
    }
}

impl PostgresStore {
    /// The tables, and a connection that leads to the writer.
    async fn documents_connection(&self) -> Result<(&DocumentTables, PoolConnection<Postgres>), StoreError> {
        Ok((self.found_tables().await?, self.pool.acquire().await?))
    }

    async fn found_tables(&self) -> Result<&DocumentTables, StoreError> {
        self.in_time(self.document_tables.get(&self.pool)).await
    }

    /// Waits for an answer no longer than the settings say.
    async fn in_time<T>(
        &self,
        work: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        timeout(self.timeout, work).await.unwrap_or_else(|_elapsed| Err(late()))
    }

    async fn compact_on(
        &self,
        connection: &mut PgConnection,
        tables: &DocumentTables,
        name: &DocumentName,
        merge: MergeDocument,
    ) -> Result<Option<CompactedDocument>, CompactionError> {
        let Some((transaction, stored)) = self.in_time(lock_to_merge(connection, tables, name)).await? else {
            return Ok(None);
        };
        let ids: Vec<_> = stored.updates.iter().map(|row| row.id).collect();
        let state = merge(stored).await?;
        Ok(self.in_time(replace(transaction, tables, name, ids, state)).await?)
    }
}

/// Closes a connection that does not answer, or leads to no writer, and gives back others.
fn given_back<T>(
    mut connection: PoolConnection<Postgres>,
    result: Result<T, StoreError>,
) -> Result<T, StoreError> {
    if matches!(result, Err(StoreError::Unavailable(_) | StoreError::ReadOnly(_))) {
        connection.close_on_drop();
    }
    result
}

/// A statement about a document.
fn of<'a>(sql: &'a str, name: &'a DocumentName) -> Query<'a, Postgres, PgArguments> {
    sqlx::query(sql).bind(name.tenant_column()).bind(&*name.room).bind(&*name.doc)
}

async fn append(
    connection: &mut PgConnection,
    tables: &DocumentTables,
    updates: &[DocumentUpdate],
) -> Result<Vec<i64>, StoreError> {
    let names = || updates.iter().map(|update| &update.document);
    let query = sqlx::query_scalar(&tables.append)
        .bind(names().map(|name| name.tenant_column()).collect::<Vec<_>>())
        .bind(names().map(|name| &*name.room).collect::<Vec<_>>())
        .bind(names().map(|name| &*name.doc).collect::<Vec<_>>())
        .bind(updates.iter().map(|update| &*update.update).collect::<Vec<_>>())
        .bind(updates.iter().map(|update| update.user.as_deref()).collect::<Vec<_>>());
    // This reads to the end of the answer: the transaction is committed after the last row.
    Ok(query.fetch_all(connection).await?)
}

/// Begins to compact a document: has its state locked, so that no other node compacts it, and reads it with its log. `None` if there
/// is nothing to compact.
async fn lock_to_merge<'a>(
    connection: &'a mut PgConnection,
    tables: &DocumentTables,
    name: &DocumentName,
) -> Result<Option<(Transaction<'a, Postgres>, StoredDocument)>, StoreError> {
    let mut transaction = connection.begin_with(BEGIN).await?;
    let Some(state) = lock(&mut transaction, tables, name).await? else { return Ok(None) };
    let select = tables.select_log();
    let log = sqlx::query_as(&select).bind(name.tenant_column()).bind(&*name.room).bind(&*name.doc);
    let log: Vec<(i64, Vec<u8>)> = log.fetch_all(&mut *transaction).await?;
    if log.is_empty() {
        return Ok(None);
    }
    let (state_version, state) = state.existing.unzip();
    let state_version = state_version.unwrap_or_default();
    let log = StoredDocument::of_rows(log).unwrap_or_default();
    let stored = StoredDocument { state, state_version, ..log };
    Ok(Some((transaction, stored)))
}

/// A row that this transaction has locked.
struct LockedState {
    /// The state, with its version. `None` if this transaction has made the row.
    existing: Option<(i64, Vec<u8>)>,
}

/// Locks the state of a document, which is made if there is none. `None` if it is deleted at the same time.
async fn lock(
    transaction: &mut PgConnection,
    tables: &DocumentTables,
    name: &DocumentName,
) -> Result<Option<LockedState>, StoreError> {
    let (make, lock) = (tables.make_state(name), tables.lock_state(name));
    let is_new = of(&make, name).execute(&mut *transaction).await?.rows_affected() > 0;
    let query = sqlx::query_as(&lock).bind(name.tenant_column()).bind(&*name.room).bind(&*name.doc);
    let state: Option<(i64, Vec<u8>)> = query.fetch_optional(&mut *transaction).await?;
    Ok(state.map(|state| LockedState { existing: Some(state).filter(|_| !is_new) }))
}

/// Makes `state` that of a document whose state is locked, instead of the rows with these ids, unless some are gone.
async fn replace(
    mut transaction: Transaction<'_, Postgres>,
    tables: &DocumentTables,
    name: &DocumentName,
    ids: Vec<i64>,
    state: Vec<u8>,
) -> Result<Option<CompactedDocument>, StoreError> {
    let state_bytes = state.len();
    let (delete, update) = (tables.delete_merged(), tables.update_state(name));
    let deleted = of(&delete, name).bind(&ids).execute(&mut *transaction).await?.rows_affected();
    if deleted != ids.len() as u64 {
        return Ok(None);
    }
    let update = sqlx::query_scalar(&update).bind(name.tenant_column()).bind(&*name.room).bind(&*name.doc);
    let state_version = update.bind(state).fetch_one(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(Some(CompactedDocument { state_bytes, state_version, updates: ids }))
}

async fn delete(
    connection: &mut PgConnection,
    tables: &DocumentTables,
    name: &DocumentName,
) -> Result<bool, StoreError> {
    let mut transaction = connection.begin_with(BEGIN).await?;
    (&mut *transaction).execute(BE_DURABLE).await?;
    // A compaction that has made the row, which others do not see yet, would leave it behind.
    let state = lock(&mut transaction, tables, name).await?;
    let (delete_state, delete_log) = (tables.delete_state(name), tables.delete_log());
    of(&delete_state, name).execute(&mut *transaction).await?;
    let updates = of(&delete_log, name).execute(&mut *transaction).await?.rows_affected();
    transaction.commit().await?;
    Ok(updates > 0 || state.is_some_and(|state| state.existing.is_some()))
}
