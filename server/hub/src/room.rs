//! A room: its members, and the one way anything reaches them.
//!
//! Whoever publishes does the fan-out. The event is encoded first, for the dialects that have members,
//! and only then is the room locked: what happens under the lock is a pointer pushed per member. Members
//! who are too slow are noted and passed over; the room never waits for anyone.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use slab::Slab;

use crate::bundle::Bundle;
use crate::frame::{Dialect, Encode, Frame, FrameCache};
use crate::member::{Member, Slot};
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
    pub(crate) key: RoomKey,
    /// Members of each dialect, readable without the lock: tells what to encode before taking it.
    population: [AtomicUsize; Dialect::COUNT],
    members: Mutex<Members>,
}

#[derive(Debug, Default)]
struct Members {
    slots: Slab<Slot>,
    next_id: u64,
    /// Boxed and absent until someone uses presence, because most rooms never do.
    presence: Option<Box<Pending>>,
}

impl Members {
    /// The member in slot `number` and what the room has to announce.
    fn present(&mut self, number: usize) -> (&mut Slot, &mut Pending) {
        let slot = self.slots.get_mut(number).expect("a membership's slot outlives it");
        (slot, self.presence.get_or_insert_default())
    }
}

impl Room {
    pub(crate) fn new(key: RoomKey) -> Self {
        Self { key, population: Default::default(), members: Mutex::default() }
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
    /// the reply. Returns the member's slot.
    pub(crate) fn join(&self, member: Member, reply: &Frame, wakers: &mut Wakers) -> usize {
        let mut members = self.members.lock();
        member.outbox.answer_quietly(reply, wakers);
        self.population[member.dialect.index()].fetch_add(1, Ordering::Relaxed);
        members.next_id += 1;
        let id = members.next_id;
        members.slots.insert(Slot::new(member, id))
    }

    /// Removes the member. Returns when its presence has to be announced as gone, if the room is not
    /// listed for that already.
    pub(crate) fn leave(&self, number: usize, coalesce: Duration) -> Option<Instant> {
        let mut members = self.members.lock();
        let mut slot = members.slots.remove(number);
        self.population[slot.dialect.index()].fetch_sub(1, Ordering::Relaxed);
        if members.slots.is_empty() {
            // An empty room that lives on for a moment gives its memory back; nobody is left to be told.
            *members = Members { next_id: members.next_id, ..Members::default() };
            return None;
        }
        let pending = members.presence.as_mut()?;
        if pending.untrack(&mut slot) { pending.list(coalesce) } else { None }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.members.lock().slots.is_empty()
    }

    /// Encodes `event` for the members there are and adds it to `bundle`. `outsiders` is how many of them
    /// are not to receive it; when nobody is left, nothing is encoded.
    pub(crate) fn gather(&self, event: &impl Encode, outsiders: usize, bundle: &mut Bundle) {
        let present = |dialect: Dialect| self.population[dialect.index()].load(Ordering::Relaxed);
        let everyone: usize = (0..Dialect::COUNT).map(|i| present(Dialect::new(i as u8))).sum();
        let wanted = |dialect| everyone > outsiders && present(dialect) > 0;
        bundle.add(&FrameCache::encode(event, &self.key.topic, wanted));
    }

    /// Offers what was gathered to all members but the one in slot `except`.
    pub(crate) fn publish(&self, bundle: Bundle, except: Option<usize>) -> Delivery {
        let messages = bundle.messages();
        let frames = bundle.into_frames();
        if frames.iter().all(|frame| frame.is_none()) {
            return Delivery::default();
        }
        self.fan_out(|number, slot| {
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
        self.fan_out(|_, slot| {
            let frame = diff.get(slot.dialect).filter(|_| !slot.stale)?;
            Some((frame, |slot: &mut Slot| slot.stale = true))
        })
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
    fn fan_out<'f, M: FnOnce(&mut Slot)>(
        &self,
        mut choose: impl FnMut(usize, &Slot) -> Option<(&'f Frame, M)>,
    ) -> Delivery {
        let mut delivery = Delivery::default();
        let mut wakers = Wakers::collect();
        let mut members = self.members.lock();
        for (number, slot) in &mut members.slots {
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

    /// The member now tracks `entry`. This and the next two return when the room is due to announce,
    /// unless it is listed already or nothing changed.
    pub(crate) fn track(&self, number: usize, entry: Entry, coalesce: Duration) -> Option<Instant> {
        let mut members = self.members.lock();
        let (slot, pending) = members.present(number);
        pending.track(number, slot, entry);
        pending.list(coalesce)
    }

    /// The member tracks nothing any more.
    pub(crate) fn untrack(&self, number: usize, coalesce: Duration) -> Option<Instant> {
        let mut members = self.members.lock();
        let (slot, pending) = members.present(number);
        if pending.untrack(slot) { pending.list(coalesce) } else { None }
    }

    /// The member is to be shown everybody.
    pub(crate) fn request_state(&self, number: usize, tag: &str, coalesce: Duration) -> Option<Instant> {
        let mut members = self.members.lock();
        let (slot, pending) = members.present(number);
        pending.request_state(number, slot, tag);
        pending.list(coalesce)
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
