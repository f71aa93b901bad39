//! The presence state, in parts that fit into an outbox.
//!
//! A member that requests the state gets as much of it as fits, and the rest part by part, each when its outbox is empty:
//! a member that does not read holds one part at most. The state ends with what was announced when its first part was
//! sent. A member receives what is announced later as diffs from then on, and what is removed too, so a part only has
//! entries that still exist.
//!
//! Members that request the same part share its frame. It is held by the outboxes alone and is gone with the last of
//! them.

use std::collections::HashMap;
use std::num::NonZeroU64;

use slab::Slab;

use crate::frame::{Dialect, Frame, WeakFrame};
use crate::member::Slot;
use crate::presence_entry::PresenceEntry;

/// A member that has requested the presence state, or more of it.
#[derive(Debug)]
pub struct StateRequest {
    /// The encoding its connection uses.
    pub dialect: Dialect,
    /// What the session passed with the request: what its protocol needs to address the member.
    pub tag: Box<str>,
    pub(crate) slot: usize,
    pub(crate) id: u32,
}

/// A part of the state: the entries with announcements `after` a number and up to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Range {
    after: u64,
    to: u64,
}

/// A part of the state, and the members that receive it next.
#[derive(Debug)]
pub struct StatePart {
    /// Its entries, sorted by key.
    pub entries: Vec<PresenceEntry>,
    /// The members to send it to.
    pub receivers: Vec<StateRequest>,
    range: Range,
    /// The number of the last announcement in the state.
    end: u64,
    frames: [Option<Frame>; Dialect::COUNT],
}

impl StatePart {
    /// Whether it replaces what its receivers know. Otherwise it adds to it.
    pub fn begins_state(&self) -> bool {
        self.range.after == 0
    }

    /// How many bytes of a message its entries take, at most.
    pub fn bytes(&self) -> usize {
        self.entries.iter().map(PresenceEntry::bytes).sum()
    }

    /// The frame that its receivers of `dialect` share. `encode` makes it, unless there is one that other members have
    /// not read yet.
    pub fn frame(&mut self, dialect: Dialect, encode: impl FnOnce(&[PresenceEntry]) -> Frame) -> Frame {
        self.frames[dialect.index()].get_or_insert_with(|| encode(&self.entries)).clone()
    }

    fn is_last(&self) -> bool {
        self.range.to == self.end
    }
}

/// A state of which a member has received a part.
#[derive(Debug)]
struct Transfer {
    /// The member, by its id, in case that another uses its slot now.
    member: u32,
    /// What was announced up to this number has been sent.
    after: u64,
    /// The number of the last announcement in the state.
    end: u64,
}

/// The states that are being sent in a room.
#[derive(Debug, Default)]
pub(super) struct StateTransfers {
    by_slot: HashMap<usize, Transfer>,
    /// Frames of parts of the present state.
    shared: Vec<(Range, Dialect, WeakFrame)>,
}

impl StateTransfers {
    /// The state to which member in slot `number` has a part, if it has received every diff since.
    fn of(&self, number: usize, slot: &Slot) -> Option<&Transfer> {
        self.by_slot.get(&number).filter(|transfer| transfer.member == slot.id && !slot.stale)
    }

    /// Whether the member lacks parts of the state that it receives.
    pub(super) fn is_active(&self, number: usize, slot: &Slot) -> bool {
        self.of(number, slot).is_some()
    }

    /// The member in slot `number` needs no more parts.
    pub(super) fn end(&mut self, number: usize) {
        self.by_slot.remove(&number);
    }

    /// The entries are not the same as before: frames of them are not sent any more.
    pub(super) fn entries_changed(&mut self) {
        self.shared = Vec::new();
    }

    /// Takes parts of about `bytes_max` at most, and no more than one of that size at a time: the next part for each of
    /// `requests`, in their order. The requests that have to wait are returned. `entries` are all that were announced, and
    /// `newest` the number of the last announcement.
    pub(super) fn take_parts(
        &self,
        slots: &Slab<Slot>,
        requests: Vec<StateRequest>,
        mut entries: Vec<(NonZeroU64, &PresenceEntry)>,
        newest: u64,
        bytes_max: usize,
    ) -> (Vec<StatePart>, Vec<StateRequest>) {
        entries.sort_unstable_by_key(|(number, _)| *number);
        let (mut parts, mut waiting) = (Vec::<StatePart>::new(), Vec::new());
        let mut bytes = 0;
        for request in requests {
            let slot = &slots[request.slot];
            let (after, end) = match self.of(request.slot, slot) {
                Some(transfer) => (transfer.after, transfer.end),
                None if slot.stale => (0, newest),
                // It has received the state since it requested it.
                None => continue,
            };
            let same = parts.iter_mut().find(|part| (part.range.after, part.end) == (after, end));
            if let Some(part) = same {
                part.receivers.push(request);
            } else if bytes < bytes_max || parts.is_empty() {
                let mut part = self.part(&entries, (after, end), bytes_max);
                bytes += part.bytes();
                part.receivers.push(request);
                parts.push(part);
            } else {
                waiting.push(request);
            }
        }
        (parts, waiting)
    }

    /// The next part of a state of which everything up to `after` was sent. It has one entry at least if there is one.
    fn part(
        &self,
        entries: &[(NonZeroU64, &PresenceEntry)],
        (after, end): (u64, u64),
        bytes_max: usize,
    ) -> StatePart {
        let position = |number| entries.partition_point(|(announced, _)| announced.get() <= number);
        let rest = &entries[position(after)..position(end)];
        let mut bytes = 0;
        let fitting = rest.iter().take_while(|(_, entry)| {
            let is_first = bytes == 0;
            bytes += entry.bytes();
            is_first || bytes <= bytes_max
        });
        let fitting = fitting.count();
        let to = if fitting == rest.len() { end } else { rest[fitting - 1].0.get() };
        let range = Range { after, to };
        let mut entries: Vec<_> = rest[..fitting].iter().map(|(_, entry)| (*entry).clone()).collect();
        entries.sort_by(|a, b| a.key.cmp(&b.key));
        let mut frames = [const { None }; Dialect::COUNT];
        for (_, dialect, frame) in self.shared.iter().filter(|(shared, ..)| *shared == range) {
            frames[dialect.index()] = frame.upgrade();
        }
        StatePart { entries, receivers: Vec::new(), range, end, frames }
    }

    /// The part is in the outbox of the member in slot `number`. Returns whether more parts follow.
    pub(super) fn queued(&mut self, number: usize, member: u32, part: &StatePart) -> bool {
        self.share(part);
        if part.is_last() {
            self.end(number);
            return false;
        }
        self.by_slot.insert(number, Transfer { member, after: part.range.to, end: part.end });
        true
    }

    /// Lets members that request this part later share its frames.
    fn share(&mut self, part: &StatePart) {
        let frames = part.frames.iter().zip(0..);
        for (frame, index) in frames.filter_map(|(frame, index)| Some((frame.as_ref()?, index))) {
            let dialect = Dialect::new(index);
            let is_known = |(range, of, weak): &(Range, Dialect, WeakFrame)| {
                *range == part.range && *of == dialect && weak.upgrade().is_some()
            };
            if !self.shared.iter().any(is_known) {
                self.shared.retain(|(_, _, weak)| weak.upgrade().is_some());
                self.shared.push((part.range, dialect, frame.downgrade()));
            }
        }
    }
}
