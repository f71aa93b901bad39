//! What happens in the rooms of a hub, as observers receive it.

use std::sync::Arc;

use crate::frame::Frame;
use crate::history::HistoryBounds;
use crate::marks::Mark;
use crate::replication::Snapshot;
use crate::room::Room;
use crate::topic::RoomKey;

/// Something that happened in a room on this node. What other nodes have published is not reported: they
/// report it to their own observers.
#[derive(Debug)]
pub enum RoomEvent {
    /// The first member has joined. With a relay, joins are pending until they are
    /// [confirmed](crate::Hub::confirm_joins).
    RoomOpened(Arc<Room>),
    /// A member has joined, the first one included.
    MemberJoined(Arc<RoomKey>),
    /// Messages were published to all members of the room.
    Published {
        /// The room.
        key: Arc<RoomKey>,
        /// The messages in [`Dialect::RELAY`](crate::Dialect::RELAY), concatenated.
        frame: Frame,
        /// The number of messages.
        messages: u32,
        /// The bounds within which the room keeps those of them that it keeps.
        kept: Option<HistoryBounds>,
    },
    /// The members track something else than before, after one or more changes. The relay takes what has
    /// changed with [`Room::take_delta`].
    PresenceChanged(Arc<Room>),
    /// A member has left, the last one included.
    MemberLeft(Arc<RoomKey>),
    /// The last member has left.
    RoomClosed {
        /// The room.
        key: Arc<RoomKey>,
        /// The last presence update to publish to other nodes, if there was ever one.
        final_snapshot: Option<Snapshot>,
    },
}

impl RoomEvent {
    /// The tenant that owns the room.
    pub(crate) fn tenant(&self) -> &Arc<str> {
        match self {
            Self::RoomOpened(room) | Self::PresenceChanged(room) => &room.key().tenant,
            Self::MemberJoined(key) | Self::MemberLeft(key) => &key.tenant,
            Self::Published { key, .. } | Self::RoomClosed { key, .. } => &key.tenant,
        }
    }

    /// The bytes it counts against the bounds of a queue. `None` for an event that is never dropped, because
    /// a queue contains it at most once per room.
    pub(crate) fn bounded_bytes(&self) -> Option<usize> {
        match self {
            Self::Published { frame, .. } => Some(frame.len()),
            Self::MemberJoined(_) | Self::MemberLeft(_) => Some(0),
            Self::RoomOpened(_) | Self::PresenceChanged(_) | Self::RoomClosed { .. } => None,
        }
    }

    /// What dropping it adds to the count of dropped events.
    pub(crate) fn count(&self) -> u64 {
        match self {
            Self::Published { messages, .. } => u64::from(*messages),
            _ => 1,
        }
    }

    /// Whether it is about a room that has closed since it was queued for `observer`.
    pub(crate) fn is_obsolete(&self, observer: u32) -> bool {
        match self {
            Self::RoomOpened(room) | Self::PresenceChanged(room) => room.marks.has(observer, Mark::Closed),
            _ => false,
        }
    }
}
