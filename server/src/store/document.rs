//! What is stored of shared documents: for each a state, which is one Yjs update, and the log of the updates since then. To load a
//! document is to apply the state and then the log; to compact it is to merge both into the next state.
//!
//! A store knows nothing of Yjs: updates are bytes, and who compacts says how they are merged.

use std::fmt::Debug;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::StoreError;

/// Names a document.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DocumentName {
    /// The tenant; `None` for the default tenant, whose states are in the documented table `documents`.
    pub tenant: Option<Arc<str>>,
    /// The room.
    pub room: Arc<str>,
    /// The document in the room.
    pub doc: Arc<str>,
}

/// An update that is to be appended to the log of a document.
#[derive(Debug, Clone)]
pub struct DocumentUpdate {
    /// The document.
    pub document: Arc<DocumentName>,
    /// One Yjs update, version 1.
    pub update: Bytes,
    /// Who has sent it, if that is known.
    pub user: Option<Arc<str>>,
}

/// What is stored of a document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoredDocument {
    /// All that was compacted. `None` until then.
    pub state: Option<Vec<u8>>,
    /// Which state it is: see [`DocumentVersion::state`].
    pub state_version: i64,
    /// The log, in the order of its ids.
    pub updates: Vec<StoredUpdate>,
}

/// What is stored of a document, without the bytes: who knows that version, and has applied these updates, has everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DocumentVersion {
    /// Another number for each state that is written; 0 if there is none.
    pub state: i64,
    /// The ids in the log, in any order.
    pub updates: Vec<i64>,
}

/// A row of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredUpdate {
    /// Grows with each append; never given to another row, not even of another document. Of appends at the same time the one that is
    /// committed first may have the greater ids.
    pub id: i64,
    /// One Yjs update.
    pub update: Vec<u8>,
}

/// What a compaction has written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompactedDocument {
    /// The size of the new state, in bytes.
    pub state_bytes: usize,
    /// Which state it is: see [`DocumentVersion::state`].
    pub state_version: i64,
    /// The rows of the log that it contains, which are deleted.
    pub updates: Vec<i64>,
}

/// Merges a state and a log, which has at least one row, into the next state.
pub type MergeDocument =
    Box<dyn FnOnce(StoredDocument) -> BoxFuture<'static, Result<Vec<u8>, MergeRefused>> + Send>;

/// Why what is stored cannot be merged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct MergeRefused(pub String);

/// Why a document is not compacted. What is stored stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompactionError {
    /// The store does not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is stored cannot be merged.
    #[error("what is stored of it cannot be merged: {0}")]
    Merge(#[from] MergeRefused),
}

/// Documents. Every method rejects names with a NUL, and a tenant whose name has no characters.
pub trait DocumentStore: Debug + Send + Sync {
    /// What is stored of a document, as it was at one moment; `None` if nothing is. An error is never taken for that.
    fn document<'a>(
        &'a self,
        name: &'a DocumentName,
    ) -> BoxFuture<'a, Result<Option<StoredDocument>, StoreError>>;

    /// What is stored of each of these documents, in the same order, at one moment or several.
    fn versions<'a>(
        &'a self,
        names: &'a [Arc<DocumentName>],
    ) -> BoxFuture<'a, Result<Vec<DocumentVersion>, StoreError>>;

    /// Whether other processes may write what this one reads.
    fn is_shared(&self) -> bool;

    /// Appends all of the updates or none, in this order, in one transaction. When this returns they are durable. Returns their ids,
    /// in the same order.
    ///
    /// # Errors
    /// When nothing is appended; or, after [`StoreError::Unavailable`], when it is not known whether they were. Who then appends them again
    /// may have them twice, which is harmless to a document.
    fn append<'a>(&'a self, updates: &'a [DocumentUpdate]) -> BoxFuture<'a, Result<Vec<i64>, StoreError>>;

    /// Compacts a document: hands state and log to `merge`, which may take long, writes its result as the state and deletes exactly
    /// the rows that were handed over, in one transaction. Updates may be appended meanwhile. Returns what was written; `None` if
    /// the log is empty, and if another compaction or a deletion came first.
    fn compact<'a>(
        &'a self,
        name: &'a DocumentName,
        merge: MergeDocument,
    ) -> BoxFuture<'a, Result<Option<CompactedDocument>, CompactionError>>;

    /// Deletes state and log of a document, durably. A compaction that has begun before writes nothing. Returns whether there was
    /// anything.
    fn delete_document<'a>(&'a self, name: &'a DocumentName) -> BoxFuture<'a, Result<bool, StoreError>>;
}

impl StoredDocument {
    /// The same without the bytes.
    pub fn version(&self) -> DocumentVersion {
        let updates = self.updates.iter().map(|row| row.id).collect();
        DocumentVersion { state: self.state_version, updates }
    }

    /// What was read of a document: its log by id, and its state, if there is one, by its version, which is negated. `None` of no rows.
    #[cfg(any(feature = "postgres", feature = "sqlite"))]
    pub(super) fn of_rows(mut rows: Vec<(i64, Vec<u8>)>) -> Option<Self> {
        rows.sort_unstable_by_key(|(id, _)| *id);
        let has_state = rows.first()?.0 < 0;
        let mut rows = rows.into_iter();
        let (version, state) = if has_state { rows.next().unzip() } else { (None, None) };
        let updates = rows.map(|(id, update)| StoredUpdate { id, update }).collect();
        Some(Self { state, state_version: version.map_or(0, |version| -version), updates })
    }
}

impl DocumentName {
    /// The tenant as the log has it: empty for the default tenant, because a key has no column without a value.
    pub(super) fn tenant_column(&self) -> &str {
        self.tenant.as_deref().unwrap_or_default()
    }

    /// Refuses what cannot be stored: PostgreSQL has no NUL in texts, and a tenant without characters would be the default tenant.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        if self.tenant.as_deref() == Some("") {
            return Err(StoreError::Rejected(
                "the tenant of a document has a name without characters".into(),
            ));
        }
        let parts = [self.tenant_column(), &self.room, &self.doc];
        check_text("the name of a document", parts)
    }
}

/// Refuses updates that cannot be stored.
pub(super) fn check_updates(updates: &[DocumentUpdate]) -> Result<(), StoreError> {
    updates.iter().try_for_each(|update| {
        update.document.check()?;
        check_text("the user of an update", update.user.as_deref())
    })
}

fn check_text<'a>(what: &str, texts: impl IntoIterator<Item = &'a str>) -> Result<(), StoreError> {
    if texts.into_iter().any(|text| text.contains('\0')) {
        return Err(StoreError::Rejected(format!("{what} has a NUL, which no text of a database has")));
    }
    Ok(())
}
