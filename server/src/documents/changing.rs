//! Changes of the content: applied together, sent to the members as one, and answered once they are saved.

use std::sync::Arc;

use bytes::Bytes;
use wire::hocuspocus::Applied as Acknowledgement;
use wire::yjs::DocumentUpdate;

use super::content::{Applied, Inapplicable};
use super::event::DocumentEvent;
use super::member::{Acknowledges, MemberId, MemberProtocol};
use super::task::DocumentTask;
use super::unsaved::DelayedAnswer;
use crate::auth::DocumentAccess;
use crate::close_reason::DocumentCloseReason;
use crate::telemetry::codes::Code;

/// An update of a member.
pub(super) struct Change {
    pub(super) member: MemberId,
    /// What the member was permitted when its message was taken: it may have left since, as clients do that send and close at once.
    pub(super) access: DocumentAccess,
    /// The user, who may have left too.
    pub(super) user: Option<Arc<str>>,
    pub(super) update: Box<[u8]>,
    pub(super) acknowledges: Acknowledges,
}

impl DocumentTask {
    /// Applies changes: all together, or each alone if one of them cannot be applied.
    pub(super) async fn change(&mut self, changes: Vec<Change>) {
        let changes = self.permitted(changes);
        if changes.is_empty() {
            return;
        }
        if let Some(reason) = self.refusal(changes.iter().map(|change| change.update.len()).sum()) {
            return self.refuse(&changes, reason);
        }
        if self.apply(&changes).await.is_ok() {
            return;
        }
        // What yrs has begun and not finished is not used any more.
        self.content = None;
        let mut failed = Vec::new();
        for change in changes {
            let member = change.member;
            // Each failure costs another load, so a member has one.
            if failed.contains(&member) {
                continue;
            }
            if let Err(reason) = self.load().await {
                return self.fail(vec![member], reason);
            }
            if let Err(inapplicable) = self.apply(&[change]).await {
                self.content = None;
                self.document.report(Code::DocumentUpdateRefused, inapplicable);
                self.fail(vec![member], close_reason(inapplicable));
                failed.push(member);
            }
        }
    }

    /// Why no change is accepted at the moment, whichever member sends it.
    fn refusal(&mut self, bytes: usize) -> Option<DocumentCloseReason> {
        let (max_bytes, max_unsaved) = {
            let settings = &self.document.documents.node.settings().documents;
            (settings.max_bytes.as_u64(), settings.max_unsaved_bytes.as_u64())
        };
        let size = self.content.as_mut().map_or(0, |loaded| loaded.content.size_if_near(max_bytes, bytes));
        if size as u64 + bytes as u64 > max_bytes {
            self.document.report(Code::DocumentSizeExceeded, "it would be too large");
            return Some(DocumentCloseReason::TooLarge);
        }
        // Anything fits if nothing else waits: there would be no end of waiting for room.
        if self.unsaved.bytes() > 0 && (self.unsaved.bytes() + bytes) as u64 > max_unsaved {
            self.document.report(Code::DocumentUnsavedLimitReached, "too much is not stored yet");
            // Not for good: it is the store that does not answer.
            return Some(DocumentCloseReason::RateLimited);
        }
        None
    }

    /// The changes of those who may write. The others are answered.
    fn permitted(&self, changes: Vec<Change>) -> Vec<Change> {
        let mut permitted = Vec::with_capacity(changes.len());
        for change in changes {
            match change.access {
                DocumentAccess::Write => permitted.push(change),
                DocumentAccess::Read => self.refuse_reader(&change),
            }
        }
        permitted
    }

    /// Answers one who may only read, and need not have sent anything new.
    fn refuse_reader(&self, change: &Change) {
        let Some(member) = self.parked.members.get(&change.member) else { return };
        let is_answer = matches!(change.acknowledges, Acknowledges::UpTo(_));
        let is_known = is_answer && self.contains(&change.update);
        let applied = if is_known { Acknowledgement::Yes } else { Acknowledgement::No };
        member.acknowledge(change.acknowledges, applied);
    }

    /// Refuses changes. Hocuspocus clients are answered, or later asked again if it is not for good; the connections of others end.
    fn refuse(&mut self, changes: &[Change], reason: DocumentCloseReason) {
        for change in changes {
            let Some(member) = self.parked.members.get(&change.member) else { continue };
            match member.protocol {
                MemberProtocol::Hocuspocus(_) if reason == DocumentCloseReason::RateLimited => {
                    self.refused.insert(change.member);
                }
                MemberProtocol::Hocuspocus(_) => member.acknowledge(change.acknowledges, Acknowledgement::No),
                MemberProtocol::YWebsocket { .. } => self.fail(vec![change.member], reason),
            }
        }
    }

    /// Whether there is nothing new in an update.
    fn contains(&self, update: &[u8]) -> bool {
        let content = self.content.as_ref();
        content
            .zip(DocumentUpdate::decode(update).ok())
            .is_some_and(|(it, update)| it.content.contains(&update))
    }

    /// Applies changes as one, and publishes what is new in them.
    async fn apply(&mut self, changes: &[Change]) -> Result<(), Inapplicable> {
        let Some(loaded) = self.content.take() else { return Err(Inapplicable::Contradictory) };
        let bytes = loaded.content.bytes_to_apply(changes.iter().map(|change| &*change.update));
        let updates: Vec<Bytes> =
            changes.iter().map(|change| Bytes::copy_from_slice(&change.update)).collect();
        let (offload, party) = (&self.document.documents.node.offload, self.document.tenant.memory.party());
        let max = self.document.documents.node.settings().documents.max_update_bytes.as_u64();
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        let work = move || {
            let mut loaded = loaded;
            let applied = loaded.content.apply(updates.iter().map(|update| &**update), max);
            (loaded, applied)
        };
        let (mut loaded, applied) = offload.run(party, bytes, work).await;
        let applied = applied?;
        loaded.recharge();
        self.content = Some(loaded);
        if let Applied::Update(update) = applied {
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
        senders.dedup();
        let knows_no_other = |id: &MemberId| {
            let member = self.parked.members.get(id);
            member.is_some_and(|member| matches!(member.protocol, MemberProtocol::YWebsocket { .. }))
        };
        senders.retain(knows_no_other);
        let saved = self.unsaved.wait(DelayedAnswer::Echo(senders, update));
        saved.into_iter().for_each(|waiting| self.answer_waiting(waiting));
    }

    /// Acknowledges the changes once they are saved.
    fn await_saving(&mut self, changes: &[Change]) {
        for change in changes {
            let member = self.parked.members.get(&change.member);
            if member.is_some_and(|member| matches!(member.protocol, MemberProtocol::Hocuspocus(_))) {
                let saved = self.unsaved.wait(DelayedAnswer::Updates(change.member, change.acknowledges));
                saved.into_iter().for_each(|waiting| self.answer_waiting(waiting));
            }
        }
    }
}

/// Why the connection ends whose update cannot be applied.
fn close_reason(error: Inapplicable) -> DocumentCloseReason {
    match error {
        Inapplicable::Contradictory | Inapplicable::Nested => DocumentCloseReason::Invalid,
        // When it synchronises again, it sends what others lack.
        Inapplicable::Waiting => DocumentCloseReason::RateLimited,
    }
}
