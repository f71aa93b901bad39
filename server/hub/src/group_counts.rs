//! The delivery groups of a room's members.

use std::collections::BTreeMap;

use crate::frame::{Dialect, Group};

/// The number of members per delivery group and dialect. The default group is not counted, so that rooms with
/// no other group need no memory for it.
#[derive(Debug, Default)]
pub(crate) struct GroupCounts(BTreeMap<(Group, Dialect), usize>);

impl GroupCounts {
    pub(crate) fn add(&mut self, group: Group, dialect: Dialect) {
        if group != Group::DEFAULT {
            *self.0.entry((group, dialect)).or_default() += 1;
        }
    }

    pub(crate) fn remove(&mut self, group: Group, dialect: Dialect) {
        if let Some(count) = self.0.get_mut(&(group, dialect)) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(&(group, dialect));
            }
        }
    }

    /// The members of `dialect` outside the default group.
    pub(crate) fn of(&self, dialect: Dialect) -> usize {
        self.0.iter().filter(|((_, counted), _)| *counted == dialect).map(|(_, count)| count).sum()
    }

    /// The groups other than the default one that have members, with the members' dialects, sorted.
    pub(crate) fn present(&self) -> impl Iterator<Item = (Group, Dialect)> {
        self.0.keys().copied()
    }
}
