//! What members are sent: updates and awareness to all of them, and what one of them lacks.

use std::time::Instant;

use bytes::Bytes;
use wire::relay::DocumentMessage;
use wire::yjs::{AwarenessEntry, AwarenessUpdate, DocumentUpdate, SyncMessage};

use super::awareness::{AwarenessLimits, SentState};
use super::event::{DocumentEvent, KeyedEvent};
use super::member::MemberId;
use super::task::DocumentTask;
use super::turn::Turn;
use crate::close_reason::DocumentCloseReason;

/// The state vector of an empty document.
const NOTHING: &[u8] = &[0];

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
            state_bytes: usize::try_from(settings.awareness_bytes.as_u64()).unwrap_or(usize::MAX),
        }
    }

    pub(super) fn send_states(&self, member: MemberId) {
        let states = self.parked.awareness.states();
        if let Some(member) = self.parked.members.get(&member)
            && !states.is_empty()
        {
            member.send(&DocumentEvent::Awareness(&encoded(&states)));
        }
    }

    /// Begins the synchronisation with new members, and answers what others lack.
    pub(super) fn answer(&mut self, turn: &Turn) {
        let Some(loaded) = &self.content else { return };
        if !turn.asked.is_empty() {
            let state_vector = loaded.content.state_vector();
            let members = turn.asked.iter().filter_map(|id| self.parked.members.get(id));
            members.for_each(|member| member.synchronise(SyncMessage::Step1(&state_vector)));
        }
        turn.joined.iter().for_each(|id| self.send_states(*id));
        for (id, state_vector) in &turn.lacking {
            self.parked.missed.remove(id);
            self.send_missing(*id, state_vector);
        }
        for id in &turn.caught_up {
            if let Some(state_vector) = self.parked.missed.remove(id) {
                self.send_missing(*id, &state_vector);
            }
            self.send_states(*id);
        }
    }

    /// Sends what a member lacks that has `state_vector`: later, if it still has much to read.
    fn send_missing(&mut self, id: MemberId, state_vector: &[u8]) {
        let (Some(loaded), Some(member)) = (&self.content, self.parked.members.get(&id)) else { return };
        if member.is_backlogged() {
            self.deferred.insert(id, state_vector.into());
            return;
        }
        match loaded.content.missing_from(state_vector) {
            Ok(update) => member.synchronise(SyncMessage::Step2(&update)),
            Err(_inapplicable) => member.fail(DocumentCloseReason::Invalid),
        }
    }

    /// Answers those who have read what there was.
    pub(super) fn answer_deferred(&mut self) {
        if self.content.is_none() {
            return;
        }
        for (id, state_vector) in std::mem::take(&mut self.deferred) {
            self.send_missing(id, &state_vector);
        }
    }
}

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
