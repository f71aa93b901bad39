//! Answers from what is stored, to those who have nothing of a large document. Decoding it takes some fifty milliseconds for each
//! megabyte, and what they are sent contains all of it anyway.

use wire::yjs::{DocumentUpdate, SyncMessage, concatenate};

use super::loading::{bytes_of, updates_of};
use super::member::MemberId;
use super::publishing::NOTHING;
use super::task::DocumentTask;
use super::turn::Turn;
use crate::store::StoredDocument;
use crate::workers::Offload;

impl DocumentTask {
    /// Answers those who ask for all of a large document, if what is stored can be sent as it is, and is all there is.
    pub(super) async fn answer_from_store(&mut self, stored: StoredDocument, turn: &mut Turn) -> StoredDocument {
        let (bytes, members) = (bytes_of(&stored), self.asking_for_all(turn));
        if members.is_empty() || !Offload::is_large(bytes) || !self.unsaved.is_empty() {
            return stored;
        }
        let (offload, party) = (&self.document.documents.node.offload, self.document.tenant.memory.party());
        let joined = move || {
            let joined = joined(&stored);
            (stored, joined)
        };
        let (stored, joined) = offload.run_beside(party, joined).await;
        if let Some(update) = joined {
            self.synchronise(&members, SyncMessage::Step2(&update));
            turn.lacking.retain(|(id, _)| !members.contains(id));
            members.iter().for_each(|id| _ = self.parked.missed.remove(id));
        }
        stored
    }

    /// Those who have nothing, and can read an answer at once.
    fn asking_for_all(&self, turn: &Turn) -> Vec<MemberId> {
        let has_nothing = turn.lacking.iter().filter(|(_, state_vector)| **state_vector == *NOTHING);
        let can_read =
            |id: &MemberId| self.parked.members.get(id).is_some_and(|member| !member.is_backlogged());
        has_nothing.map(|(id, _)| *id).filter(can_read).collect()
    }
}

/// What is stored as one update, if its parts follow each other.
fn joined(stored: &StoredDocument) -> Option<Vec<u8>> {
    let updates = updates_of(stored).into_iter().map(DocumentUpdate::decode);
    concatenate(&updates.collect::<Result<Vec<_>, _>>().ok()?)
}
