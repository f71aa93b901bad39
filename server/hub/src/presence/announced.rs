//! The order in which the entries of a room were announced to the members of this node.
//!
//! The announcements are numbered, so that a state can be sent in parts while entries come and go: what was announced up
//! to a number is in its parts, what is announced later is in the diffs.

use std::collections::HashMap;
use std::num::NonZeroU64;

use crate::presence_entry::PresenceEntry;

/// An entry that was announced.
#[derive(Debug)]
pub(super) struct Announced {
    pub(super) number: NonZeroU64,
    pub(super) entry: PresenceEntry,
}

/// Numbers the entries of one announcement.
#[derive(Debug)]
pub(super) struct Announcements {
    last: u64,
    /// What was removed since the announcement before. An entry that is among them has returned: another node was removed
    /// and came back at once. It is not announced, because a client that finds an entry in both halves of a diff removes
    /// it, and keeps its number, because a member that has not received it yet expects it there.
    left: HashMap<PresenceEntry, NonZeroU64>,
}

impl Announcements {
    /// Continues after the number `last`.
    pub(super) fn after(last: u64, left: Vec<Announced>) -> Self {
        Self { last, left: left.into_iter().map(|left| (left.entry, left.number)).collect() }
    }

    /// Numbers an entry that has no number yet. Returns it if it is to be announced.
    pub(super) fn announce(
        &mut self,
        entry: &PresenceEntry,
        number: &mut Option<NonZeroU64>,
    ) -> Option<PresenceEntry> {
        if number.is_some() {
            return None;
        }
        if let Some(returned) = self.left.remove(entry) {
            *number = Some(returned);
            return None;
        }
        self.last += 1;
        *number = NonZeroU64::new(self.last);
        Some(entry.clone())
    }

    /// The last number, and what was removed for good.
    pub(super) fn finish(self) -> (u64, Vec<PresenceEntry>) {
        (self.last, self.left.into_keys().collect())
    }
}
