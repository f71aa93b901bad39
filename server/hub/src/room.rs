//! A room: its members, and who has joined and left.
//!
//! The members are plain data behind one lock, which nothing waits for. `publishing.rs` is how messages reach them,
//! `presence.rs` what they track.
//!
//! What a room needs of its hub, above all the observers of what happens in it, it reaches through
//! [`Outlets`].

mod presence;
mod publishing;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use slab::Slab;

use crate::frame::{Dialect, Frame};
use crate::group_counts::GroupCounts;
use crate::history::HistoryBounds;
use crate::marks::Marks;
use crate::member::{Member, Receives, Slot};
use crate::outbox::Outbox;
use crate::party::Party;
use crate::pending_joins::PendingJoins;
use crate::presence::RoomPresence;
use crate::replaying::{Replayed, Replaying};
use crate::topic::RoomKey;
use crate::wakers::Wakers;

pub use publishing::{Audience, Delivery};

/// A member among those of its room, as long as the room is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RoomMember(pub(crate) u32);

/// What a member did not receive because its connection reads too slowly.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Missed {
    /// The number of broadcasts dropped.
    pub broadcasts: u32,
    /// Whether it lacks the presence state or a part of it, because a diff or the state itself was dropped, because
    /// parts of the state are still to be sent, or because it has never requested it. It has to
    /// [request](crate::Membership::request_state) it.
    pub presence: bool,
}

/// What a room needs of its hub.
///
/// The methods with `wakers` are called under the room's lock, so that observers see what happens in the
/// order in which the members see it.
pub(crate) trait Outlets {
    /// The time during which presence changes are gathered into one announcement.
    fn coalesce(&self) -> Duration;

    /// The room has presence to announce at `due`. Called without a lock.
    fn schedule(&self, room: &Arc<Room>, due: Instant);

    /// Whether events are to be encoded in [`Dialect::RELAY`] for an observer.
    fn wants_frames(&self) -> bool;

    /// Messages were published by this node. Returns how many do not reach the other nodes.
    fn published(&self, key: &Arc<RoomKey>, published: &Published<'_>, wakers: &mut Wakers) -> u32;

    /// A member has joined.
    fn member_joined(&self, key: &Arc<RoomKey>, wakers: &mut Wakers);

    /// A member has left.
    fn member_left(&self, key: &Arc<RoomKey>, wakers: &mut Wakers);

    /// The members of this node track something else than before.
    fn presence_changed(&self, room: &Arc<Room>, wakers: &mut Wakers);
}

/// Messages that were published together by this node.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Published<'f> {
    /// All of them in [`Dialect::RELAY`]; `None` if they were not or cannot be encoded in it.
    pub(crate) frame: Option<&'f Frame>,
    /// Their number.
    pub(crate) messages: u32,
    /// The bounds within which the room keeps them, if it does.
    pub(crate) kept: Option<HistoryBounds>,
}

/// Everything under one [`RoomKey`].
#[derive(Debug)]
pub struct Room {
    key: Arc<RoomKey>,
    opened_at: Instant,
    closed: AtomicBool,
    /// Whether the room is in the hub's list of due rooms. Changes under the lock of that list only.
    listed: AtomicBool,
    /// See [`Position::epoch`](crate::Position). `None` in a hub without relay.
    epoch: Option<u64>,
    /// The number of members of each dialect. Read without the lock, to encode before taking it.
    member_counts: [AtomicUsize; Dialect::COUNT],
    pub(crate) marks: Marks,
    members: Mutex<Members>,
}

#[derive(Debug, Default)]
struct Members {
    slots: Slab<Slot>,
    next_id: u32,
    groups: GroupCounts,
    /// Present once presence is used in the room.
    presence: Option<Box<RoomPresence>>,
    /// Present until the messages of the other nodes reach this one.
    pending_joins: Option<Box<PendingJoins>>,
    /// Present while members are among the replaying ones. Absent, it costs a fan-out nothing.
    replaying: Option<Box<Replaying>>,
}

impl Members {
    /// Whom the time of their connections is charged to: the tenant of the room.
    fn party(&self) -> Party {
        let first = self.slots.iter().next();
        first.map_or(Party::NODE, |(_, slot)| slot.outbox.memory().party())
    }

    /// To be called when a replay may be over.
    fn free_replaying(&mut self) {
        self.replaying.take_if(|replaying| replaying.is_empty());
    }
}

impl Room {
    /// A room without members. With an epoch it is shared with other nodes, and its joins are pending until
    /// they are [confirmed](Self::confirm_joins).
    pub(crate) fn new(key: Arc<RoomKey>, epoch: Option<u64>) -> Self {
        let pending_joins = epoch.map(|_epoch| Box::default());
        Self {
            key,
            opened_at: Instant::now(),
            closed: AtomicBool::new(false),
            listed: AtomicBool::new(false),
            epoch,
            member_counts: Default::default(),
            marks: Marks::default(),
            members: Mutex::new(Members { pending_joins, ..Members::default() }),
        }
    }

    /// The identity of the room.
    pub fn key(&self) -> &Arc<RoomKey> {
        &self.key
    }

    /// The name of the room, without the prefix of any protocol.
    pub fn topic(&self) -> &str {
        &self.key.topic
    }

    /// The tenant that owns the room.
    pub fn tenant(&self) -> &str {
        &self.key.tenant
    }

    /// Whether the last member has left. A closed room never opens again, but another may under the same key.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    pub(crate) fn close(&self) {
        // Under the lock, so that a publication is either before it or finds the room closed.
        let members = self.members.lock();
        self.closed.store(true, Ordering::Relaxed);
        drop(members);
    }

    pub(crate) fn is_listed(&self) -> bool {
        self.listed.load(Ordering::Relaxed)
    }

    pub(crate) fn set_listed(&self, is_listed: bool) {
        self.listed.store(is_listed, Ordering::Relaxed);
    }

    /// When the first member joined.
    pub fn opened_at(&self) -> Instant {
        self.opened_at
    }

    /// Whether there are members of `dialect`, so that encoding in it is worthwhile.
    pub fn has_dialect(&self, dialect: Dialect) -> bool {
        self.member_count(dialect) > 0
    }

    fn member_count(&self, dialect: Dialect) -> usize {
        self.member_counts[dialect.index()].load(Ordering::Relaxed)
    }

    /// Queues the reply and inserts the member under one lock, so that no message of the room overtakes the
    /// reply. While joins are pending the reply is held back. Returns the member's slot.
    pub(crate) fn join(
        &self,
        member: Member,
        reply: &Frame,
        outlets: &dyn Outlets,
        wakers: &mut Wakers,
    ) -> usize {
        let mut members = self.members.lock();
        self.member_counts[member.dialect.index()].fetch_add(1, Ordering::Relaxed);
        members.next_id = members.next_id.wrapping_add(1);
        members.groups.add(member.group, member.dialect);
        let slot = Slot::new(member, members.next_id);
        let Members { slots, pending_joins, .. } = &mut *members;
        let entry = slots.vacant_entry();
        let number = entry.key();
        match pending_joins {
            Some(pending) => pending.keep(number, reply),
            None => slot.outbox.reply_deferred(reply, wakers),
        }
        entry.insert(slot);
        outlets.member_joined(&self.key, wakers);
        number
    }

    /// As [`join`](Self::join), without a reply: what the member receives waits until it [ends its replay](Self::end_replay).
    pub(crate) fn join_replaying(&self, member: Member, outlets: &dyn Outlets, wakers: &mut Wakers) -> usize {
        let mut members = self.members.lock();
        self.member_counts[member.dialect.index()].fetch_add(1, Ordering::Relaxed);
        members.next_id = members.next_id.wrapping_add(1);
        members.groups.add(member.group, member.dialect);
        let mut slot = Slot::new(member, members.next_id);
        slot.reception.begin_replay();
        let Members { slots, replaying, .. } = &mut *members;
        let entry = slots.vacant_entry();
        let number = entry.key();
        replaying.get_or_insert_default().begin(number, &slot.outbox);
        entry.insert(slot);
        outlets.member_joined(&self.key, wakers);
        number
    }

    /// Queues the reply of a member that has joined with a replay, and what it has received since then, except for what was
    /// replayed.
    pub(crate) fn end_replay(&self, number: usize, reply: &Frame, replayed: Replayed) {
        let mut wakers = Wakers::collect();
        let mut members = self.members.lock();
        let Members { slots, replaying, .. } = &mut *members;
        let slot = slots.get_mut(number).expect("a membership's slot outlives it");
        if let Some(replaying) = replaying {
            replaying.end(number, slot, (reply, replayed), &mut wakers);
        }
        members.free_replaying();
        let party = members.party();
        drop(members);
        wakers.wake_for(party);
    }

    /// Whether joins are not pending. Otherwise the task of `waker` is woken when they are confirmed.
    pub(crate) fn poll_confirmed(&self, waker: &Waker) -> Poll<()> {
        match &mut self.members.lock().pending_joins {
            Some(pending) => {
                pending.wait(waker);
                Poll::Pending
            }
            None => Poll::Ready(()),
        }
    }

    /// Whether joins are not pending.
    pub(crate) fn is_confirmed(&self) -> bool {
        self.members.lock().pending_joins.is_none()
    }

    /// Queues the replies of all pending joins. From now on joins are not pending.
    pub(crate) fn confirm_joins(self: &Arc<Self>, outlets: &dyn Outlets) {
        let mut wakers = Wakers::collect();
        let mut members = self.members.lock();
        let mut pending = members.pending_joins.take();
        let waiting = pending.as_mut().map(|pending| pending.take_waiting());
        for (number, reply) in pending.iter().flat_map(|pending| pending.replies()) {
            members.slots[number].outbox.reply_deferred(reply, &mut wakers);
        }
        let presence = members.presence.as_mut().filter(|presence| presence.has_changes());
        let due = presence.and_then(|presence| presence.schedule(outlets.coalesce()));
        let party = members.party();
        drop(members);
        drop(pending);
        waiting.into_iter().flatten().for_each(|waker| wakers.extend(Some(waker)));
        wakers.wake_for(party);
        if let Some(due) = due {
            outlets.schedule(self, due);
        }
    }

    /// Removes the member, and what it tracked.
    pub(crate) fn leave(self: &Arc<Self>, number: usize, outlets: &dyn Outlets) {
        self.change_presence(outlets, |members, wakers| {
            let mut slot = members.slots.remove(number);
            self.member_counts[slot.dialect.index()].fetch_sub(1, Ordering::Relaxed);
            members.groups.remove(slot.reception.group(), slot.dialect);
            if let Some(pending) = &mut members.pending_joins {
                pending.remove(number);
            }
            if slot.reception.is_replaying()
                && let Some(replaying) = &mut members.replaying
            {
                replaying.remove(number);
                members.free_replaying();
            }
            outlets.member_left(&self.key, wakers);
            let effect = members.presence.as_mut().map(|presence| presence.leave(number, &mut slot));
            if members.slots.is_empty() && self.epoch.is_none() {
                // No member is left to announce to. An empty room that exists for a moment longer frees its
                // memory.
                *members = Members { next_id: members.next_id, ..Members::default() };
            }
            effect.unwrap_or_default()
        });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.members.lock().slots.is_empty()
    }

    /// The id of the member in slot `number`.
    pub(crate) fn member_id(&self, number: usize) -> u32 {
        self.members.lock().slots[number].id
    }

    /// The outbox of the member with this slot and id, while it is in the room.
    pub(crate) fn outbox_of(&self, (number, id): (usize, u32)) -> Option<Arc<Outbox>> {
        let members = self.members.lock();
        members.slots.get(number).filter(|slot| slot.id == id).map(|slot| Arc::clone(&slot.outbox))
    }

    /// Changes what the member receives from now on.
    pub(crate) fn set_receives(&self, number: usize, receives: Receives) {
        let mut members = self.members.lock();
        members.slots.get_mut(number).expect("a membership's slot outlives it").reception.set(receives);
    }

    /// What the member has missed: the broadcasts dropped since the last call, and whether it lacks the
    /// presence state.
    pub(crate) fn take_missed(&self, number: usize) -> Missed {
        let mut members = self.members.lock();
        let Members { slots, presence, .. } = &mut *members;
        let slot = slots.get_mut(number).expect("a membership's slot outlives it");
        let presence =
            slot.stale || presence.as_ref().is_some_and(|presence| presence.is_receiving_state(number, slot));
        Missed { broadcasts: std::mem::take(&mut slot.missed), presence }
    }
}
