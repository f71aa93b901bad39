//! Answers that members are sent once everything before is stored. However many messages are answered, each member waits for one
//! answer of each kind, so that what waits while the store does not answer is bounded by the members and the updates.

use std::collections::HashMap;

use bytes::Bytes;

use super::member::{Acknowledges, MemberId};

/// Answers that wait for the same updates to be stored.
#[derive(Debug, Default)]
pub(super) struct DelayedAnswers {
    /// Messages of Hocuspocus clients are acknowledged.
    pub(super) acknowledged: HashMap<MemberId, Acknowledges>,
    /// The last questions of y-sweet clients are answered with the same bytes, which answers those before too.
    pub(super) confirmed: HashMap<MemberId, Box<[u8]>>,
    /// Updates are sent back to those who have sent them.
    pub(super) echoes: Vec<(Vec<MemberId>, Bytes)>,
}

impl DelayedAnswers {
    pub(super) fn acknowledge(&mut self, member: MemberId, acknowledges: Acknowledges) {
        let all = self.acknowledged.entry(member).or_default();
        *all = all.and(acknowledges);
    }

    pub(super) fn confirm(&mut self, member: MemberId, payload: Box<[u8]>) {
        self.confirmed.insert(member, payload);
    }

    pub(super) fn echo(&mut self, members: Vec<MemberId>, update: Bytes) {
        if !members.is_empty() {
            self.echoes.push((members, update));
        }
    }

    /// These and then `later`.
    pub(super) fn and(mut self, later: Self) -> Self {
        later.acknowledged.into_iter().for_each(|(member, them)| self.acknowledge(member, them));
        self.confirmed.extend(later.confirmed);
        self.echoes.extend(later.echoes);
        self
    }
}
