//! Rooms in one process: their members, what is delivered to them, and in which order.
//!
//! No await, no JSON, no sockets, and no protocol: an event encodes itself for each dialect, and the hub
//! moves the resulting frames. Rooms are plain data behind short locks; nothing in here waits.
//!
//! What happens in the rooms is offered to observers, which are chosen when the hub is built. What no
//! observer is interested in costs nothing. Rooms may be shared by several nodes: then each node has a hub
//! whose relay, an observer, is consumed by a link, which publishes to the other nodes and delivers what they
//! publish.
//!
//! Lock order is shard → room → outbox, observer, history or list of due rooms. These four are leaves, and no callback runs under any
//! lock: wakers, and drops that might call back, are kept until the locks are released. The exception are the wakers of
//! tasks that wait for memory (`memory/waits.rs`), which schedule a task and run nothing of it.

mod bounds;
mod bundle;
mod burst;
mod due_rooms;
mod fair_queue;
mod frame;
mod group_counts;
mod history;
mod hub;
mod marks;
mod member;
mod membership;
mod memory;
mod observer;
mod outbox;
mod party;
mod pending_joins;
mod presence;
mod presence_entry;
mod recipient;
mod relay;
mod replaying;
mod replication;
mod room;
mod room_event;
mod shares;
mod topic;
mod wakers;
mod worker;

pub use bounds::Bounds;
pub use bundle::Bundle;
pub use burst::Burst;
pub use due_rooms::NextDue;
pub use fair_queue::{FairQueue, MESSAGE_BYTES, Quantum};
pub use frame::{Dialect, Encode, EncodeByGroup, Frame, FrameCache, Group};
pub use history::{History, HistoryBounds, HistoryCounts, HistoryQuery, HistoryRead, Keep, KeptMessage};
pub use hub::{Hub, HubBuilder, Population};
pub use member::{Member, Receives};
pub use membership::{JoinConfirmation, Membership};
pub use memory::{MemoryBudget, MemoryCharge, MemoryKind, MemoryWait, TenantMemory, UNCHARGED_BYTES};
pub use observer::{Interests, Observer};
pub use outbox::{Backlog, Disconnect, NextAction, Offer, Outbox, ReplaceKey};
pub use party::{Party, Payer};
pub use presence::{DiffEntries, EntryRefusal, PresenceChange, StatePart, StateRequest};
pub use presence_entry::PresenceEntry;
pub use recipient::{ConnectionId, Recipient};
pub use replaying::{Repeats, Replayed};
pub use replication::{ApplyOutcome, Delta, NodeId, Position, PresenceUpdate, Snapshot};
pub use room::{Audience, Delivery, Missed, Room, RoomMember};
pub use room_event::RoomEvent;
pub use shares::{HALF, Shares, share};
pub use topic::{Privacy, RoomKey, Space};
pub use worker::{Begun, TimeSlice, Worker};
