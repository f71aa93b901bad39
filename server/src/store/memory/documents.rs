//! Documents in memory.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use parking_lot::Mutex;

use super::MemoryStore;
use crate::store::StoreError;
use crate::store::document::{
    CompactedDocument, CompactionError, DocumentName, DocumentStore, DocumentUpdate, DocumentVersion,
    MergeDocument, StoredDocument, StoredUpdate, check_updates,
};

/// All documents.
#[derive(Debug, Default)]
pub(super) struct MemoryDocuments(Mutex<Stored>);

#[derive(Debug, Default)]
struct Stored {
    documents: HashMap<DocumentName, StoredDocument>,
    /// The greatest id of an update, or version of a state; 0 before the first.
    last_id: i64,
}

impl MemoryDocuments {
    fn append(&self, updates: &[DocumentUpdate]) -> Vec<i64> {
        let mut stored = self.0.lock();
        let ids = updates.iter().map(|DocumentUpdate { document, update, .. }| {
            stored.last_id += 1;
            let row = StoredUpdate { id: stored.last_id, update: update.to_vec() };
            stored.documents.entry(DocumentName::clone(document)).or_default().updates.push(row);
            stored.last_id
        });
        ids.collect()
    }

    /// Makes `state` that of the document instead of `merged` and the first `updates` rows, of which `last` is the last one, unless
    /// these are gone.
    fn replace(
        &self,
        name: &DocumentName,
        updates: usize,
        last: i64,
        state: Vec<u8>,
    ) -> Option<CompactedDocument> {
        let Stored { documents, last_id } = &mut *self.0.lock();
        let document = documents.get_mut(name)?;
        if document.updates.get(updates - 1)?.id != last {
            return None;
        }
        *last_id += 1;
        let (state_bytes, state_version) = (state.len(), *last_id);
        let updates = document.updates.drain(..updates).map(|row| row.id).collect();
        (document.state, document.state_version) = (Some(state), state_version);
        Some(CompactedDocument { state_bytes, state_version, updates })
    }
}

impl DocumentStore for MemoryStore {
    fn document<'a>(
        &'a self,
        name: &'a DocumentName,
    ) -> BoxFuture<'a, Result<Option<StoredDocument>, StoreError>> {
        let stored = || self.documents.0.lock().documents.get(name).cloned();
        ready(name.check().map(|()| stored())).boxed()
    }

    fn versions<'a>(
        &'a self,
        names: &'a [Arc<DocumentName>],
    ) -> BoxFuture<'a, Result<Vec<DocumentVersion>, StoreError>> {
        let version = |name: &Arc<DocumentName>| {
            let stored = self.documents.0.lock();
            let document = stored.documents.get(&**name);
            document.map(StoredDocument::version).unwrap_or_default()
        };
        ready(names.iter().map(|name| name.check().map(|()| version(name))).collect()).boxed()
    }

    fn is_shared(&self) -> bool {
        self.is_shared
    }

    fn append<'a>(&'a self, updates: &'a [DocumentUpdate]) -> BoxFuture<'a, Result<Vec<i64>, StoreError>> {
        ready(check_updates(updates).map(|()| self.documents.append(updates))).boxed()
    }

    fn compact<'a>(
        &'a self,
        name: &'a DocumentName,
        merge: MergeDocument,
    ) -> BoxFuture<'a, Result<Option<CompactedDocument>, CompactionError>> {
        async move {
            let stored = self.document(name).await?.unwrap_or_default();
            let (updates, Some(last)) = (stored.updates.len(), stored.updates.last().map(|row| row.id))
            else {
                return Ok(None);
            };
            let state = merge(stored).await?;
            Ok(self.documents.replace(name, updates, last, state))
        }
        .boxed()
    }

    fn delete_document<'a>(&'a self, name: &'a DocumentName) -> BoxFuture<'a, Result<bool, StoreError>> {
        let delete = || self.documents.0.lock().documents.remove(name).is_some();
        ready(name.check().map(|()| delete())).boxed()
    }
}
