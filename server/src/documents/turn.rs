//! What the task of a document does with what was in its mailbox: applies all changes as one, sends them to the members, and has
//! them saved.

use std::collections::HashSet;
use std::time::Instant;

use bytes::Bytes;
use wire::relay::DocumentMessage;

use super::awareness::SentState;
use super::change::Change;
use super::compaction;
use super::event::DocumentEvent;
use super::loading::{self, LoadError};
use super::mailbox::Batch;
use super::member::{Acknowledges, MemberId, MemberProtocol};
use super::request::{MemberMessage, Request};
use super::task::DocumentTask;
use crate::close_reason::DocumentCloseReason;
use crate::telemetry::codes::Code;

/// What a batch asks for that needs the content.
#[derive(Default)]
pub(super) struct Turn {
    /// Those that the server asks for what they have more.
    pub(super) asked: Vec<MemberId>,
    pub(super) joined: Vec<MemberId>,
    pub(super) lacking: Vec<(MemberId, Box<[u8]>)>,
    pub(super) caught_up: Vec<MemberId>,
    /// Updates of other nodes, with their rows.
    pub(super) peer_updates: Vec<(i64, Bytes)>,
    changes: Vec<Change>,
    confirmations: Vec<(MemberId, Box<[u8]>)>,
    /// What has changed of the states of clients.
    states: Vec<SentState>,
    /// Those who ask for the states of all clients.
    querying: HashSet<MemberId>,
}

impl Turn {
    /// Whose requests they are.
    pub(super) fn members(&self) -> impl Iterator<Item = MemberId> {
        let changes = self.changes.iter().map(|change| change.member);
        let lacking = self.lacking.iter().map(|(member, _)| *member);
        let others = [&self.asked, &self.joined, &self.caught_up];
        others.into_iter().flatten().copied().chain(changes).chain(lacking)
    }

    /// Whether nothing is in it that takes memory: only members that come, and ask.
    pub(super) fn only_asks(&self) -> bool {
        self.changes.is_empty()
            && self.peer_updates.is_empty()
            && self.confirmations.is_empty()
            && self.states.is_empty()
    }
}

impl DocumentTask {
    /// Handles all that was taken out of the mailbox.
    pub(super) async fn turn(&mut self, batch: Batch) {
        let mut turn = Turn::default();
        self.sort_batch(batch, &mut turn);
        turn.asked.extend(self.take_asked());
        self.apply_peer_updates(std::mem::take(&mut turn.peer_updates)).await;
        self.settle_exchange(tokio::time::Instant::now()).await;
        if turn.members().next().is_some() {
            self.used_at = tokio::time::Instant::now();
            let loaded = self.load_answering(&mut turn).await;
            // Those that came meanwhile.
            self.apply_peer_updates(std::mem::take(&mut turn.peer_updates)).await;
            match loaded {
                Ok(()) => {
                    self.change(std::mem::take(&mut turn.changes)).await;
                    self.answer(&turn).await;
                }
                Err(reason) => self.fail(turn.members().collect(), reason),
            }
        }
        // After the changes, because a cursor may be within what its client has just written.
        self.publish_awareness(turn.states);
        turn.querying.into_iter().for_each(|member| self.send_states(member));
        for (member, payload) in turn.confirmations {
            self.unsaved.answers().confirm(member, payload);
        }
        let answers = self.unsaved.take_answers();
        self.send_answers(answers);
        self.submit();
    }

    /// Adds what was taken out of the mailbox to a turn.
    pub(super) fn sort_batch(&mut self, batch: Batch, turn: &mut Turn) {
        if let Some(saved) = batch.saved {
            self.note_saved(saved);
        }
        self.note(batch.notices);
        for request in batch.requests {
            self.sort(request, turn);
        }
    }

    fn sort(&mut self, request: Request, turn: &mut Turn) {
        match request {
            Request::Join(id, member) => {
                // A Hocuspocus client is asked whenever it asks: it expects that, and waits for the answer to what it sends then.
                if matches!(member.protocol, MemberProtocol::YWebsocket) {
                    turn.asked.push(id);
                }
                if self.parked.members.is_empty() {
                    self.note_opened();
                }
                self.parked.members.insert(id, member);
                turn.joined.push(id);
            }
            Request::Leave(id) => {
                self.parked.members.remove(&id);
                self.parked.missed.remove(&id);
                self.deferred.remove(id);
                self.refused.remove(id);
                turn.states.extend(self.parked.awareness.remove_member(id, Instant::now()));
            }
            Request::Access(id, access) => {
                self.parked.members.entry(id).and_modify(|member| member.access = access);
            }
            Request::CaughtUp(id) => turn.caught_up.push(id),
            Request::Ask(id) => turn.asked.push(id),
            Request::Message(id, message, _charge) => self.sort_message(id, message, turn),
            Request::Peer(node, message, _charge) => self.sort_peer_message(node, message, turn),
        }
    }

    fn sort_message(&mut self, member: MemberId, message: MemberMessage, turn: &mut Turn) {
        // Otherwise it was refused what it asked for.
        let Some(sender) = self.parked.members.get(&member) else { return };
        let (access, user) = (sender.access, sender.user.clone());
        let change = |update, acknowledges| Change { member, access, user, update, acknowledges };
        match message {
            MemberMessage::Lacks(state_vector) => {
                // One that asks twice at once is answered once.
                turn.lacking.retain(|(asking, _)| *asking != member);
                turn.lacking.push((member, state_vector));
                if matches!(sender.protocol, MemberProtocol::Hocuspocus(_)) && !turn.asked.contains(&member) {
                    turn.asked.push(member);
                }
            }
            MemberMessage::Update(update) => turn.changes.push(change(update, Acknowledges::ONE)),
            MemberMessage::Answer { update, sent } => {
                turn.changes.push(change(update, Acknowledges::up_to(sent)))
            }
            MemberMessage::Awareness(update) => turn.states.extend(self.receive_states(member, &update)),
            MemberMessage::QueryAwareness => _ = turn.querying.insert(member),
            MemberMessage::Stateless(payload) => {
                self.publish(DocumentEvent::Stateless(&payload), Some(member));
                self.relay(&DocumentMessage::Stateless(&payload));
            }
            MemberMessage::Confirm(payload) => turn.confirmations.push((member, payload)),
        }
    }

    /// Loads the content, if it is not there, with what is not saved yet.
    pub(super) async fn load(&mut self) -> Result<(), DocumentCloseReason> {
        if self.content.is_some() {
            return Ok(());
        }
        self.try_load(None).await.map_err(|error| self.note_unread(&error))
    }

    /// The same for a turn: what the store can answer is answered before all is loaded.
    async fn load_answering(&mut self, turn: &mut Turn) -> Result<(), DocumentCloseReason> {
        if self.content.is_some() {
            return Ok(());
        }
        self.try_load(Some(turn)).await.map_err(|error| self.note_unread(&error))
    }

    async fn try_load(&mut self, turn: Option<&mut Turn>) -> Result<(), LoadError> {
        let stored = loading::read(&self.document).await?;
        let (content, log) = match turn {
            Some(turn) if self.unsaved.is_empty() => self.decode_answering(stored, turn).await?,
            _ => {
                let unsaved = self.unsaved.updates().map(<[u8]>::to_vec).collect();
                loading::load(&self.document, stored, unsaved).await?
            }
        };
        let has_changed = self.document.log.set(log);
        let shown = self.parked.shown.take();
        self.content = Some(content);
        if has_changed {
            self.publish_missing_from(shown.as_deref());
        }
        compaction::compact_if_long(&self.document);
        Ok(())
    }

    /// The document cannot be read. Returns why those end who need it.
    pub(super) fn note_unread(&self, error: &LoadError) -> DocumentCloseReason {
        self.document.documents.node.metrics.documents.load_failures.increment(1);
        self.document.report(Code::UnableToLoadDocument, error);
        match error {
            LoadError::Damaged => DocumentCloseReason::Damaged,
            LoadError::Store(_) | LoadError::Late | LoadError::OutOfMemory => DocumentCloseReason::Failed,
        }
    }

    /// Ends the use of the document by some of its members.
    pub(super) fn fail(&mut self, members: Vec<MemberId>, reason: DocumentCloseReason) {
        for id in members {
            if let Some(member) = self.parked.members.remove(&id) {
                member.fail(reason);
                self.parked.missed.remove(&id);
                self.deferred.remove(id);
                self.refused.remove(id);
                let states = self.parked.awareness.remove_member(id, Instant::now());
                self.publish_awareness(states);
            }
        }
    }
}
