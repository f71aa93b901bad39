//! The hub as the link to the other nodes sees it: what departs, and what arrives.
//!
//! One task takes the departures and passes them on, and gives what it hears from other nodes to
//! [`deliver`](Hub::deliver) and [`apply_presence`](Hub::apply_presence). Nothing that arrives ever departs again.

use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Instant;

use super::Hub;
use crate::bundle::Bundle;
use crate::frame::Encode;
use crate::relay_queue::RelayEvent;
use crate::replication::{ApplyOutcome, NodeId, PresenceUpdate, Snapshot};
use crate::room::{Delivery, Room};
use crate::topic::RoomKey;

impl Hub {
    /// Up to `max` departures in order, or pending until there are some. For one task: the last waker wins.
    /// A hub that is alone has none.
    pub fn poll_relay(&self, max: usize, waker: &Waker) -> Poll<Vec<RelayEvent>> {
        self.departures.as_ref().map_or(Poll::Pending, |departures| departures.poll(max, waker))
    }

    /// The other nodes cannot be reached: messages for them are not kept but counted as dropped, those that
    /// wait already included. Rooms are still listed as they open, close and have news.
    pub fn pause_relay(&self) {
        if let Some(departures) = &self.departures {
            departures.pause();
        }
    }

    /// The other nodes can be reached again.
    pub fn resume_relay(&self) {
        if let Some(departures) = &self.departures {
            departures.resume();
        }
    }

    /// Messages that never departed, since the start: what did not fit and what came while the relay was
    /// paused.
    pub fn relay_dropped(&self) -> u64 {
        self.departures.as_ref().map_or(0, |departures| departures.dropped())
    }

    /// The messages of the other nodes reach the room from now on: those who wait for that get their replies
    /// and are members like others. Does nothing for a room that is open already.
    pub fn confirm_joins(&self, room: &Arc<Room>) {
        room.confirm_joins(self);
    }

    /// [Admits](Self::confirm_joins) the rooms that opened at `before` at the latest and are among the departures still:
    /// a link that has no time for those must not keep anybody waiting.
    pub fn confirm_joins_before(&self, before: Instant) {
        let rooms = self.departures.as_ref().map(|departures| departures.waiting(before));
        rooms.iter().flatten().for_each(|room| self.confirm_joins(room));
    }

    /// All rooms, one shard after the other: some that open or close meanwhile may be missing, or there still.
    pub fn rooms(&self) -> Vec<Arc<Room>> {
        let mut rooms = Vec::with_capacity(self.population().rooms);
        for shard in &self.shards {
            rooms.extend(shard.lock().values().cloned());
        }
        rooms
    }

    /// As [`rooms`](Self::rooms), for a link that is about to listen to them: it will hear of the end of each,
    /// be it before or after it has taken [`Opened`](Departure::Opened).
    pub fn rooms_for_relay(&self) -> Vec<Arc<Room>> {
        let mut rooms = self.rooms();
        if let Some(departures) = &self.departures {
            departures.list(&mut rooms);
        }
        rooms
    }

    /// What was said in the room on another node, told to its members here and to nobody else. Several
    /// events go out together, as one frame.
    pub fn deliver<E: Encode>(&self, key: &RoomKey, events: impl IntoIterator<Item = E>) -> Delivery {
        let Some(room) = self.room(key) else { return Delivery::default() };
        let mut bundle = Bundle::default();
        for event in events {
            room.gather(&event, 0, &mut bundle, None);
        }
        room.publish(bundle, None, None)
    }

    /// What the members of another node show in `room`. Its own members will be told of what is new in it.
    ///
    /// Statements may come in any order and more than once. In a room without any presence that nothing is
    /// shown leaves no trace; older news of the same node would then be believed if they came after it.
    pub fn apply_presence(
        &self,
        room: &Arc<Room>,
        node: NodeId,
        statement: impl Into<PresenceUpdate>,
    ) -> ApplyOutcome {
        room.apply_presence(node, statement.into(), self)
    }

    /// Another node is gone: whatever it showed leaves all rooms. Should it be heard again, it has to begin
    /// with the whole.
    pub fn remove_node(&self, node: NodeId) {
        for room in self.rooms() {
            room.forget(node, self);
        }
    }

    /// As [`remove_node`](Self::remove_node), in one room.
    pub fn remove_node_from(&self, room: &Arc<Room>, node: NodeId) {
        room.forget(node, self);
    }

    /// Everything that this node's members show in the room, also if it has none there: newer than all that
    /// was said of the room before, and older than all that will be said when it opens again.
    pub fn local_snapshot(&self, key: &RoomKey) -> Snapshot {
        let shard = self.shard(key).lock();
        if let Some(room) = shard.get(key).cloned() {
            drop(shard);
            return room.local_snapshot();
        }
        // Under the shard's lock, without which the room does not open.
        Snapshot::gone(self.departures.as_ref().map_or(0, |departures| departures.newest_epoch()))
    }
}
