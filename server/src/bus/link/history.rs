//! What the bus keeps of the messages of rooms, as the rest of the node reads it, and what may be missing there.
//!
//! A message is kept by the command before the one that publishes it, over the same connection. So a node that has
//! subscribed to a room either receives a message or finds it. Messages that this node could not publish are not kept
//! either: the next entry that it sends, to whichever room, says when that was last so.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use futures_util::FutureExt;
use hub::{Dialect, Encode, Frame, Hub, RoomKey};
use wire::relay::{self, MessageBody};

use super::{ClusterLink, room_table};
use crate::bus::{BusFuture, EntryPosition, KeptEntry};

/// Messages of one node that follow each other in a room.
#[derive(Debug)]
pub struct KeptFrames {
    /// Their place in the room.
    pub position: EntryPosition,
    /// When their node had last lost messages for other nodes, in milliseconds since 1970; 0 for never.
    pub lost_at: u64,
    /// The messages in [`Dialect::RELAY`], the oldest first. None if this node cannot decode them.
    pub frames: Vec<Frame>,
}

/// When this node has last lost messages for other nodes.
#[derive(Debug, Default)]
pub(super) struct Losses {
    /// In milliseconds since 1970; 0 for never.
    at: AtomicU64,
    /// The messages that the hub had not relayed when this was last looked at.
    unrelayed: AtomicU64,
}

impl Losses {
    /// Messages are lost now.
    pub(super) fn note(&self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.at.fetch_max(u64::try_from(now.as_millis()).unwrap_or_default(), Ordering::Relaxed);
    }

    /// When messages were last lost, those included that the hub has not relayed.
    pub(super) fn last(&self, hub: &Hub) -> u64 {
        let unrelayed = hub.relay_dropped();
        if self.unrelayed.swap(unrelayed, Ordering::Relaxed) != unrelayed {
            self.note();
        }
        self.at.load(Ordering::Relaxed)
    }
}

impl ClusterLink {
    /// Reads what the bus keeps of a room, the newest messages first: `count` entries at most, of those before a position if
    /// one is given. `None` on a standalone node.
    pub fn kept(
        &self,
        room: &RoomKey,
        before: Option<EntryPosition>,
        count: usize,
    ) -> Option<BusFuture<Vec<KeptFrames>>> {
        let entries = self.0.as_ref()?.bus.kept(&room_table::name(room), before, count);
        let decode = |entries: Vec<KeptEntry>| entries.into_iter().map(decode).collect();
        Some(async move { entries.await.map(decode) }.boxed())
    }

    /// When this node has last lost messages for other nodes, in milliseconds since 1970; 0 for never.
    pub fn lost_at(&self, hub: &Hub) -> u64 {
        self.0.as_ref().map_or(0, |shared| shared.losses.last(hub))
    }
}

fn decode(KeptEntry { position, message, lost_at }: KeptEntry) -> KeptFrames {
    let events = match relay::decode(&message).map(|message| message.body) {
        Ok(MessageBody::Events(events) | MessageBody::NumberedEvents(_, events)) => Some(events),
        _other_version => None,
    };
    let frames = events.into_iter().flatten().filter_map(|event| event.encode("", Dialect::RELAY));
    KeptFrames { position, lost_at, frames: frames.collect() }
}
