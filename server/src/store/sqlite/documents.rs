//! Documents in the embedded file.
//!
//! A batch is appended by one statement, which is its own transaction: one command for the thread of the connection, and one
//! `fsync`. A document is read by one statement too, so that state and log are of the same moment.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::json;
use sqlx::Sqlite;
use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;

use super::{NOW, SqliteStore, begin_on};
use crate::store::StoreError;
use crate::store::document::{
    CompactedDocument, CompactionError, DocumentName, DocumentStore, DocumentUpdate, DocumentVersion,
    MergeDocument, StoredDocument, check_updates,
};

/// The rows of a document.
const OF_DOCUMENT: &str = "WHERE tenant = ?1 AND room_id = ?2 AND doc_id = ?3";

impl DocumentStore for SqliteStore {
    fn document<'a>(
        &'a self,
        name: &'a DocumentName,
    ) -> BoxFuture<'a, Result<Option<StoredDocument>, StoreError>> {
        async move {
            name.check()?;
            let DocumentName { room, doc, .. } = name;
            let select = select();
            let query = sqlx::query_as(&select).bind(name.tenant_column()).bind(&**room).bind(&**doc);
            Ok(StoredDocument::of_rows(query.fetch_all(&self.pool).await?))
        }
        .boxed()
    }

    fn versions<'a>(
        &'a self,
        names: &'a [Arc<DocumentName>],
    ) -> BoxFuture<'a, Result<Vec<DocumentVersion>, StoreError>> {
        async move {
            let (state_version, updates) = (state_version(), updates());
            let mut versions = Vec::with_capacity(names.len());
            for name in names {
                name.check()?;
                let DocumentName { room, doc, .. } = &**name;
                let state = sqlx::query_scalar(&state_version).bind(name.tenant_column());
                let state: Option<i64> = state.bind(&**room).bind(&**doc).fetch_optional(&self.pool).await?;
                let log = sqlx::query_scalar(&updates).bind(name.tenant_column()).bind(&**room);
                let updates = log.bind(&**doc).fetch_all(&self.pool).await?;
                versions.push(DocumentVersion { state: state.unwrap_or_default(), updates });
            }
            Ok(versions)
        }
        .boxed()
    }

    fn is_shared(&self) -> bool {
        false
    }

    fn append<'a>(&'a self, updates: &'a [DocumentUpdate]) -> BoxFuture<'a, Result<Vec<i64>, StoreError>> {
        async move {
            check_updates(updates)?;
            if updates.is_empty() {
                return Ok(Vec::new());
            }
            let (rows, bytes) = packed(updates);
            let insert = insert();
            let mut turn = self.turn_to_write().await;
            let first = turn.take(updates.len(), &self.writer).await?;
            sqlx::query(&insert).bind(rows).bind(bytes).bind(first).execute(&self.writer).await?;
            self.checkpoint_if_due();
            Ok((first..).take(updates.len()).collect())
        }
        .boxed()
    }

    fn compact<'a>(
        &'a self,
        name: &'a DocumentName,
        merge: MergeDocument,
    ) -> BoxFuture<'a, Result<Option<CompactedDocument>, CompactionError>> {
        async move {
            let stored = self.document(name).await?.unwrap_or_default();
            let updates: Vec<i64> = stored.updates.iter().map(|row| row.id).collect();
            if updates.is_empty() {
                return Ok(None);
            }
            // Without a lock: others write meanwhile, and what has changed is noticed.
            let state = merge(stored).await?;
            Ok(self.replace(name, updates, state).await?)
        }
        .boxed()
    }

    fn delete_document<'a>(&'a self, name: &'a DocumentName) -> BoxFuture<'a, Result<bool, StoreError>> {
        async move {
            name.check()?;
            let _turn = self.turn_to_write().await;
            let mut transaction = self.begin().await?;
            let mut deleted = 0;
            for delete in delete_all() {
                deleted += of(&delete, name).execute(&mut *transaction).await?.rows_affected();
            }
            transaction.commit().await?;
            Ok(deleted > 0)
        }
        .boxed()
    }
}

impl SqliteStore {
    /// Makes `state` that of a document instead of the rows with these ids, unless some of them are gone. A row that is committed later
    /// has a greater id than all of them.
    async fn replace(
        &self,
        name: &DocumentName,
        updates: Vec<i64>,
        state: Vec<u8>,
    ) -> Result<Option<CompactedDocument>, StoreError> {
        let state_bytes = state.len();
        let (delete, put) = (delete_merged(), put_state());
        let _turn = self.turn_to_write().await;
        let mut transaction = begin_on(&self.compactor).await?;
        let deleted = of(&delete, name).bind(updates.last()).execute(&mut *transaction).await?;
        if deleted.rows_affected() != updates.len() as u64 {
            return Ok(None);
        }
        let DocumentName { room, doc, .. } = name;
        let put = sqlx::query_scalar(&put).bind(name.tenant_column()).bind(&**room).bind(&**doc);
        let state_version = put.bind(state).fetch_one(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(Some(CompactedDocument { state_bytes, state_version, updates }))
    }
}

/// A statement about a document.
fn of<'a>(sql: &'a str, name: &'a DocumentName) -> Query<'a, Sqlite, SqliteArguments<'a>> {
    sqlx::query(sql).bind(name.tenant_column()).bind(&*name.room).bind(&*name.doc)
}

/// What is appended, as one JSON array of rows and one text of bytes, of which each row has a part. So any number of updates are two
/// parameters of the same statement, which stays prepared.
fn packed(updates: &[DocumentUpdate]) -> (String, Vec<u8>) {
    // The first byte belongs to no update: `substr` has no part of no bytes.
    let mut bytes = vec![0];
    let rows = updates.iter().map(|DocumentUpdate { document, update, user }| {
        // Positions begin with 1.
        let row = json!([
            document.tenant_column(),
            &*document.room,
            &*document.doc,
            user.as_deref(),
            bytes.len() + 1,
            update.len()
        ]);
        bytes.extend_from_slice(update);
        row
    });
    (rows.collect::<serde_json::Value>().to_string(), bytes)
}

fn insert() -> String {
    format!(
        "INSERT INTO document_updates (tenant, room_id, doc_id, user_id, id, \"update\", created_at) \
         SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, ?3 + key, \
         substr(?2, value ->> 4, value ->> 5), (SELECT {NOW}) FROM json_each(?1)"
    )
}

fn select() -> String {
    format!(
        "SELECT -{STATE_VERSION}, state FROM documents {OF_DOCUMENT} \
         UNION ALL SELECT id, \"update\" FROM document_updates {OF_DOCUMENT}"
    )
}

/// The version of a state: other processes do not write, so it has to change only as far as this one can see.
const STATE_VERSION: &str = "(unixepoch(updated_at) * 4294967296 + length(state))";

fn state_version() -> String {
    format!("SELECT {STATE_VERSION} FROM documents {OF_DOCUMENT}")
}

fn updates() -> String {
    format!("SELECT id FROM document_updates {OF_DOCUMENT}")
}

fn delete_all() -> [String; 2] {
    ["documents", "document_updates"].map(|table| format!("DELETE FROM {table} {OF_DOCUMENT}"))
}

fn delete_merged() -> String {
    format!("DELETE FROM document_updates {OF_DOCUMENT} AND id <= ?4")
}

fn put_state() -> String {
    format!(
        "INSERT INTO documents (tenant, room_id, doc_id, state, updated_at, created_at) VALUES (?1, ?2, ?3, ?4, {NOW}, {NOW}) \
         ON CONFLICT DO UPDATE SET state = excluded.state, updated_at = excluded.updated_at \
         RETURNING {STATE_VERSION}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::{CREATE_RECORD, MIGRATIONS};
    use crate::store::{Migrate as _, StoredUpdate};

    fn update(bytes: &'static [u8]) -> DocumentUpdate {
        let name = DocumentName { tenant: None, room: "room".into(), doc: "doc".into() };
        DocumentUpdate { document: name.into(), update: bytes.into(), user: None }
    }

    // A compaction that has read a row would else delete a later one.
    #[tokio::test]
    async fn an_id_is_not_given_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("store.sqlite");
        let mut greatest = 0;
        for _ in 0..3 {
            let store = SqliteStore::open(&file).await.unwrap();
            store.migrate().await.unwrap();
            let ids = store.append(&[update(b"a"), update(b"b")]).await.unwrap();
            assert!(ids[0] > greatest && ids[1] > ids[0], "{ids:?} after {greatest}");
            greatest = ids[1];
            store.delete_document(&update(b"").document).await.unwrap();
            store.writer.close().await;
        }
    }

    #[tokio::test]
    async fn the_log_of_an_earlier_version_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("store.sqlite")).await.unwrap();
        let insert =
            "INSERT INTO document_updates VALUES (7, '', 'room', 'doc', x'61', 'ann', '2026-01-01T00:00:00')";
        let recorded = "INSERT INTO schema_migrations VALUES (1, ''), (2, '')";
        for sql in [CREATE_RECORD, MIGRATIONS[0].sql, MIGRATIONS[1].sql, recorded, insert] {
            sqlx::raw_sql(sql).execute(&store.pool).await.unwrap();
        }
        store.migrate().await.unwrap();
        let later = store.append(&[update(b"b")]).await.unwrap()[0];
        let stored = store.document(&update(b"").document).await.unwrap().unwrap();
        let row = |id, update: &[u8]| StoredUpdate { id, update: update.into() };
        assert_eq!(stored.updates, [row(7, b"a"), row(later, b"b")]);
    }

    // With a scan an open document would cost as much as all others together.
    #[tokio::test]
    async fn a_document_is_found_by_an_index() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("store.sqlite")).await.unwrap();
        store.migrate().await.unwrap();
        for query in delete_all().into_iter().chain([select(), delete_merged(), state_version(), updates()]) {
            let explain = format!("EXPLAIN QUERY PLAN {query}");
            let plan: Vec<(i64, i64, i64, String)> =
                sqlx::query_as(&explain).fetch_all(&store.pool).await.unwrap();
            let reads: Vec<_> =
                plan.iter().map(|step| &*step.3).filter(|step| step.contains("documen")).collect();
            let by_index = "(tenant=? AND room_id=? AND doc_id=?";
            assert!(
                !reads.is_empty() && reads.iter().all(|step| step.contains(by_index)),
                "{query}: {plan:?}"
            );
        }
    }
}
