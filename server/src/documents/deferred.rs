//! Members who are owed something that they were not sent, because they still have much to read.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::member::{DocumentMember, MemberId};

/// How often it is looked whether they have read.
const INTERVAL: Duration = Duration::from_millis(50);

/// After which time one is sent it all the same: it reads, but as much comes again and again.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// What members are owed.
#[derive(Debug, Default)]
pub(super) struct DeferredAnswers(HashMap<MemberId, DeferredAnswer>);

/// What a member is owed.
#[derive(Debug)]
pub(super) struct DeferredAnswer {
    /// What it has of the document that asks for the rest.
    pub(super) state_vector: Option<Box<[u8]>>,
    /// Whether it asks for the states of all clients.
    pub(super) wants_states: bool,
    by: Instant,
}

impl DeferredAnswers {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The memory that it takes, about.
    pub(super) fn bytes(&self) -> usize {
        let state_vectors = self.0.values().filter_map(|answer| answer.state_vector.as_ref());
        state_vectors.map(|state_vector| state_vector.len()).sum()
    }

    /// When it is to be looked again.
    pub(super) fn due_at(&self) -> Option<Instant> {
        (!self.is_empty()).then(|| Instant::now() + INTERVAL)
    }

    /// `member` asks for what it lacks. Its last question is answered.
    pub(super) fn defer_missing(&mut self, member: MemberId, state_vector: &[u8]) {
        self.of(member).state_vector = Some(state_vector.into());
    }

    /// `member` asks for all states.
    pub(super) fn defer_states(&mut self, member: MemberId) {
        self.of(member).wants_states = true;
    }

    pub(super) fn remove(&mut self, member: MemberId) {
        self.0.remove(&member);
    }

    /// What those are owed who have read, or have waited for long.
    pub(super) fn take_due(
        &mut self,
        members: &HashMap<MemberId, DocumentMember>,
    ) -> Vec<(MemberId, DeferredAnswer)> {
        let now = Instant::now();
        let is_due = |id: &MemberId, answer: &mut DeferredAnswer| {
            now >= answer.by || members.get(id).is_none_or(|member| !member.is_backlogged())
        };
        self.0.extract_if(is_due).collect()
    }

    fn of(&mut self, member: MemberId) -> &mut DeferredAnswer {
        let by = Instant::now() + WAIT_MAX;
        self.0.entry(member).or_insert(DeferredAnswer { state_vector: None, wants_states: false, by })
    }
}
