//! Reads a document from the store. What cannot be read is an error for those who open it, and never an empty document.

use std::sync::Arc;
use std::time::Instant;

use hub::{MemoryCharge, MemoryKind};
use tokio::time::timeout;

use super::content::{DocumentContent, Inapplicable};
use super::document::Document;
use super::log::LogContent;
use crate::node::LoadedDocument;
use crate::store::{StoreError, StoredDocument};
use crate::telemetry::codes::Code;

/// Bytes of memory for each byte of an encoded document, before it is known what is in it.
pub(super) const MEMORY_FACTOR: usize = 4;

/// A document in memory, and what it is charged.
pub(super) struct LoadedContent {
    pub(super) content: DocumentContent,
    pub(super) charge: MemoryCharge,
    _counted: LoadedDocument,
}

/// Why a document cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoadError {
    /// The store does not return it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store does not answer in time.
    #[error("the store does not answer in time")]
    Late,
    /// What is stored is not a document.
    #[error("what is stored is not a Yjs document")]
    Damaged,
    /// The tenant has no memory for it.
    #[error("there is no memory for it")]
    OutOfMemory,
}

impl LoadedContent {
    /// The memory that it takes may have changed.
    pub(super) fn recharge(&mut self) {
        self.charge.resize(self.content.memory());
    }
}

/// Reads what is stored.
pub(super) async fn read(document: &Arc<Document>) -> Result<StoredDocument, LoadError> {
    let documents = &document.documents;
    let wait = documents.node.settings().documents.load_timeout;
    let begun = Instant::now();
    let stored =
        timeout(wait, documents.store.document(&document.name)).await.map_err(|_late| LoadError::Late)??;
    documents.node.metrics.documents.loads.record(begun.elapsed().as_secs_f64());
    Ok(stored.unwrap_or_default())
}

/// Loads what was read of the document, and applies `unsaved` updates to it. Returns also what is stored.
pub(super) async fn load(
    document: &Arc<Document>,
    stored: StoredDocument,
    unsaved: Vec<Vec<u8>>,
) -> Result<(LoadedContent, LogContent), LoadError> {
    let bytes = bytes_of(&stored);
    let memory = &document.tenant.memory;
    let Some(charge) = memory.try_charge(MemoryKind::Documents, bytes * MEMORY_FACTOR) else {
        memory.count_refusal(MemoryKind::Documents);
        return Err(LoadError::OutOfMemory);
    };
    let (log, offload) = (LogContent::of(&stored), &document.documents.node.offload);
    let content = offload.run(memory.party(), bytes, move || content_of(&stored, &unsaved)).await?;
    if content.left_out() > 0 {
        document.report(Code::DocumentUpdateRefused, Inapplicable::Nested);
    }
    let counted = document.documents.node.documents.note_loaded();
    let mut loaded = LoadedContent { content, charge, _counted: counted };
    loaded.recharge();
    Ok((loaded, log))
}

/// The bytes of state and log.
pub(super) fn bytes_of(stored: &StoredDocument) -> usize {
    let log: usize = stored.updates.iter().map(|stored| stored.update.len()).sum();
    log + stored.state.as_ref().map_or(0, Vec::len)
}

/// The content of what is stored, and of `unsaved` updates.
pub(super) fn content_of(stored: &StoredDocument, unsaved: &[Vec<u8>]) -> Result<DocumentContent, LoadError> {
    let mut all = updates_of(stored);
    all.extend(unsaved.iter().map(|update| &**update));
    DocumentContent::load(all).map_err(|_inapplicable| LoadError::Damaged)
}

/// State and log.
pub(super) fn updates_of(stored: &StoredDocument) -> Vec<&[u8]> {
    let state = stored.state.iter().map(|state| &**state);
    state.chain(stored.updates.iter().map(|stored| &*stored.update)).collect()
}
