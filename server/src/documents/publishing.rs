//! What members are sent: updates and awareness to all of them, and what one of them lacks.

use std::collections::HashMap;
use std::time::Instant;

use bytes::Bytes;
use wire::relay::DocumentMessage;
use wire::yjs::{AwarenessEntry, AwarenessUpdate, DocumentUpdate, SyncMessage};

use super::awareness::{AwarenessLimits, SentState};
use super::content::Inapplicable;
use super::event::{DocumentEvent, KeyedEvent};
use super::loading::LoadedContent;
use super::member::MemberId;
use super::task::DocumentTask;
use super::turn::Turn;
use crate::close_reason::DocumentCloseReason;

/// The state vector of an empty document.
pub(super) const NOTHING: &[u8] = &[0];

impl DocumentTask {
    /// Sends an event to all members on this node but one.
    pub(super) fn publish(&mut self, event: DocumentEvent<'_>, except: Option<MemberId>) {
        let keyed = KeyedEvent { event, keys: &self.document.keys };
        let except = except.and_then(|id| self.parked.members.get(&id)).map(|member| member.place());
        let hub = &self.document.documents.node.hub;
        let (_delivery, missed_by) = hub.publish_here(&self.document.room, &keyed, except);
        if missed_by.is_empty() {
            return;
        }
        let DocumentEvent::Update(update) = event else { return };
        let update = DocumentUpdate::decode(update).ok();
        let before = self.content.as_ref().zip(update);
        let before = before.map(|(loaded, update)| loaded.content.state_vector_without(&update));
        // Without the content they are sent all of it.
        let before: Box<[u8]> = before.unwrap_or_else(|| NOTHING.to_vec()).into();
        let parked = &mut *self.parked;
        for (id, member) in &parked.members {
            if missed_by.contains(&member.place()) {
                parked.missed.entry(*id).or_insert_with(|| before.clone());
            }
        }
    }

    /// Sends all members what other updates than they were sent have changed: those after `shown`, a state vector.
    pub(super) fn publish_missing_from(&mut self, shown: Option<&[u8]>) {
        let Some(loaded) = &self.content else { return };
        if let Ok(missing) = loaded.content.missing_from(shown.unwrap_or(NOTHING)) {
            self.publish(DocumentEvent::Update(&missing), None);
        }
    }

    /// Sends what has changed of the states of clients to all, on the other nodes as well.
    pub(super) fn publish_awareness(&mut self, states: Vec<SentState>) {
        if !states.is_empty() {
            let states = encoded(&states);
            self.publish(DocumentEvent::Awareness(&states), None);
            self.relay(&DocumentMessage::States(&states));
        }
    }

    /// Sends what has changed of the states of clients elsewhere to the members on this node.
    pub(super) fn show_awareness(&mut self, states: Vec<SentState>) {
        if !states.is_empty() {
            self.publish(DocumentEvent::Awareness(&encoded(&states)), None);
        }
    }

    pub(super) fn receive_states(&mut self, member: MemberId, update: &[u8]) -> Vec<SentState> {
        let (states, limits) = (decoded(update), self.awareness_limits());
        self.parked.awareness.receive(member, states, &limits, Instant::now()).changed
    }

    pub(super) fn awareness_limits(&self) -> AwarenessLimits {
        let settings = &self.document.documents.node.settings().documents;
        AwarenessLimits {
            clients: settings.awareness_clients.get() as usize,
            clients_per_member: settings.awareness_clients_per_connection.get() as usize,
            state_bytes: self.document.limits().awareness,
        }
    }

    /// Sends a member the states of all clients: later, if it still has much to read.
    pub(super) fn send_states(&mut self, id: MemberId) {
        let Some(member) = self.parked.members.get(&id) else { return };
        if member.is_backlogged() {
            return self.deferred.defer_states(id);
        }
        self.send_states_now(id);
    }

    fn send_states_now(&self, id: MemberId) {
        let states = self.parked.awareness.states();
        if let Some(member) = self.parked.members.get(&id)
            && !states.is_empty()
        {
            member.send(&DocumentEvent::Awareness(&encoded(&states)));
        }
    }

    /// Begins the synchronisation with new members, and answers what others lack.
    pub(super) async fn answer(&mut self, turn: &Turn) {
        // It is lost when a change cannot be applied.
        if let Err(reason) = self.load().await {
            return self.fail(turn.members().collect(), reason);
        }
        if let Some(loaded) = self.content.as_ref().filter(|_| !turn.asked.is_empty()) {
            let state_vector = loaded.content.state_vector();
            self.synchronise(&turn.asked, SyncMessage::Step1(&state_vector));
        }
        turn.joined.iter().for_each(|id| self.send_states(*id));
        let mut lacking = Lacking::new();
        for (id, state_vector) in &turn.lacking {
            self.parked.missed.remove(id);
            lacking.entry(state_vector.clone()).or_default().push(*id);
        }
        for id in &turn.caught_up {
            if let Some(state_vector) = self.parked.missed.remove(id) {
                lacking.entry(state_vector).or_default().push(*id);
            }
            self.send_states(*id);
        }
        self.send_missing(lacking).await;
    }

    /// Sends members what they lack: later, if they still have much to read.
    async fn send_missing(&mut self, lacking: Lacking) {
        for (state_vector, mut members) in lacking {
            members.retain(|id| !self.is_deferred(*id, &state_vector));
            if members.is_empty() {
                continue;
            }
            match self.missing_from(state_vector).await {
                Some(Ok(update)) => self.synchronise(&members, SyncMessage::Step2(&update)),
                Some(Err(_inapplicable)) => self.fail(members, DocumentCloseReason::Invalid),
                None => {}
            }
        }
    }

    /// Defers an answer to a member that has much to read. Returns whether it was deferred.
    fn is_deferred(&mut self, id: MemberId, state_vector: &[u8]) -> bool {
        let is_backlogged = self.parked.members.get(&id).is_some_and(|member| member.is_backlogged());
        if is_backlogged {
            self.deferred.defer_missing(id, state_vector);
        }
        is_backlogged
    }

    /// What one lacks who has `state_vector`; `None` if the content is not in memory.
    async fn missing_from(&mut self, state_vector: Box<[u8]>) -> Option<Result<Vec<u8>, Inapplicable>> {
        let bytes = self.content.as_ref()?.content.bytes();
        let missing = move |loaded: LoadedContent| {
            let missing = loaded.content.missing_from(&state_vector);
            (Some(loaded), missing)
        };
        self.with_content(bytes, missing).await
    }

    /// Sends members a part of the synchronisation, encoded once for all who name the document alike.
    pub(super) fn synchronise(&self, members: &[MemberId], message: SyncMessage<'_>) {
        let mut frames = HashMap::new();
        for member in members.iter().filter_map(|id| self.parked.members.get(id)) {
            let frame = frames.entry(member.key()).or_insert_with(|| member.encode_sync(message));
            member.recipient.reply(frame);
        }
    }

    /// Answers those who have read what there was, or have waited for long.
    pub(super) async fn answer_deferred(&mut self) {
        for (id, answer) in self.deferred.take_due(&self.parked.members) {
            if answer.wants_states {
                self.send_states_now(id);
            }
            let Some(state_vector) = answer.state_vector else { continue };
            if let Some(Ok(update)) = self.missing_from(state_vector).await {
                self.synchronise(&[id], SyncMessage::Step2(&update));
            }
        }
    }
}

/// Members by what they have, as state vectors.
type Lacking = HashMap<Box<[u8]>, Vec<MemberId>>;

/// States that were sent; none if they cannot be read.
pub(super) fn decoded(update: &[u8]) -> Vec<SentState> {
    let Ok(update) = AwarenessUpdate::decode(update) else { return Vec::new() };
    let states = update.entries().map(|entry| SentState {
        client: entry.client,
        clock: entry.clock,
        state: (!entry.is_removal()).then(|| Bytes::copy_from_slice(entry.state.as_bytes())),
    });
    states.collect()
}

/// States as they are sent.
pub(super) fn encoded(states: &[SentState]) -> Vec<u8> {
    let entries = states.iter().map(|sent| match &sent.state {
        // It was text when it was received.
        Some(state) => AwarenessEntry {
            client: sent.client,
            clock: sent.clock,
            state: std::str::from_utf8(state).unwrap_or("null"),
        },
        None => AwarenessEntry::removal(sent.client, sent.clock),
    });
    AwarenessUpdate::encode(entries)
}
