//! Replaces the log of a document by its state. Done beside the task of the document, from what is stored: so any node may do it,
//! and nothing that only this one has in memory can be lost by it.

use std::future::ready;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use hub::MemoryKind;
use tokio::time::timeout;

use super::content::Inapplicable;
use super::document::Document;
use super::loading::{LoadError, MEMORY_FACTOR, bytes_of, content_of};
use crate::node::LifecyclePhase;
use crate::store::{MergeDocument, MergeRefused};
use crate::telemetry::codes::Code;

/// How long the next compaction waits at most.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Compacts a log that is long.
pub(super) fn compact_if_long(document: &Arc<Document>) {
    if document.log.is_long(&document.documents.node.settings().documents) {
        compact(document);
    }
}

/// Compacts a log, unless it is empty or that is being done.
pub(super) fn compact(document: &Arc<Document>) {
    if !document.log.begin_compaction() {
        return;
    }
    let document = Arc::clone(document);
    document.documents.tasks.clone().spawn(async move {
        let documents = &document.documents;
        // Never closed.
        let _permit = documents.compactions.acquire().await;
        let begun = Instant::now();
        let (offload, party) = (Arc::clone(&documents.node.offload), document.tenant.memory.party());
        let before = Arc::new(OnceLock::new());
        let merged_from = Arc::clone(&before);
        let memory = Arc::clone(&document.tenant.memory);
        let merge: MergeDocument = Box::new(move |stored| {
            let bytes = bytes_of(&stored) * MEMORY_FACTOR;
            let Some(charge) = memory.try_charge(MemoryKind::Documents, bytes) else {
                memory.count_refusal(MemoryKind::Documents);
                let refused = MergeRefused(LoadError::OutOfMemory.to_string());
                return ready(Err(refused)).boxed();
            };
            merged_from.get_or_init(|| stored.version());
            let merged = move || {
                let content = content_of(&stored, &[]).map_err(|error| MergeRefused(error.to_string()))?;
                // What a document leaves out stays in the log.
                if content.left_out() > 0 {
                    Err(MergeRefused(Inapplicable::Nested.to_string()))
                } else {
                    Ok(content.encoded())
                }
            };
            async move {
                let _charge = charge;
                offload.run_beside(party, merged).await
            }
            .boxed()
        });
        let result = documents.store.compact(&document.name, merge).await;
        document.log.end_compaction(result.is_err());
        match result {
            Ok(compacted) => {
                documents.node.metrics.documents.compactions.increment(1);
                let compacted = before.get().zip(compacted.as_ref());
                compacted.into_iter().for_each(|(before, written)| document.log.compacted(before, written));
            }
            Err(error) => {
                documents.node.metrics.documents.compaction_failures.increment(1);
                document.report(Code::UnableToCompactDocument, &error);
            }
        }
        // Many documents become long at the same time, and half of the time of the store is for what they append.
        let stopping = documents.node.lifecycle.token(LifecyclePhase::Stopping);
        let _stopping = timeout(begun.elapsed().min(PAUSE_MAX), stopping.cancelled()).await;
    });
}
