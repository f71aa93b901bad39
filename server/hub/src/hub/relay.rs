//! The part of the hub for the link to the other nodes: what it publishes to them, and what it receives.
//!
//! One task takes the relay's events and publishes them, and passes what other nodes publish to
//! [`deliver`](Hub::deliver) and [`apply_presence`](Hub::apply_presence). What is received is never relayed
//! again.

use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Instant;

use super::Hub;
use crate::bounds::Bounds;
use crate::bundle::Bundle;
use crate::frame::{Encode, Frame};
use crate::relay::Relay;
use crate::replication::{ApplyOutcome, NodeId, PresenceUpdate, Snapshot};
use crate::room::{Delivery, Published, Room};
use crate::room_event::RoomEvent;
use crate::topic::RoomKey;
use crate::wakers::Wakers;

impl Hub {
    /// Takes the next events for the other nodes, up to `max`, or registers `waker`. A hub without relay has none.
    pub fn poll_relay(&self, max: Bounds, waker: &Waker) -> Poll<Vec<RoomEvent>> {
        self.relay.as_ref().map_or(Poll::Pending, |relay| relay.observer.poll(max, waker))
    }

    /// Presence of `tenant` was read for the relay: its next turns are shorter by so many bytes.
    pub fn charge_relay(&self, tenant: &Arc<str>, bytes: usize) {
        if let Some(relay) = &self.relay {
            relay.observer.charge(tenant, bytes);
        }
    }

    /// The other nodes cannot be reached: messages for them are dropped and counted, those queued included.
    /// Rooms that open, close or change presence are still reported.
    pub fn pause_relay(&self) {
        if let Some(relay) = &self.relay {
            relay.observer.pause();
        }
    }

    /// The other nodes can be reached again.
    pub fn resume_relay(&self) {
        if let Some(relay) = &self.relay {
            relay.observer.resume();
        }
    }

    /// Messages that were not relayed, since the start: they did not fit, or were published while the relay
    /// was paused.
    pub fn relay_dropped(&self) -> u64 {
        self.relay.as_ref().map_or(0, |relay| relay.observer.dropped())
    }

    /// The messages of the other nodes reach the room from now on: members with pending joins receive their
    /// replies, and messages like others. No effect on a room without pending joins.
    pub fn confirm_joins(&self, room: &Arc<Room>) {
        room.confirm_joins(self);
    }

    /// [Confirms the joins](Self::confirm_joins) of rooms that opened at `until` or earlier and whose
    /// [`RoomOpened`](RoomEvent::RoomOpened) has not been taken: members must not wait for a link that is
    /// busy.
    pub fn confirm_joins_until(&self, until: Instant) {
        let rooms = self.relay.as_ref().map(|relay| relay.observer.opened_until(until));
        rooms.iter().flatten().for_each(|room| self.confirm_joins(room));
    }

    /// As [`rooms`](Self::rooms), for a link that is about to subscribe to them: it will receive
    /// [`RoomClosed`](RoomEvent::RoomClosed) for each, whether or not it has taken
    /// [`RoomOpened`](RoomEvent::RoomOpened).
    pub fn rooms_for_relay(&self) -> Vec<Arc<Room>> {
        let mut rooms = self.rooms();
        if let Some(relay) = &self.relay {
            relay.observer.take_notice(&mut rooms);
        }
        rooms
    }

    /// Delivers what was published in the room on another node to the members on this node. Several events
    /// are delivered together, as one frame.
    pub fn deliver<E: Encode>(&self, key: &RoomKey, events: impl IntoIterator<Item = E>) -> Delivery {
        let Some(room) = self.room(key) else { return Delivery::default() };
        let mut bundle = Bundle::default();
        for event in events {
            room.gather(&event, 0, &mut bundle, None, None);
        }
        // A room that has been closed has no members.
        room.publish(bundle, None, None).unwrap_or_default()
    }

    /// Applies a presence update of another node. What is new in it will be announced to the members.
    ///
    /// Updates may be applied in any order and more than once. A snapshot without entries is not recorded in
    /// a room that has no presence at all: an older update of the same node that arrives after it would be
    /// applied.
    pub fn apply_presence(
        &self,
        room: &Arc<Room>,
        node: NodeId,
        update: impl Into<PresenceUpdate>,
    ) -> ApplyOutcome {
        room.apply_presence(node, update.into(), self)
    }

    /// Whether there may be other nodes.
    pub fn has_relay(&self) -> bool {
        self.relay.is_some()
    }

    /// Publishes a message to the other nodes alone: `frame` is it in [`Dialect::RELAY`](crate::Dialect::RELAY). Returns false if there is
    /// no room for it in the relay's queue. While the relay is paused no node can be reached, and it is counted as dropped.
    pub fn publish_elsewhere(&self, key: &RoomKey, frame: &Frame) -> bool {
        let Some(relay) = &self.relay else { return true };
        let (mut wakers, was_paused) = (Wakers::collect(), relay.observer.is_paused());
        let published = Published { frame: Some(frame), messages: 1, kept: None };
        let dropped = relay.observer.published(&Arc::new(key.clone()), &published, &mut wakers);
        wakers.wake();
        dropped == 0 || was_paused
    }

    /// Removes the presence of another node from all rooms. Its next update must be a snapshot.
    pub fn remove_node(&self, node: NodeId) {
        for room in self.rooms() {
            room.remove_node(node, self);
        }
    }

    /// As [`remove_node`](Self::remove_node), in one room.
    pub fn remove_node_from(&self, room: &Arc<Room>, node: NodeId) {
        room.remove_node(node, self);
    }

    /// Everything that this node's members track in the room, also if there are none: newer than all previous
    /// updates of the room, and older than all updates after it opens again.
    pub fn local_snapshot(&self, key: &RoomKey) -> Snapshot {
        let shard = self.shard(key).lock();
        if let Some(room) = shard.get(key).cloned() {
            drop(shard);
            return room.local_snapshot();
        }
        // Under the shard's lock, so that the room does not open meanwhile.
        Snapshot::closed(self.relay.as_ref().map_or(0, Relay::newest_epoch))
    }
}
