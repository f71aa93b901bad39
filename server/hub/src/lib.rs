//! Rooms in one process: who is where, what they are told, and in what order.
//!
//! No await, no JSON, no sockets, and no protocol: an event encodes itself for each dialect, the hub
//! only moves the resulting frames. Rooms are plain data behind short locks; nothing in here waits.
//!
//! Rooms may reach over several nodes. Then each node has a hub, and a link between them that passes on what
//! departs from one and delivers it to the others: to a hub they are one more dialect. A hub that is alone
//! pays nothing for it.
//!
//! Lock order is shard → room → outbox or departures. These two are leaves, and no callback runs under any of
//! them: wakers and drops that might call back are kept until the locks are released.

mod bundle;
mod burst;
mod frame;
mod hub;
mod member;
mod membership;
mod outbox;
mod pending_joins;
mod presence;
mod relay_queue;
mod replication;
mod room;
mod topic;
mod wakers;

pub use bundle::Bundle;
pub use burst::Burst;
pub use frame::{Dialect, Encode, Frame, FrameCache};
pub use hub::{Hub, Population};
pub use member::Member;
pub use membership::Membership;
pub use outbox::{Bounds, Disconnect, Offer, Outbox, Turn};
pub use presence::{PresenceChange, PresenceEntry, StateRequest};
pub use relay_queue::RelayEvent;
pub use replication::{ApplyOutcome, Delta, NodeId, Position, PresenceUpdate, Snapshot};
pub use room::{Audience, Delivery, Missed, Room};
pub use topic::{Privacy, RoomKey, Space};
