//! Presence in a room: what members track, what the announcer and the link take, and what other nodes
//! publish.
//!
//! Every change goes through [`Room::change_presence`], which also schedules its announcement to the members
//! of this node and reports it to the observers.

use std::sync::Arc;
use std::time::Instant;

use super::publishing::FanOut;
use super::{Delivery, Members, Outlets, Room};
use crate::frame::{Frame, FrameCache};
use crate::member::Slot;
use crate::outbox::Offer;
use crate::presence::{Effect, EntryRefusal, PresenceChange, RoomPresence, StatePart, StateRequest};
use crate::presence_entry::PresenceEntry;
use crate::replication::{ApplyOutcome, Delta, NodeId, Position, PresenceUpdate, Snapshot};
use crate::wakers::Wakers;

impl Members {
    /// The member in slot `number`, and the room's presence.
    fn with_presence(&mut self, number: usize, epoch: Option<u64>) -> (&mut Slot, &mut RoomPresence) {
        let slot = self.slots.get_mut(number).expect("a membership's slot outlives it");
        (slot, used(&mut self.presence, epoch))
    }
}

fn used(presence: &mut Option<Box<RoomPresence>>, epoch: Option<u64>) -> &mut RoomPresence {
    presence.get_or_insert_with(|| Box::new(RoomPresence::new(epoch)))
}

impl Room {
    /// The member now tracks `entry`, unless the room would show more than `bytes_max` with it, or the tenant would use
    /// more memory than it may.
    pub(crate) fn track(
        self: &Arc<Self>,
        number: usize,
        entry: PresenceEntry,
        bytes_max: usize,
        outlets: &dyn Outlets,
    ) -> Result<(), EntryRefusal> {
        let mut result = Ok(());
        self.change_presence(outlets, |members, _| {
            let (slot, presence) = members.with_presence(number, self.epoch);
            result = presence.admit(slot, &entry, bytes_max);
            if result.is_err() {
                return Effect::default();
            }
            presence.track(number, slot, entry)
        });
        result
    }

    /// The member no longer tracks anything.
    pub(crate) fn untrack(self: &Arc<Self>, number: usize, outlets: &dyn Outlets) {
        self.change_presence(outlets, |members, _| {
            let (slot, presence) = members.with_presence(number, self.epoch);
            presence.untrack(slot)
        });
    }

    /// The member requests the presence state.
    pub(crate) fn request_state(self: &Arc<Self>, number: usize, tag: &str, outlets: &dyn Outlets) {
        self.change_presence(outlets, |members, _| {
            let (slot, presence) = members.with_presence(number, self.epoch);
            presence.request_state(number, slot, tag)
        });
    }

    /// Applies an update of another node, unless it is old or an earlier one is missing.
    pub(crate) fn apply_presence(
        self: &Arc<Self>,
        node: NodeId,
        update: PresenceUpdate,
        outlets: &dyn Outlets,
    ) -> ApplyOutcome {
        let mut outcome = ApplyOutcome::Applied;
        self.change_presence(outlets, |members, _| {
            if members.presence.is_none() && update.is_empty() {
                // Most rooms have no presence on any node, and need no memory to know it.
                return Effect::default();
            }
            let effect;
            let account = members.slots.iter().next().map(|(_, slot)| slot.outbox.memory());
            (outcome, effect) = used(&mut members.presence, self.epoch).apply(node, update, account);
            effect
        });
        outcome
    }

    /// Removes everything that `node` has published.
    pub(crate) fn remove_node(self: &Arc<Self>, node: NodeId, outlets: &dyn Outlets) {
        self.change_presence(outlets, |members, _| {
            members.presence.as_mut().map(|presence| presence.remove_node(node)).unwrap_or_default()
        });
    }

    /// See [`Hub::take_presence`](crate::Hub::take_presence).
    pub(crate) fn take_presence(
        self: &Arc<Self>,
        now: Instant,
        bytes_max: usize,
        outlets: &dyn Outlets,
    ) -> PresenceChange {
        let mut members = self.members.lock();
        let Members { slots, presence, .. } = &mut *members;
        let Some(presence) = presence else { return PresenceChange::default() };
        let change = presence.take(slots, now, bytes_max);
        let rest = presence.has_changes();
        let due = if rest { presence.schedule(outlets.coalesce()) } else { None };
        drop(members);
        if let Some(due) = due {
            outlets.schedule(self, due);
        }
        change
    }

    /// Whether what the member tracks now has been announced.
    pub(crate) fn is_announced(&self, number: usize) -> bool {
        let members = self.members.lock();
        let tracked = members.slots.get(number).and_then(|slot| slot.tracked.as_ref());
        tracked.is_some_and(|tracked| tracked.announced.is_some())
    }

    /// Sends a presence diff to the members that have received the state and every diff since.
    pub fn announce(&self, diff: &FrameCache) -> Delivery {
        let receives = |_, slot: &Slot| !slot.stale;
        let missed = |slot: &mut Slot| slot.stale = true;
        let (delivery, _) =
            self.fan_out(|_| 0, FanOut { frames: diff, single: &[], is_kept: false, receives, missed });
        delivery
    }

    /// Sends a part of the state to the member that requested it, as the `frames` of one message. Without effect if the
    /// member does not wait for it any more. A first part that does not fit is dropped, another one is left for later.
    pub fn send_part(&self, part: &StatePart, request: &StateRequest, frames: &[Frame]) -> Delivery {
        let mut delivery = Delivery::default();
        let mut wakers = Wakers::collect();
        let mut members = self.members.lock();
        let Members { slots, presence: Some(presence), .. } = &mut *members else { return delivery };
        let slot = slots.get_mut(request.slot).filter(|slot| slot.id == request.id);
        if let Some(slot) = slot.filter(|slot| presence.expects(request.slot, slot, part)) {
            let offer = slot.outbox.offer_message_deferred(frames, &mut wakers);
            if offer != Offer::Full && presence.queued(request.slot, slot, part) {
                slot.outbox.continue_when_empty(&mut wakers);
            }
            if offer != Offer::Full || part.begins_state() {
                delivery.count(offer);
            }
        }
        let party = members.party();
        drop(members);
        wakers.wake_for(party);
        delivery
    }

    /// Takes the changes of what this node's members track since the last call.
    pub fn take_delta(&self) -> Option<Delta> {
        let mut members = self.members.lock();
        let Members { slots, presence, .. } = &mut *members;
        presence.as_mut()?.take_delta(slots)
    }

    /// Everything that this node's members track. Does not affect the deltas.
    pub fn local_snapshot(&self) -> Snapshot {
        let mut members = self.members.lock();
        let Members { slots, presence, .. } = &mut *members;
        let snapshot = presence.as_ref().and_then(|presence| presence.local_snapshot(slots));
        let position = Position { epoch: self.epoch.unwrap_or_default(), seq: 0 };
        snapshot.unwrap_or_else(|| Snapshot { position, entries: Vec::new() })
    }

    /// The last update to publish for the room, if there was ever one.
    pub(crate) fn final_snapshot(&self) -> Option<Snapshot> {
        self.members.lock().presence.as_ref().and_then(|presence| presence.final_snapshot())
    }

    /// The other nodes that have published presence for the room, those without entries included.
    pub fn remote_nodes(&self) -> Vec<NodeId> {
        let members = self.members.lock();
        members.presence.iter().flat_map(|presence| presence.remote_nodes()).collect()
    }

    /// Makes a change under the lock, reports it and schedules its announcement.
    pub(super) fn change_presence(
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
