//! What every store promises of documents, tried on each of them, and what only one can break.

mod checks;
mod postgres;
mod sqlite;

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt as _;
use harness::Postgres;
use realtime_server::store::{
    CompactionError, DocumentName, DocumentStore, DocumentUpdate, MemoryStore, MergeDocument, MergeRefused,
    Migrate as _, PostgresStore, SqliteStore, StoredDocument,
};
use tempfile::TempDir;

/// A store, and what it needs as long as it is used.
struct Kept<T>(Box<dyn DocumentStore>, T);

fn memory() -> Kept<()> {
    Kept(Box::new(MemoryStore::default()), ())
}

async fn sqlite() -> Kept<TempDir> {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join("store.sqlite")).await.unwrap();
    store.migrate().await.unwrap();
    Kept(Box::new(store), folder)
}

async fn postgres() -> Kept<Postgres> {
    let postgres = Postgres::start();
    let store = connect(&postgres);
    store.documents().migrate().await.unwrap();
    Kept(Box::new(store), postgres)
}

fn connect(postgres: &Postgres) -> PostgresStore {
    PostgresStore::new(&settings_of(postgres)).unwrap()
}

fn settings_of(postgres: &Postgres) -> settings::Store {
    settings::Store { url: Some(postgres.url().into()), ..Default::default() }
}

/// A check of each store.
macro_rules! conformance {
    ($($check:ident),* $(,)?) => {$(
        mod $check {
            #[tokio::test]
            async fn memory() {
                super::checks::$check(&*super::memory().0).await;
            }

            #[tokio::test]
            async fn sqlite() {
                super::checks::$check(&*super::sqlite().await.0).await;
            }

            #[tokio::test]
            async fn postgres() {
                super::checks::$check(&*super::postgres().await.0).await;
            }
        }
    )*};
}

conformance!(
    updates_are_read_in_the_order_in_which_they_were_appended,
    documents_of_equal_names_belong_to_their_tenants,
    what_was_never_stored_is_nothing,
    names_may_have_any_characters,
    names_that_no_database_has_are_rejected,
    a_batch_with_one_that_is_rejected_is_not_appended,
    a_compaction_deletes_what_it_has_merged_and_nothing_else,
    a_version_changes_with_all_that_is_written,
    compactions_at_once_lose_nothing,
    a_deletion_is_not_undone_by_a_compaction_that_began_before,
    a_merge_that_is_refused_changes_nothing,
    a_deleted_document_is_gone_and_may_begin_again,
    large_documents_and_updates_of_any_bytes_are_kept,
    a_batch_may_have_thousands_of_updates_of_many_documents,
);

/// A document of a tenant, or of the default tenant.
fn named(tenant: Option<&str>, room: &str, doc: &str) -> Arc<DocumentName> {
    Arc::new(DocumentName { tenant: tenant.map(Arc::from), room: room.into(), doc: doc.into() })
}

fn update(document: &Arc<DocumentName>, bytes: impl Into<Bytes>) -> DocumentUpdate {
    DocumentUpdate { document: Arc::clone(document), update: bytes.into(), user: Some("ann".into()) }
}

/// Updates of one byte each.
fn updates(document: &Arc<DocumentName>, bytes: &[u8]) -> Vec<DocumentUpdate> {
    bytes.iter().map(|byte| update(document, vec![*byte])).collect()
}

/// State and log, one behind the other: what a document contains, however far it is compacted.
fn joined(stored: StoredDocument) -> Vec<u8> {
    let updates = stored.updates.into_iter().flat_map(|row| row.update);
    stored.state.unwrap_or_default().into_iter().chain(updates).collect()
}

/// What a document contains.
async fn contents(store: &dyn DocumentStore, name: &DocumentName) -> Option<Vec<u8>> {
    store.document(name).await.unwrap().map(joined)
}

/// Merges by joining.
fn joining() -> MergeDocument {
    Box::new(|stored| async { Ok(joined(stored)) }.boxed())
}

fn refusing() -> MergeDocument {
    Box::new(|_stored| async { Err(MergeRefused("it is damaged".into())) }.boxed())
}
