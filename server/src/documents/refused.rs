//! Hocuspocus clients with changes that were not taken, because too much is not saved. What such a client writes next builds on what
//! it wrote before, so nothing of it is taken but the answer to a question of the server, which contains everything.

use std::collections::HashMap;

use super::change::Change;
use super::member::MemberId;

/// Members with changes that were not taken.
#[derive(Debug, Default)]
pub(super) struct RefusedMembers(HashMap<MemberId, Stage>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It is asked when something was saved.
    Waits,
    /// It was asked, and its answer has not come.
    Asked,
}

impl RefusedMembers {
    /// Nothing of what `member` has just sent was taken.
    pub(super) fn insert(&mut self, member: MemberId) {
        self.0.insert(member, Stage::Waits);
    }

    /// It has left, or its answer was taken.
    pub(super) fn remove(&mut self, member: MemberId) {
        self.0.remove(&member);
    }

    /// Whether a change is not taken because one before it was not.
    pub(super) fn withholds(&self, change: &Change) -> bool {
        !change.acknowledges.is_answer() && self.0.contains_key(&change.member)
    }

    /// Those who are to be asked.
    pub(super) fn ask(&mut self) -> Vec<MemberId> {
        let waiting = self.0.iter_mut().filter(|(_, stage)| **stage == Stage::Waits);
        waiting
            .map(|(member, stage)| {
                *stage = Stage::Asked;
                *member
            })
            .collect()
    }
}
