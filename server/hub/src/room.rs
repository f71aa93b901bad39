//! A room: its members, and the one path by which anything reaches them.
//!
//! The task that publishes does the fan-out. The event is encoded first, in the dialects that have members,
//! and only then is the room locked: under the lock one pointer is pushed per member. Members that read too
//! slowly are recorded and skipped; the room never waits for a member.
//!
//! What a room needs of its hub, above all the observers of what happens in it, it reaches through
//! [`Outlets`].

mod presence;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use slab::Slab;

use crate::bundle::Bundle;
use crate::frame::{Dialect, Encode, EncodeByGroup, Frame, FrameCache, Group};
use crate::group_counts::GroupCounts;
use crate::marks::Marks;
use crate::member::{Member, Slot};
use crate::outbox::Offer;
use crate::party::Party;
use crate::pending_joins::PendingJoins;
use crate::presence::{Effect, RoomPresence};
use crate::topic::RoomKey;
use crate::wakers::Wakers;

/// The members that receive an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// All members, the publisher included.
    Everyone,
    /// All members except the publisher.
    Others,
}

/// The result of a publication.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Delivery {
    /// Outboxes that took a frame.
    pub delivered: usize,
    /// Full outboxes that dropped the frame, with all its messages.
    pub dropped: usize,
    /// Replaceable entries that outboxes dropped to make room for the frame.
    pub evicted: usize,
    /// Messages that do not reach the other nodes: the share of their tenant in the relay's queue is full, or the relay
    /// is paused.
    pub unrelayed: u32,
}

impl Delivery {
    fn count(&mut self, offer: Offer) {
        match offer {
            Offer::Queued => self.delivered += 1,
            Offer::Evicted(entries) => {
                self.delivered += 1;
                self.evicted += entries as usize;
            }
            Offer::Full => self.dropped += 1,
        }
    }
}

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

    /// `messages` were published by this node. There is no frame if they were not or cannot be encoded in
    /// [`Dialect::RELAY`]. Returns how many do not reach the other nodes.
    fn published(&self, key: &Arc<RoomKey>, frame: Option<&Frame>, messages: u32, wakers: &mut Wakers)
    -> u32;

    /// A member has joined.
    fn member_joined(&self, key: &Arc<RoomKey>, wakers: &mut Wakers);

    /// A member has left.
    fn member_left(&self, key: &Arc<RoomKey>, wakers: &mut Wakers);

    /// The members of this node track something else than before.
    fn presence_changed(&self, room: &Arc<Room>, wakers: &mut Wakers);
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
}

impl Members {
    /// Whom the time of their connections is charged to: the tenant of the room.
    fn party(&self) -> Party {
        let first = self.slots.iter().next();
        first.map_or(Party::NODE, |(_, slot)| slot.outbox.memory().party())
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
        self.closed.store(true, Ordering::Relaxed);
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

    /// Queues the replies of all pending joins. From now on joins are not pending.
    pub(crate) fn confirm_joins(self: &Arc<Self>, outlets: &dyn Outlets) {
        let mut wakers = Wakers::collect();
        let mut members = self.members.lock();
        let pending = members.pending_joins.take();
        for (number, reply) in pending.iter().flat_map(|pending| pending.replies()) {
            members.slots[number].outbox.reply_deferred(reply, &mut wakers);
        }
        let presence = members.presence.as_mut().filter(|presence| presence.has_changes());
        let due = presence.and_then(|presence| presence.schedule(outlets.coalesce()));
        let party = members.party();
        drop(members);
        drop(pending);
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
            members.groups.remove(slot.group, slot.dialect);
            if let Some(pending) = &mut members.pending_joins {
                pending.remove(number);
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

    /// Encodes `event` for the members, and for the observers behind `outlets`, and adds it to `bundle`.
    /// `excluded` members are not going to receive it; if no others are left, nothing is encoded for members.
    pub(crate) fn gather(
        &self,
        event: &impl Encode,
        excluded: usize,
        bundle: &mut Bundle,
        outlets: Option<&dyn Outlets>,
    ) {
        let members: usize = self.member_counts.iter().map(|count| count.load(Ordering::Relaxed)).sum();
        let observed = outlets.is_some_and(|outlets| outlets.wants_frames());
        let wanted = |dialect| match dialect {
            Dialect::RELAY => observed,
            _ => members > excluded && self.has_dialect(dialect),
        };
        bundle.add(&FrameCache::encode(event, &self.key.topic, wanted));
    }

    /// Offers the gathered messages to all members except the one in slot `except`, and reports them to
    /// `outlets`.
    pub(crate) fn publish(
        &self,
        bundle: Bundle,
        except: Option<usize>,
        outlets: Option<&dyn Outlets>,
    ) -> Delivery {
        let messages = bundle.messages();
        self.send(&bundle.into_frames(), messages, except, outlets)
    }

    /// Encodes `event` for each delivery group that has members, and for the observers behind `outlets`, and
    /// offers each member the frame of its group.
    pub(crate) fn publish_by_group(&self, event: &impl EncodeByGroup, outlets: &dyn Outlets) -> Delivery {
        let relay = outlets.wants_frames().then_some((Group::DEFAULT, Dialect::RELAY));
        let receivers = self.receivers();
        let frames = FrameCache::encode_by_group(event, &self.key.topic, receivers.into_iter().chain(relay));
        self.send(&frames, 1, None, Some(outlets))
    }

    /// The delivery groups that have members, with the members' dialects, sorted.
    fn receivers(&self) -> Vec<(Group, Dialect)> {
        let members = self.members.lock();
        let dialects = (0..Dialect::RELAY.index()).map(|index| Dialect::new(index as u8));
        let by_default = dialects.filter(|dialect| self.member_count(*dialect) > members.groups.of(*dialect));
        by_default.map(|dialect| (Group::DEFAULT, dialect)).chain(members.groups.present()).collect()
    }

    /// Offers each member its frame, except the member in slot `except`, and reports them to `outlets`.
    fn send(
        &self,
        frames: &FrameCache,
        messages: u32,
        except: Option<usize>,
        outlets: Option<&dyn Outlets>,
    ) -> Delivery {
        let report = |wakers: &mut Wakers| {
            outlets.map_or(0, |outlets| outlets.published(&self.key, frames.relay(), messages, wakers))
        };
        if frames.is_empty() {
            let mut wakers = Wakers::collect();
            let unrelayed = report(&mut wakers);
            wakers.wake();
            return Delivery { unrelayed, ..Delivery::default() };
        }
        self.fan_out(report, |number, slot| {
            // Without a frame, the first member of this dialect and group joined after the messages were
            // encoded, or the messages cannot be expressed for it.
            let frame = frames.get(slot.dialect, slot.group).filter(|_| Some(number) != except)?;
            Some((frame, |slot: &mut Slot| slot.missed = slot.missed.saturating_add(messages)))
        })
    }

    /// Walks the members once and offers each the frame that `choose` picks for it; `missed` records a full
    /// outbox. `report` is called under the lock, before the first offer, and returns what is not relayed. Members with
    /// pending joins receive nothing.
    fn fan_out<'f, M: FnOnce(&mut Slot)>(
        &self,
        report: impl FnOnce(&mut Wakers) -> u32,
        mut choose: impl FnMut(usize, &Slot) -> Option<(&'f Frame, M)>,
    ) -> Delivery {
        let mut wakers = Wakers::collect();
        let mut members = self.members.lock();
        let mut delivery = Delivery { unrelayed: report(&mut wakers), ..Delivery::default() };
        let confirmed = members.pending_joins.is_none().then_some(&mut members.slots);
        for (number, slot) in confirmed.into_iter().flatten() {
            let Some((frame, missed)) = choose(number, slot) else { continue };
            let offer = slot.outbox.offer_deferred(frame, &mut wakers);
            delivery.count(offer);
            if offer == Offer::Full {
                missed(slot);
            }
        }
        let party = members.party();
        drop(members);
        wakers.wake_for(party);
        delivery
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

    /// Makes a change under the lock, reports it and schedules its announcement.
    fn change_presence(
        self: &Arc<Self>,
        outlets: &dyn Outlets,
        change: impl FnOnce(&mut Members, &mut Wakers) -> Effect,
    ) {
        let mut wakers = Wakers::collect();
        let mut members = self.members.lock();
        let effect = change(&mut members, &mut wakers);
        if effect.is_local {
            outlets.presence_changed(self, &mut wakers);
        }
        let announces = effect.announces && members.pending_joins.is_none();
        let presence = members.presence.as_mut().filter(|_| announces);
        let due = presence.and_then(|presence| presence.schedule(outlets.coalesce()));
        drop(members);
        wakers.wake();
        if let Some(due) = due {
            outlets.schedule(self, due);
        }
    }
}
