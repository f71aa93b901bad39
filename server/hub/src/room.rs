//! A room: its members, and the one way anything reaches them.
//!
//! Whoever publishes does the fan-out. The event is encoded first, for the dialects that have members,
//! and only then is the room locked: what happens under the lock is a pointer pushed per member. Members
//! who are too slow are noted and passed over; the room never waits for anyone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use slab::Slab;

use crate::bundle::Bundle;
use crate::departures::Departures;
use crate::frame::{Dialect, Encode, Frame, FrameCache};
use crate::hub::Hub;
use crate::member::{Member, Slot};
use crate::node::{Heard, News, NodeId, Position, State, Statement};
use crate::opening::Opening;
use crate::outbox::Offer;
use crate::presence::{Entry, Pending, PresenceChange, StateRequest};
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
    /// Whether a presence diff was dropped, so that only the whole state helps.
    pub presence: bool,
}

/// Everything under one [`RoomKey`].
#[derive(Debug)]
pub struct Room {
    key: Arc<RoomKey>,
    /// See [`Position::epoch`]; 0 in a hub that is alone.
    epoch: u64,
    /// Members of each dialect, readable without the lock: tells what to encode before taking it.
    population: [AtomicUsize; Dialect::COUNT],
    members: Mutex<Members>,
    /// What the link to the other nodes has been told. Belong to the queue of departures and its lock.
    is_known: AtomicBool,
    is_closed: AtomicBool,
}

#[derive(Debug, Default)]
struct Members {
    slots: Slab<Slot>,
    next_id: u64,
    /// Boxed and absent until someone uses presence, because most rooms never do.
    presence: Option<Box<Pending>>,
    /// There while the members wait until the messages of the other nodes reach this one.
    opening: Option<Box<Opening>>,
}

impl Members {
    /// The member in slot `number` and what the room has to announce.
    fn present(&mut self, number: usize, hub: &Hub) -> (&mut Slot, &mut Pending) {
        let slot = self.slots.get_mut(number).expect("a membership's slot outlives it");
        (slot, pending(&mut self.presence, hub))
    }
}

fn pending<'p>(presence: &'p mut Option<Box<Pending>>, hub: &Hub) -> &'p mut Pending {
    presence.get_or_insert_with(|| {
        Box::new(if hub.departures.is_some() { Pending::relayed() } else { Pending::default() })
    })
}

impl Room {
    /// A room of a hub that is alone.
    pub(crate) fn new(key: Arc<RoomKey>) -> Self {
        Self {
            key,
            epoch: 0,
            population: Default::default(),
            members: Mutex::default(),
            is_known: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
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
            None => slot.outbox.answer_quietly(reply, wakers),
        }
        entry.insert(slot);
        number
    }

    /// Queues the replies of all who wait. From now on they are members like others.
    pub(crate) fn admit(self: &Arc<Self>, hub: &Hub) {
        let mut wakers = Wakers::collect();
        let mut members = self.members.lock();
        let opening = members.opening.take();
        for (number, reply) in opening.iter().flat_map(|opening| opening.replies()) {
            members.slots[number].outbox.answer_quietly(reply, &mut wakers);
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
        departures: Option<&Departures>,
    ) {
        let present = |dialect: Dialect| self.population[dialect.index()].load(Ordering::Relaxed);
        let everyone: usize = (0..Dialect::RELAY.index()).map(|i| present(Dialect::new(i as u8))).sum();
        let departs = departures.is_some_and(Departures::is_flowing);
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
        departures: Option<&Departures>,
    ) -> Delivery {
        let messages = bundle.messages();
        let frames = bundle.into_frames();
        if departures.is_none() && frames.iter().all(|frame| frame.is_none()) {
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

    /// Whether members of `dialect` are there; tells what is worth encoding.
    pub fn speaks(&self, dialect: Dialect) -> bool {
        self.population[dialect.index()].load(Ordering::Relaxed) > 0
    }

    /// Announces a presence change to everyone who knows the state so far.
    pub fn announce(&self, diff: &FrameCache) -> Delivery {
        self.fan_out(
            |_| {},
            |_, slot| {
                let frame = diff.get(slot.dialect).filter(|_| !slot.stale)?;
                Some((frame, |slot: &mut Slot| slot.stale = true))
            },
        )
    }

    /// Whether whoever asked for the state is still there.
    pub fn awaits(&self, request: &StateRequest) -> bool {
        self.members.lock().slots.get(request.slot).is_some_and(|slot| slot.id == request.id)
    }

    /// Shows everybody to the member that asked.
    pub fn show(&self, request: &StateRequest, state: &Frame) -> Delivery {
        let mut told = Delivery::default();
        let mut wakers = Wakers::collect();
        let mut members = self.members.lock();
        if let Some(slot) = members.slots.get_mut(request.slot).filter(|slot| slot.id == request.id) {
            slot.stale = slot.outbox.offer_quietly(state, &mut wakers) == Offer::Full;
            told.note(!slot.stale);
        }
        drop(members);
        wakers.wake();
        told
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
            let queued = slot.outbox.offer_quietly(frame, &mut wakers) == Offer::Queued;
            delivery.note(queued);
            if !queued {
                missed(slot);
            }
        }
        drop(members);
        wakers.wake();
        delivery
    }

    /// The member now tracks `entry`.
    pub(crate) fn track(self: &Arc<Self>, number: usize, entry: Entry, hub: &Hub) {
        self.change_presence(hub, |members| {
            let (slot, pending) = members.present(number, hub);
            pending.track(number, slot, entry);
            true
        });
    }

    /// The member tracks nothing any more.
    pub(crate) fn untrack(self: &Arc<Self>, number: usize, hub: &Hub) {
        self.change_presence(hub, |members| {
            let (slot, pending) = members.present(number, hub);
            pending.untrack(slot)
        });
    }

    /// The member is to be shown everybody.
    pub(crate) fn request_state(self: &Arc<Self>, number: usize, tag: &str, hub: &Hub) {
        self.change_presence(hub, |members| {
            let (slot, pending) = members.present(number, hub);
            pending.request_state(number, slot, tag);
            true
        });
    }

    /// Takes what another node says of its members for true, unless it is old or something before it is
    /// missing.
    pub(crate) fn hear(self: &Arc<Self>, node: NodeId, statement: Statement, hub: &Hub) -> Heard {
        let mut heard = Heard::Applied;
        self.change_presence(hub, |members| {
            if members.presence.is_none() && statement.is_empty() {
                // Most rooms have no presence anywhere, and keep no memory of everybody saying so.
                return false;
            }
            let (verdict, is_change) = pending(&mut members.presence, hub).hear(node, statement);
            heard = verdict;
            is_change
        });
        heard
    }

    /// Nothing of what `node` has shown is true any more.
    pub(crate) fn forget(self: &Arc<Self>, node: NodeId, hub: &Hub) {
        self.change_presence(hub, |members| {
            members.presence.as_mut().is_some_and(|pending| pending.forget(node))
        });
    }

    /// Makes a change, and puts the room on the lists of those who have to tell of it: the announcer's, if
    /// `change` says so, and the link's.
    fn change_presence(self: &Arc<Self>, hub: &Hub, change: impl FnOnce(&mut Members) -> bool) {
        let mut wakers = Wakers::collect();
        let mut members = self.members.lock();
        let is_due = change(&mut members) && members.opening.is_none();
        let mut due = None;
        if let Some(pending) = &mut members.presence {
            due = if is_due { pending.list(hub.coalesce()) } else { None };
            if let Some(departures) = hub.departures.as_ref().filter(|_| pending.list_news()) {
                departures.news(self, &mut wakers);
            }
        }
        drop(members);
        wakers.wake();
        hub.list(due, self);
    }

    /// What this node's members show that the other nodes have not been told, since this was last taken.
    pub fn take_news(&self) -> Option<News> {
        let mut members = self.members.lock();
        let Members { slots, presence, .. } = &mut *members;
        presence.as_mut()?.take_news(self.epoch, slots)
    }

    /// Everything that this node's members show. May be told to anybody at any time; news go on as before.
    pub fn own_presence(&self) -> State {
        let mut members = self.members.lock();
        let Members { slots, presence, .. } = &mut *members;
        let own = presence.as_ref().and_then(|pending| pending.own(self.epoch, slots));
        let nothing = || State { position: Position { epoch: self.epoch, seq: 0 }, entries: Vec::new() };
        own.unwrap_or_else(nothing)
    }

    /// The last that is to be said of this node's members, if anything was ever said.
    pub(crate) fn last_words(&self) -> Option<State> {
        let members = self.members.lock();
        let has_spoken = members.presence.as_ref().is_some_and(|pending| pending.has_spoken());
        has_spoken.then(|| State::gone(self.epoch))
    }

    /// The other nodes that have said something of their members, also those that show nothing now.
    pub fn nodes(&self) -> Vec<NodeId> {
        let members = self.members.lock();
        members.presence.iter().flat_map(|pending| pending.nodes()).collect()
    }

    /// Whether the link has been told that the room is open. This and the next three are for the queue of
    /// departures, under its lock.
    pub(crate) fn is_known(&self) -> bool {
        self.is_known.load(Ordering::Relaxed)
    }

    pub(crate) fn set_known(&self) {
        self.is_known.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Relaxed)
    }

    pub(crate) fn set_closed(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
    }

    /// What is to be announced now; the caller encodes it and calls [`announce`](Self::announce).
    pub fn take_presence(&self, now: Instant) -> PresenceChange {
        let mut members = self.members.lock();
        let Members { slots, presence, .. } = &mut *members;
        presence.as_mut().map(|pending| pending.take(slots, now)).unwrap_or_default()
    }

    /// Whether the others have been told of what the member tracks now.
    pub(crate) fn is_announced(&self, number: usize) -> bool {
        let members = self.members.lock();
        let meta = members.slots.get(number).and_then(|slot| slot.meta.as_ref());
        meta.is_some_and(|meta| meta.announced)
    }

    /// What the member has missed since this was last asked: broadcasts lost, and whether it needs the
    /// presence state again. It gets the next diffs in any case.
    pub(crate) fn take_missed(&self, number: usize) -> Missed {
        let mut members = self.members.lock();
        let slot = members.slots.get_mut(number).expect("a membership's slot outlives it");
        Missed { broadcasts: std::mem::take(&mut slot.lost), presence: std::mem::take(&mut slot.stale) }
    }
}
