//! One connection's place in one room, as the room keeps it.

use std::sync::Arc;

use crate::frame::Dialect;
use crate::outbox::Outbox;
use crate::presence::TrackedEntry;

/// Who wants to join: where its frames go and how they are spelled.
#[derive(Debug, Clone)]
pub struct Member {
    /// The connection's queue.
    pub outbox: Arc<Outbox>,
    /// How the connection spells events.
    pub dialect: Dialect,
}

/// A member inside a room. Kept small: a fan-out walks a thousand of these.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) outbox: Arc<Outbox>,
    /// Unique in the room for all time, because slot numbers are used again.
    pub(crate) id: u64,
    /// What it tracks, if it tracks.
    pub(crate) meta: Option<Box<TrackedEntry>>,
    /// Broadcasts it missed because its outbox was full, since it was last told.
    pub(crate) lost: u32,
    pub(crate) dialect: Dialect,
    /// It has had no presence state yet, or has missed a diff since: until it gets the whole state, diffs mean
    /// nothing to it and are not sent.
    pub(crate) stale: bool,
    /// It waits for the whole state already.
    pub(crate) awaits_state: bool,
}

impl Slot {
    pub(crate) fn new(member: Member, id: u64) -> Self {
        Self {
            outbox: member.outbox,
            id,
            meta: None,
            lost: 0,
            dialect: member.dialect,
            stale: true,
            awaits_state: false,
        }
    }
}
