//! Answers from what is stored, to those who have nothing of a large document. yrs decodes it in some fifty milliseconds for each
//! megabyte, and what they are sent is all of it anyway.

use std::pin::pin;

use hub::{MemoryCharge, MemoryKind};
use tokio::time::Instant;
use wire::yjs::{DocumentUpdate, SyncMessage, TYPE_DEPTH_MAX, concatenate, type_depth};

use super::loading::{self, LoadError, LoadedContent, bytes_of, updates_of};
use super::log::LogContent;
use super::member::MemberId;
use super::publishing::NOTHING;
use super::task::DocumentTask;
use super::turn::Turn;
use crate::store::StoredDocument;
use crate::workers::Offload;

/// Requests that are taken while a document is decoded. The rest wait in the mailbox.
const REQUESTS_MAX: usize = 1_024;

impl DocumentTask {
    /// Decodes what is stored, without updates that are not. Members that ask for all of it before that is done are
    /// answered at once, and the rest is added to `turn`.
    pub(super) async fn decode_answering(
        &mut self,
        stored: StoredDocument,
        turn: &mut Turn,
    ) -> Result<(LoadedContent, LogContent), LoadError> {
        let (stored, all) = self.join_parts(stored).await;
        let document = self.document.clone();
        let mut loading = pin!(loading::load(&document, stored, Vec::new()));
        let Some((all, _charge)) = all else { return loading.await };
        let (mut taken, joined) = (0, turn.joined.len());
        loop {
            self.answer_with(&all, turn);
            tokio::select! {
                loaded = &mut loading => {
                    if turn.joined.len() > joined && document.documents.are_shared() {
                        // The room may have been left meanwhile, and then nothing of the other nodes came.
                        self.exchange.read_at = Some(Instant::now());
                    }
                    return loaded;
                }
                batch = self.next_batch(), if taken < REQUESTS_MAX && turn.only_asks() => {
                    taken += batch.requests.len();
                    self.sort_batch(batch, turn);
                }
            }
        }
    }

    /// What is stored as one update with the memory that it takes, if it is large and can be sent as it is.
    async fn join_parts(&self, stored: StoredDocument) -> (StoredDocument, Option<(Vec<u8>, MemoryCharge)>) {
        let (bytes, memory) = (bytes_of(&stored), &self.document.tenant.memory);
        if !Offload::is_large(bytes) {
            return (stored, None);
        }
        let Some(charge) = memory.try_charge(MemoryKind::Documents, bytes) else { return (stored, None) };
        let join = move || {
            let all = joined(&updates_of(&stored));
            (stored, all.map(|all| (all, charge)))
        };
        self.document.documents.node.offload.run_beside(memory.party(), join).await
    }

    /// Sends `all` to those who ask for it, and can read it at once.
    fn answer_with(&mut self, all: &[u8], turn: &mut Turn) {
        let can_read =
            |id: &MemberId| self.parked.members.get(id).is_some_and(|member| !member.is_backlogged());
        let is_answered =
            |(id, state_vector): &mut (MemberId, Box<[u8]>)| **state_vector == *NOTHING && can_read(id);
        let answered: Vec<MemberId> = turn.lacking.extract_if(.., is_answered).map(|(id, _)| id).collect();
        if !answered.is_empty() {
            self.synchronise(&answered, SyncMessage::Step2(all));
            answered.iter().for_each(|id| _ = self.parked.missed.remove(id));
        }
    }
}

/// The parts of a document as one update, if they follow each other. Types that are nested too deeply together, which a document leaves
/// out, are not sent to clients either.
fn joined(parts: &[&[u8]]) -> Option<Vec<u8>> {
    let updates: Vec<_> =
        parts.iter().map(|part| DocumentUpdate::decode(part)).collect::<Result<_, _>>().ok()?;
    let types: usize = updates.iter().map(DocumentUpdate::shared_types).sum();
    let is_shallow =
        || types <= TYPE_DEPTH_MAX || type_depth(None, &updates.iter().collect::<Vec<_>>()) <= TYPE_DEPTH_MAX;
    if is_shallow() { concatenate(&updates) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::documents::content::tests::nested;

    #[test]
    fn what_is_stored_is_sent_as_it_is_unless_types_are_nested_too_deeply_together() {
        let max = TYPE_DEPTH_MAX as u32;
        let (upper, lower) = (nested(0, max / 2, false), nested(max / 2, max, false));
        assert_eq!(joined(&[&upper, &lower]), Some(nested(0, max, false)));
        let deeper = nested(max, max + 1, false);
        assert_eq!(joined(&[&upper, &lower, &deeper]), None);
        assert_eq!(joined(&[&upper, &deeper]), None, "a gap");
        assert_eq!(joined(&[&upper, &lower[1..]]), None, "no update");
    }
}
