//! One connection in one room: what it joins with, and what the room keeps of it.

use std::sync::Arc;

use crate::frame::{Dialect, Group};
use crate::outbox::Outbox;
use crate::presence_entry::TrackedEntry;

/// What a connection joins a room with.
#[derive(Debug, Clone)]
pub struct Member {
    /// The connection's queue.
    pub outbox: Arc<Outbox>,
    /// The encoding the connection uses.
    pub dialect: Dialect,
    /// Selects its frames of events that are encoded by group.
    pub group: Group,
    /// What it receives.
    pub receives: Receives,
}

/// What a member receives of what is published in its room. Presence it receives once it has requested the state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Receives {
    /// Everything.
    #[default]
    Everything,
    /// No broadcasts.
    NoBroadcasts,
}

/// A member inside a room. Kept small: a fan-out iterates over thousands of these.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) outbox: Arc<Outbox>,
    /// Tells apart the members that use the same slot one after the other.
    pub(crate) id: u32,
    /// The entry it tracks.
    pub(crate) tracked: Option<Box<TrackedEntry>>,
    /// Broadcasts dropped because its outbox was full, until the session takes the number.
    pub(crate) missed: u32,
    pub(crate) reception: Reception,
    pub(crate) dialect: Dialect,
    /// It has received no presence state yet, or has missed a diff since. Diffs are not sent to it until it
    /// receives the state, or the first part of it.
    pub(crate) stale: bool,
    /// It has requested the state and waits for it.
    pub(crate) awaits_state: bool,
    /// It is among the members whose entry is to be announced, whether or not it tracks one now.
    pub(crate) awaits_announcement: bool,
}

/// The group of a member, what it receives, and whether that passes through its [replay](crate::replaying), in one word.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reception(u32);

impl Reception {
    /// Set for members that receive no broadcasts.
    const NO_BROADCASTS: u32 = 1 << 31;

    /// Set for members that are among the replaying ones of their room.
    const REPLAYING: u32 = 1 << 30;

    fn new(group: Group, receives: Receives) -> Self {
        let mark = if receives == Receives::NoBroadcasts { Self::NO_BROADCASTS } else { 0 };
        Self(group.get() | mark)
    }

    pub(crate) fn group(self) -> Group {
        Group::new(self.0 & !(Self::NO_BROADCASTS | Self::REPLAYING))
    }

    pub(crate) fn is_replaying(self) -> bool {
        self.0 & Self::REPLAYING != 0
    }

    pub(crate) fn begin_replay(&mut self) {
        self.0 |= Self::REPLAYING;
    }

    pub(crate) fn end_replay(&mut self) {
        self.0 &= !Self::REPLAYING;
    }

    pub(crate) fn has_broadcasts(self) -> bool {
        self.0 & Self::NO_BROADCASTS == 0
    }

    /// From now on the member receives `receives`.
    pub(crate) fn set(&mut self, receives: Receives) {
        *self = Self(Self::new(self.group(), receives).0 | self.0 & Self::REPLAYING);
    }
}

const _: () = assert!(size_of::<Slot>() <= 32, "two slots in a cache line");

impl Slot {
    pub(crate) fn new(member: Member, id: u32) -> Self {
        Self {
            outbox: member.outbox,
            id,
            tracked: None,
            missed: 0,
            reception: Reception::new(member.group, member.receives),
            dialect: member.dialect,
            stale: true,
            awaits_state: false,
            awaits_announcement: false,
        }
    }
}
