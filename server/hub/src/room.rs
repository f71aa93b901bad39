//! A room: its members, and the one way anything reaches them.
//!
//! Whoever publishes does the fan-out. The event is encoded first, for the dialects that have members,
//! and only then is the room locked: what happens under the lock is a pointer pushed per member. Members
//! who are too slow are noted and passed over; the room never waits for anyone.

mod presence;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use slab::Slab;

use crate::bundle::Bundle;
use crate::frame::{Dialect, Encode, Frame, FrameCache};
use crate::hub::Hub;
use crate::member::{Member, Slot};
use crate::outbox::Offer;
use crate::pending_joins::PendingJoins;
use crate::presence::RoomPresence;
use crate::relay_queue::{RelayQueue, RelayState};
use crate::topic::RoomKey;
use crate::wakers::Wakers;

/// Who is to receive an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// Every member, the one who publishes included.
    Everyone,
    /// Every member but the one who publishes.
    Others,
}

/// What became of a publication.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Delivery {
    /// Outboxes that took a frame.
    pub delivered: usize,
    /// Members whose outbox was full.
    pub dropped: usize,
}

impl Delivery {
    fn note(&mut self, queued: bool) {
        self.delivered += usize::from(queued);
        self.dropped += usize::from(!queued);
    }
}

/// What a member did not get because its connection read too slowly.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Missed {
    /// How many broadcasts were dropped.
    pub broadcasts: u32,
    /// Whether it lacks the presence state, because a diff or the state itself was dropped or because it has
    /// never asked for it. It receives no diffs until it [asks](crate::Membership::request_state).
    pub presence: bool,
}

/// Everything under one [`RoomKey`].
#[derive(Debug)]
pub struct Room {
    key: Arc<RoomKey>,
    /// See [`Position::epoch`](crate::Position); 0 in a hub that is alone.
    epoch: u64,
    /// Members of each dialect, readable without the lock: tells what to encode before taking it.
    population: [AtomicUsize; Dialect::COUNT],
    members: Mutex<Members>,
    pub(crate) relay_state: RelayState,
}

#[derive(Debug, Default)]
struct Members {
    slots: Slab<Slot>,
    next_id: u64,
    /// Boxed and absent until someone uses presence, because most rooms never do.
    presence: Option<Box<RoomPresence>>,
    /// There while the members wait until the messages of the other nodes reach this one.
    opening: Option<Box<PendingJoins>>,
}

impl Room {
    /// A room of a hub that is alone.
    pub(crate) fn new(key: Arc<RoomKey>) -> Self {
        Self {
            key,
            epoch: 0,
            population: Default::default(),
            members: Mutex::default(),
            relay_state: RelayState::new(),
        }
    }

    /// A room whose members wait until it is admitted that they are in.
    pub(crate) fn opening(key: Arc<RoomKey>, epoch: u64) -> Self {
        let members = Members { opening: Some(Box::default()), ..Members::default() };
        Self { epoch, members: members.into(), ..Self::new(key) }
    }

    /// What names it.
    pub fn key(&self) -> &Arc<RoomKey> {
        &self.key
    }

    /// Its name, without any prefix.
    pub fn topic(&self) -> &str {
        &self.key.topic
    }

    /// Whose room it is.
    pub fn tenant(&self) -> &str {
        &self.key.tenant
    }

    /// Whether its last member has left. It does not open again, but another may under the same key.
    pub fn is_closed(&self) -> bool {
        self.relay_state.is_closed()
    }

    /// When its first member came.
    pub fn opened_at(&self) -> Instant {
        self.relay_state.since
    }

    /// Queues the reply and inserts the member under one lock, so that no message of the room overtakes
    /// the reply; while the room is opening the reply waits. Returns the member's slot.
    pub(crate) fn join(&self, member: Member, reply: &Frame, wakers: &mut Wakers) -> usize {
        let mut members = self.members.lock();
        self.population[member.dialect.index()].fetch_add(1, Ordering::Relaxed);
        members.next_id += 1;
        let slot = Slot::new(member, members.next_id);
        let Members { slots, opening, .. } = &mut *members;
        let entry = slots.vacant_entry();
        let number = entry.key();
        match opening {
            Some(opening) => opening.keep(number, reply),
            None => slot.outbox.reply_deferred(reply, wakers),
        }
        entry.insert(slot);
        number
    }

    /// Queues the replies of all who wait. From now on they are members like others.
    pub(crate) fn confirm_joins(self: &Arc<Self>, hub: &Hub) {
        let mut wakers = Wakers::collect();
        let mut members = self.members.lock();
        let opening = members.opening.take();
        for (number, reply) in opening.iter().flat_map(|opening| opening.replies()) {
            members.slots[number].outbox.reply_deferred(reply, &mut wakers);
        }
        let pending = members.presence.as_mut().filter(|pending| pending.is_due());
        let due = pending.and_then(|pending| pending.list(hub.coalesce()));
        drop(members);
        drop(opening);
        wakers.wake();
        hub.list(due, self);
    }

    /// Removes the member, and what it tracked.
    pub(crate) fn leave(self: &Arc<Self>, number: usize, hub: &Hub) {
        self.change_presence(hub, |members| {
            let mut slot = members.slots.remove(number);
            self.population[slot.dialect.index()].fetch_sub(1, Ordering::Relaxed);
            if let Some(opening) = &mut members.opening {
                opening.forget(number);
            }
            if members.slots.is_empty() && hub.departures.is_none() {
                // An empty room that lives on for a moment gives its memory back; nobody is left to be told.
                *members = Members { next_id: members.next_id, ..Members::default() };
            }
            members.presence.as_mut().is_some_and(|pending| pending.untrack(&mut slot))
        });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.members.lock().slots.is_empty()
    }

    /// Encodes `event` for the members there are, and for the other nodes if frames depart to them, and adds
    /// it to `bundle`. `outsiders` is how many of the members are not to receive it; when nobody is left,
    /// nothing is encoded for them.
    pub(crate) fn gather(
        &self,
        event: &impl Encode,
        outsiders: usize,
        bundle: &mut Bundle,
        departures: Option<&RelayQueue>,
    ) {
        let present = |dialect: Dialect| self.population[dialect.index()].load(Ordering::Relaxed);
        let everyone: usize = (0..Dialect::RELAY.index()).map(|i| present(Dialect::new(i as u8))).sum();
        let departs = departures.is_some_and(RelayQueue::is_flowing);
        let wanted = |dialect| match dialect {
            Dialect::RELAY => departs,
            _ => everyone > outsiders && present(dialect) > 0,
        };
        bundle.add(&FrameCache::encode(event, &self.key.topic, wanted));
    }

    /// Offers what was gathered to all members but the one in slot `except`, and sends it to the other nodes
    /// by way of `departures`.
    pub(crate) fn publish(
        &self,
        bundle: Bundle,
        except: Option<usize>,
        departures: Option<&RelayQueue>,
    ) -> Delivery {
        let messages = bundle.messages();
        let frames = bundle.into_frames();
        if frames.iter().all(|frame| frame.is_none()) {
            if let Some(departures) = departures {
                departures.count_dropped(messages.into());
            }
            return Delivery::default();
        }
        let depart = |wakers: &mut Wakers| {
            if let Some(departures) = departures {
                departures.say(&self.key, frames.get(Dialect::RELAY), messages, wakers);
            }
        };
        self.fan_out(depart, |number, slot| {
            // A dialect without a frame has come in since the messages were encoded: its first member
            // joined after them. Or they cannot be said in it.
            let frame = frames.get(slot.dialect).filter(|_| Some(number) != except)?;
            Some((frame, |slot: &mut Slot| slot.lost = slot.lost.saturating_add(messages)))
        })
    }

    /// Walks the members once, offering each the frame `choose` picks for it; `missed` notes a full outbox.
    /// What `depart` puts among the departures keeps the order that the members see. Members that wait for
    /// the room to open receive nothing.
    fn fan_out<'f, M: FnOnce(&mut Slot)>(
        &self,
        depart: impl FnOnce(&mut Wakers),
        mut choose: impl FnMut(usize, &Slot) -> Option<(&'f Frame, M)>,
    ) -> Delivery {
        let mut delivery = Delivery::default();
        let mut wakers = Wakers::collect();
        let mut members = self.members.lock();
        depart(&mut wakers);
        let open = members.opening.is_none().then_some(&mut members.slots);
        for (number, slot) in open.into_iter().flatten() {
            let Some((frame, missed)) = choose(number, slot) else { continue };
            let queued = slot.outbox.offer_deferred(frame, &mut wakers) == Offer::Queued;
            delivery.note(queued);
            if !queued {
                missed(slot);
            }
        }
        drop(members);
        wakers.wake();
        delivery
    }

    /// What the member has missed: the broadcasts lost since this was last asked, and whether it lacks the
    /// presence state.
    pub(crate) fn take_missed(&self, number: usize) -> Missed {
        let mut members = self.members.lock();
        let slot = members.slots.get_mut(number).expect("a membership's slot outlives it");
        Missed { broadcasts: std::mem::take(&mut slot.lost), presence: slot.stale }
    }
}
