//! Presence in a room: what members do, what the announcer and the link take out, what other nodes say.
//!
//! Every change is made in one place, which also puts the room on the lists of those who have to tell of it:
//! the announcer, who tells the members of this node, and the link, which tells the other nodes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::{Delivery, Members, Room};
use crate::frame::{Dialect, Frame, FrameCache};
use crate::hub::Hub;
use crate::member::Slot;
use crate::outbox::Offer;
use crate::presence::{PresenceChange, PresenceEntry, RoomPresence, StateRequest};
use crate::replication::{ApplyOutcome, Delta, NodeId, Position, PresenceUpdate, Snapshot};
use crate::wakers::Wakers;

impl Members {
    /// The member in slot `number` and what the room has to announce.
    fn present(&mut self, number: usize, hub: &Hub) -> (&mut Slot, &mut RoomPresence) {
        let slot = self.slots.get_mut(number).expect("a membership's slot outlives it");
        (slot, pending(&mut self.presence, hub))
    }
}

fn pending<'p>(presence: &'p mut Option<Box<RoomPresence>>, hub: &Hub) -> &'p mut RoomPresence {
    presence.get_or_insert_with(|| {
        Box::new(if hub.departures.is_some() { RoomPresence::relayed() } else { RoomPresence::default() })
    })
}

impl Room {
    /// The member now tracks `entry`.
    pub(crate) fn track(self: &Arc<Self>, number: usize, entry: PresenceEntry, hub: &Hub) {
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
    pub(crate) fn apply_presence(
        self: &Arc<Self>,
        node: NodeId,
        statement: PresenceUpdate,
        hub: &Hub,
    ) -> ApplyOutcome {
        let mut heard = ApplyOutcome::Applied;
        self.change_presence(hub, |members| {
            if members.presence.is_none() && statement.is_empty() {
                // Most rooms have no presence anywhere, and keep no memory of everybody saying so.
                return false;
            }
            let (verdict, is_change) = pending(&mut members.presence, hub).apply_presence(node, statement);
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
    pub(super) fn change_presence(self: &Arc<Self>, hub: &Hub, change: impl FnOnce(&mut Members) -> bool) {
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

    /// Whether members of `dialect` are there; tells what is worth encoding.
    pub fn has_dialect(&self, dialect: Dialect) -> bool {
        self.population[dialect.index()].load(Ordering::Relaxed) > 0
    }

    /// Announces a presence change to the members that have had the state so far.
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
    pub fn has_requester(&self, request: &StateRequest) -> bool {
        self.members.lock().slots.get(request.slot).is_some_and(|slot| slot.id == request.id)
    }

    /// Shows everybody to the member that asked.
    pub fn send_state(&self, request: &StateRequest, state: &Frame) -> Delivery {
        let mut told = Delivery::default();
        let mut wakers = Wakers::collect();
        let mut members = self.members.lock();
        if let Some(slot) = members.slots.get_mut(request.slot).filter(|slot| slot.id == request.id) {
            slot.stale = slot.outbox.offer_deferred(state, &mut wakers) == Offer::Full;
            told.note(!slot.stale);
        }
        drop(members);
        wakers.wake();
        told
    }

    /// What this node's members show that the other nodes have not been told, since this was last taken.
    pub fn take_delta(&self) -> Option<Delta> {
        let mut members = self.members.lock();
        let Members { slots, presence, .. } = &mut *members;
        presence.as_mut()?.take_delta(self.epoch, slots)
    }

    /// Everything that this node's members show. May be told to anybody at any time; news go on as before.
    pub fn local_snapshot(&self) -> Snapshot {
        let mut members = self.members.lock();
        let Members { slots, presence, .. } = &mut *members;
        let own = presence.as_ref().and_then(|pending| pending.own(self.epoch, slots));
        let nothing = || Snapshot { position: Position { epoch: self.epoch, seq: 0 }, entries: Vec::new() };
        own.unwrap_or_else(nothing)
    }

    /// The last that is to be said of this node's members, if anything was ever said.
    pub(crate) fn final_snapshot(&self) -> Option<Snapshot> {
        let members = self.members.lock();
        let has_spoken = members.presence.as_ref().is_some_and(|pending| pending.has_spoken());
        has_spoken.then(|| Snapshot::gone(self.epoch))
    }

    /// The other nodes that have said something of their members, also those that show nothing now.
    pub fn remote_nodes(&self) -> Vec<NodeId> {
        let members = self.members.lock();
        members.presence.iter().flat_map(|pending| pending.nodes()).collect()
    }
}
