//! Changes of the content: applied together, sent to the members as one, and answered once they are saved.

use bytes::Bytes;
use hub::MemoryKind;
use wire::hocuspocus::Applied as Acknowledgement;
use wire::yjs::DocumentUpdate;

use super::change::Change;
use super::content::{Applied, Inapplicable};
use super::event::DocumentEvent;
use super::loading::LoadedContent;
use super::member::{MemberId, MemberProtocol};
use super::task::DocumentTask;
use crate::auth::DocumentAccess;
use crate::close_reason::DocumentCloseReason;
use crate::telemetry::codes::Code;

impl DocumentTask {
    /// Applies changes: all together, or each alone if one of them cannot be applied.
    pub(super) async fn change(&mut self, changes: Vec<Change>) {
        let changes = self.accepted(changes).await;
        if changes.is_empty() || self.apply(&changes).await.is_ok() {
            return;
        }
        let mut failed = Vec::new();
        let mut changes = changes.into_iter();
        while let Some(change) = changes.next() {
            let member = change.member;
            // Each failure costs another load, so a member has one.
            if failed.contains(&member) {
                continue;
            }
            if let Err(reason) = self.load().await {
                let members = changes.map(|change| change.member).chain([member]);
                return self.fail(members.collect(), reason);
            }
            if let Err(inapplicable) = self.apply(&[change]).await {
                self.document.report(Code::DocumentUpdateRefused, inapplicable);
                self.fail(vec![member], close_reason(inapplicable));
                failed.push(member);
            }
        }
    }

    /// The changes that are applied, of which each has been examined by itself: what is wrong with one refuses no other.
    async fn accepted(&mut self, changes: Vec<Change>) -> Vec<Change> {
        let (mut accepted, mut bytes) = (Vec::with_capacity(changes.len()), 0);
        for change in changes {
            match change.access {
                DocumentAccess::Read => self.refuse_reader(change).await,
                DocumentAccess::Write if self.refused.withholds(&change) => {}
                DocumentAccess::Write => match self.refusal(&change, bytes) {
                    Some(reason) => self.refuse(&change, reason),
                    None => {
                        self.refused.remove(change.member);
                        bytes += change.update.len();
                        accepted.push(change);
                    }
                },
            }
        }
        accepted
    }

    /// Why a change is not accepted at the moment, after others with so many bytes.
    fn refusal(&mut self, change: &Change, bytes_before: usize) -> Option<DocumentCloseReason> {
        let max_bytes = self.document.limits().document;
        let max_unsaved = self.document.documents.node.settings().documents.max_unsaved_bytes.as_u64();
        let bytes = bytes_before + change.update.len();
        let size = self.content.as_mut().map_or(0, |loaded| loaded.content.size_if_near(max_bytes, bytes));
        if size + bytes > max_bytes && !only_deletes(&change.update) {
            self.document.report(Code::DocumentSizeExceeded, "it would be too large");
            return Some(DocumentCloseReason::TooLarge);
        }
        // Anything fits if nothing else waits: there would be no end of waiting for room.
        let waiting = self.unsaved.bytes() + bytes_before;
        if waiting > 0 && (waiting + change.update.len()) as u64 > max_unsaved {
            self.document.report(Code::DocumentUnsavedLimitReached, "too much is not stored yet");
            // Not for good: it is the store that does not answer.
            return Some(DocumentCloseReason::RateLimited);
        }
        None
    }

    /// Answers one who may only read, and need not have sent anything new.
    async fn refuse_reader(&mut self, change: Change) {
        let Change { member, acknowledges, update, .. } = change;
        let is_known = acknowledges.is_answer() && self.contains(update).await;
        let applied = if is_known { Acknowledgement::Yes } else { Acknowledgement::No };
        let member = self.parked.members.get(&member);
        member.into_iter().for_each(|member| member.acknowledge(acknowledges, applied));
    }

    /// Refuses a change. If that is not for good, Hocuspocus clients are asked for it later, and the connections of others end.
    fn refuse(&mut self, change: &Change, reason: DocumentCloseReason) {
        let Some(member) = self.parked.members.get(&change.member) else { return };
        match member.protocol {
            MemberProtocol::Hocuspocus(_) if reason == DocumentCloseReason::RateLimited => {
                self.refused.insert(change.member);
            }
            // What it writes after this would wait for this for ever, so its use of the document ends.
            MemberProtocol::Hocuspocus(_) | MemberProtocol::YWebsocket => {
                member.acknowledge(change.acknowledges, Acknowledgement::No);
                self.fail(vec![change.member], reason);
            }
        }
    }

    /// Whether there is nothing new in an update.
    async fn contains(&mut self, update: Box<[u8]>) -> bool {
        let contains = move |loaded: LoadedContent| {
            let update = DocumentUpdate::decode(&update).ok();
            let is_known = update.is_some_and(|update| loaded.content.contains(&update));
            (Some(loaded), is_known)
        };
        let bytes = self.content.as_ref().map_or(0, |loaded| loaded.content.bytes());
        self.with_content(bytes, contains).await.unwrap_or(false)
    }

    /// Does what reads about so many bytes with the content, beside the workers if these are many. It is lost if `work` does not return it.
    pub(super) async fn with_content<T: Send + 'static>(
        &mut self,
        bytes: usize,
        work: impl FnOnce(LoadedContent) -> (Option<LoadedContent>, T) + Send + 'static,
    ) -> Option<T> {
        let loaded = self.content.take()?;
        let (offload, party) = (&self.document.documents.node.offload, self.document.tenant.memory.party());
        let (loaded, result) = offload.run(party, bytes, move || work(loaded)).await;
        self.content = loaded;
        Some(result)
    }

    /// Applies changes as one, and publishes what is new in them. If that cannot be done, the content has to be loaded again.
    async fn apply(&mut self, changes: &[Change]) -> Result<(), Inapplicable> {
        let Some(loaded) = &mut self.content else { return Err(Inapplicable::Contradictory) };
        let cost = loaded.content.cost_to_apply(changes.iter().map(|change| &*change.update));
        if !loaded.charge.try_grow(cost.memory) {
            self.document.tenant.memory.count_refusal(MemoryKind::Documents);
            return Err(Inapplicable::OutOfMemory);
        }
        let updates: Vec<Bytes> =
            changes.iter().map(|change| Bytes::copy_from_slice(&change.update)).collect();
        let max = self.document.limits().update;
        let apply = move |mut loaded: LoadedContent| {
            let applied = loaded.content.apply(updates.iter().map(|update| &**update), max);
            loaded.recharge();
            (applied.is_ok().then_some(loaded), applied)
        };
        let applied = self.with_content(cost.bytes, apply).await.unwrap_or(Err(Inapplicable::Contradictory));
        if let Applied::Update(update) = applied? {
            self.publish_update(changes, update.into());
        }
        self.await_saving(changes);
        Ok(())
    }

    /// Sends an update to all, and queues it for the store.
    fn publish_update(&mut self, changes: &[Change], update: Bytes) {
        // One that has sent it all alone has it.
        let sender = changes.first().filter(|first| changes.iter().all(|it| it.member == first.member));
        let user = sender.and_then(|first| first.user.clone());
        self.publish(DocumentEvent::Update(&update), sender.map(|first| first.member));
        self.unsaved.add(&self.document.name, update.clone(), user);
        if self.document.documents.node.settings().documents.y_websocket_echo {
            self.await_echo(changes, update);
        }
    }

    /// Sends an update back to those of its senders who know no other acknowledgement, once it is saved.
    fn await_echo(&mut self, changes: &[Change], update: Bytes) {
        let mut senders: Vec<MemberId> = changes.iter().map(|change| change.member).collect();
        senders.sort_unstable();
        senders.dedup();
        let knows_no_other = |id: &MemberId| {
            let member = self.parked.members.get(id);
            member.is_some_and(|member| matches!(member.protocol, MemberProtocol::YWebsocket))
        };
        senders.retain(knows_no_other);
        self.unsaved.answers().echo(senders, update);
    }

    /// Acknowledges the changes once they are saved.
    fn await_saving(&mut self, changes: &[Change]) {
        for change in changes {
            let member = self.parked.members.get(&change.member);
            if member.is_some_and(|member| matches!(member.protocol, MemberProtocol::Hocuspocus(_))) {
                self.unsaved.answers().acknowledge(change.member, change.acknowledges);
            }
        }
    }
}

/// Whether an update adds nothing to a document: such a one is accepted by a full document too, which becomes smaller by it.
fn only_deletes(update: &[u8]) -> bool {
    DocumentUpdate::decode(update).is_ok_and(|update| update.structs() == 0)
}

/// Why the connection ends whose update cannot be applied.
fn close_reason(error: Inapplicable) -> DocumentCloseReason {
    match error {
        Inapplicable::Contradictory | Inapplicable::Nested => DocumentCloseReason::Invalid,
        // When it synchronises again, it sends what others lack.
        Inapplicable::Waiting | Inapplicable::OutOfMemory => DocumentCloseReason::RateLimited,
    }
}
