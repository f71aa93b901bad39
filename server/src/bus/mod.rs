//! The bus: how nodes exchange messages and presence.
//!
//! It has channels that carry messages, a stored snapshot of each node's presence in each room, and a lease per node
//! that shows which nodes are alive. There are two implementations of one trait: [`Redis`], and [`Broker`] for several
//! nodes in one process. Both transport names and bytes, without rooms or presence; `link` decides what is published
//! and when. `docs/bus-protocol.md` describes what goes over the wire.
//!
//! A node has one [`BusConnection`] at a time. When a TCP connection that carries messages is lost, the bus connection
//! is given up as a whole. The next one begins a new *incarnation* of the node, whose stored snapshots are separate, so
//! removing those of the previous incarnation cannot affect it. Only the TCP connection that reads snapshots is
//! replaced on its own, because no message is lost with it.

mod inbox;
mod kept;
mod large_rooms;
mod link;
mod local;
mod redis;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use hub::NodeId;

pub use inbox::{AffectedRooms, Arrival, Inbox, InboxClosed, InboxOverflow, ReceivedMessage, TenantRooms};
pub use kept::{EntryPosition, EntryToKeep, KeptEntry};
pub use large_rooms::{LargeRead, LargeRooms};
pub use link::{
    ClusterLink, Connectivity, DocumentPeers, KeptFrames, LinkHost, LinkTask, OperatorCommand,
    PeersUnreachable, ResyncProgress,
};
pub use local::Broker;
pub use redis::{Redis, RedisConfigError};

use crate::backoff::Backoff;
use crate::new_credentials::Trial;

/// The first and the longest wait before a server is connected to again.
const RETRY: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(5));

/// The name of a room, the same on all nodes: tenant, space, privacy and topic, in this order.
pub type RoomName = Arc<str>;

/// A destination of messages.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Channel {
    /// Received by nodes that have subscribed to the room.
    Room(RoomName),
    /// Received by every connected node.
    Nodes,
}

/// Something to send.
#[derive(Debug, Clone)]
pub enum Command {
    /// Publishes a message to the present subscribers of a channel.
    Publish {
        /// The destination.
        channel: Channel,
        /// The content.
        message: Bytes,
    },
    /// Appends an entry to those that are kept of a room, and removes the oldest ones beyond the bounds. What is kept has no
    /// gaps: an entry larger than the bounds allow removes all of them. To be sent before the message itself is published,
    /// so that a node finds what it was not subscribed for.
    Keep {
        /// The room.
        room: RoomName,
        /// The entry.
        entry: EntryToKeep,
    },
    /// Changes this node's stored snapshot of a room and publishes a message there, atomically: a node that subscribes
    /// first and then reads the snapshot misses nothing.
    Store {
        /// The room.
        room: RoomName,
        /// The change of the stored snapshot.
        change: SnapshotChange,
        /// The same change for nodes that have seen the snapshot before.
        message: Bytes,
    },
}

impl Command {
    /// Bytes of content, without names.
    pub fn len(&self) -> usize {
        match self {
            Self::Publish { message, .. } => message.len(),
            Self::Keep { entry, .. } => entry.message.len(),
            Self::Store { change, message, .. } => message.len() + change.len(),
        }
    }

    /// Whether there is no content.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A change of this node's stored snapshot of one room.
#[derive(Debug, Clone)]
pub enum SnapshotChange {
    /// Adds, replaces and removes entries of an existing snapshot. Rejected if it was deleted or evicted meanwhile, but the
    /// message is published.
    Update {
        /// The position of the snapshot after the change; opaque.
        position: Bytes,
        /// Entries to add or replace.
        set: Vec<(u64, Bytes)>,
        /// Entries to remove, if they exist.
        removed: Vec<u64>,
    },
    /// Replaces the whole snapshot.
    Replace(StoredSnapshot),
    /// Deletes the snapshot.
    Remove,
}

impl SnapshotChange {
    /// Bytes of the entries in it.
    fn len(&self) -> usize {
        let entries = match self {
            Self::Update { set, .. } => set,
            Self::Replace(snapshot) => &snapshot.entries,
            Self::Remove => return 0,
        };
        entries.iter().map(|(_, entry)| entry.len()).sum()
    }
}

/// One node's presence in a room, as the bus stores it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSnapshot {
    /// The position it is current at; opaque.
    pub position: Bytes,
    /// The entries by id, in any order.
    pub entries: Vec<(u64, Bytes)>,
}

/// The result of renewing a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseRenewal {
    /// Nodes with a valid lease, this one included if it has one. Empty if they may not be read.
    pub alive: Vec<NodeId>,
    /// Whether this incarnation has, or had, a lease. Until then nothing can be stored.
    pub registered: bool,
    /// Why a command that presence needs is rejected now, although messages pass.
    pub rejected: Option<String>,
    /// Keys of another type that were deleted. What belongs there is stored again by now, or with the next refresh.
    pub wrong_types: usize,
}

/// A command that was rejected: a change was not stored in full, and its message may not have been published. The snapshot
/// has to be replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedCommand {
    /// The room that it is about.
    pub room: RoomName,
    /// The reason.
    pub rejection: BusRejection,
}

/// Why the bus rejects something, and what that concerns. The texts are for the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BusRejection {
    /// The stored snapshot was deleted or evicted.
    #[error(
        "a key that begins with `bus.prefix` was deleted or evicted; its `maxmemory-policy` should be noeviction"
    )]
    Missing,
    /// A key of this room is of another type. The bus has deleted it if it may, or does so when the room is stored again.
    #[error("a key that begins with `bus.prefix` is of another type; nothing else may use that prefix")]
    WrongType,
    /// An entry with so many messages is not kept. Of no consequence for the snapshot.
    #[error("{reason}")]
    NotKept {
        /// The messages of clients in it.
        messages: u32,
        /// The reason.
        reason: String,
    },
    /// This room alone, such as a permission: other rooms go on, and a later attempt may succeed.
    #[error("{0}")]
    Room(String),
    /// Whatever presence needs, such as memory. The next renewal without a rejection shows that it has passed.
    #[error("{0}")]
    Server(String),
}

/// The snapshots of the other live nodes in one room, or why they cannot be read. A node without a snapshot has one that was deleted
/// or evicted, or that it has just removed: the presence of the node is kept until the next read.
pub type StoredSnapshots = Result<Vec<(NodeId, Option<StoredSnapshot>)>, BusRejection>;

/// Why a bus connection cannot be opened, or is lost.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BusError {
    /// A response is due, and nothing has arrived for `bus.timeout`.
    #[error("there was no answer within `bus.timeout`")]
    TimedOut,
    /// The connection was closed, perhaps a while ago.
    #[error("the connection was closed")]
    Closed,
    /// No connection could be opened, for this reason.
    #[error("{0}")]
    Unreachable(String),
    /// The lease was not renewed within `bus.lease`, and the other nodes have removed this incarnation.
    #[error("the lease of this node has run out")]
    LeaseExpired,
    /// The server cannot be used, for this reason.
    #[error("{0}")]
    Unusable(String),
    /// One request is rejected. Others may be accepted.
    #[error("{0}")]
    Rejected(BusRejection),
}

/// What was read of the first of some rooms.
#[derive(Debug)]
pub struct ReadRooms {
    /// The snapshots, by room.
    pub rooms: Vec<StoredSnapshots>,
    /// What a large room holds until these are dropped.
    pub large: Option<LargeRead>,
}

/// Most rooms or commands in one call: other nodes share the server behind the connection.
pub const BATCH_MAX: usize = 512;

/// Bytes of snapshots read or stored together, unless a single room has more.
pub const BATCH_BYTES: usize = 256 * 1024;

/// Most requests of one node without a response.
pub const PENDING_REQUESTS_MAX: usize = 1_024;

/// The response to a request that has been queued already. Dropping it may cancel the request.
pub type BusFuture<T> = BoxFuture<'static, Result<T, BusError>>;

/// What connects nodes.
pub trait Bus: Send + Sync + 'static {
    /// The kind and address of the server, for log lines. Without credentials.
    fn name(&self) -> String;

    /// Has the user and the password of these settings tried, before they are used. Connections that exist stay. All else of the
    /// settings is that of the start. Returns whether they are others than before; a bus in this process has none.
    fn offer_credentials(&self, _settings: &settings::Bus) -> bool {
        false
    }

    /// Tries the credentials that are offered, for `bus.timeout` at the longest. If the server accepts them, it is connected to with
    /// them from then on. Returns what was not known before.
    fn try_credentials(&self) -> BoxFuture<'static, Option<Trial>> {
        ready(None).boxed()
    }

    /// Whether the server refuses the credentials of the newest settings, so that those before stay in use.
    fn refuses_credentials(&self) -> bool {
        false
    }

    /// Opens a connection for `node`, with a lease and no stored snapshots. Snapshots of earlier incarnations of the
    /// node become invalid; the node is alive throughout. While nothing can be stored the incarnation has no lease:
    /// messages pass, changes are rejected, and [`renew`](BusConnection::renew) tries to take one.
    ///
    /// # Errors
    /// After `bus.timeout` at the latest; may be retried.
    fn connect(&self, node: NodeId) -> BusFuture<OpenedConnection>;

    /// Reads what is kept of a room, the newest entry first: at most `count` entries, of those before a position if one is
    /// given. What takes effect on the connections of all nodes before the call is found. Does not need a connection of the
    /// node; may be called by any number of tasks at once.
    fn kept(&self, room: &RoomName, before: Option<EntryPosition>, count: usize)
    -> BusFuture<Vec<KeptEntry>>;
}

/// A connection, and the inbox of the messages it receives.
pub type OpenedConnection = (Box<dyn BusConnection>, Arc<Inbox>);

/// One node's connection to the bus. Commands take effect in the order of the calls of [`send`](Self::send);
/// subscriptions in the order of [`subscribe`](Self::subscribe) and [`unsubscribe`](Self::unsubscribe);
/// [`snapshots`](Self::snapshots) are read after the subscriptions that were requested before. No other order is
/// promised. Messages of one node for the rooms of one tenant arrive in the order in which it sent them, and one to all
/// nodes after everything that it sent before.
///
/// A method queues its request and returns; the future waits for the response. An error means that the connection is
/// lost and that it is unknown which pending requests took effect. No list is longer than [`BATCH_MAX`], and at most
/// [`PENDING_REQUESTS_MAX`] requests are pending.
pub trait BusConnection: Send {
    /// Subscribes to the rooms; the response comes when every subscription is in effect, and has those that are rejected.
    /// Idempotent.
    fn subscribe(&mut self, rooms: &[RoomName]) -> BusFuture<Vec<RejectedCommand>>;

    /// Unsubscribes from the rooms. Messages that have arrived before may still be in the inbox.
    fn unsubscribe(&mut self, rooms: &[RoomName]) -> BusFuture<()>;

    /// Executes `commands`, in order. This node receives its own messages on channels it has subscribed to. Commands
    /// about rooms may be rejected, each without consequence for the others.
    fn send(&mut self, commands: Vec<Command>) -> BusFuture<Vec<RejectedCommand>>;

    /// Extends the lifetime of this node's snapshots of these rooms, all of which have one. Those that were deleted or
    /// evicted are rejected as missing. To be called for each room more often than every ten leases.
    fn refresh(&mut self, rooms: &[RoomName]) -> BusFuture<Vec<RejectedCommand>>;

    /// Reads the snapshots of all other live nodes in the first of these rooms: as many as fit into [`BATCH_BYTES`], and
    /// one at least. A change in a room that was subscribed to before is in its snapshot, or arrives as a message, or
    /// both, in any order. If they are read over a connection of their own and that is lost, it is opened again while
    /// this waits. What does not fit into `BATCH_BYTES` begins as one of the `large` rooms.
    fn snapshots(&mut self, rooms: &[RoomName], large: LargeRooms) -> BusFuture<ReadRooms>;

    /// Sends something over each TCP connection and waits for the response, because proxies and Redis itself may close
    /// idle connections. To be called each `bus.keep_alive`.
    fn check(&mut self) -> BusFuture<()>;

    /// Renews the lease, removes what expired incarnations have stored, and returns the live nodes. A node with a lease
    /// is among them from before it could store anything until it leaves or its lease expires.
    fn renew(&mut self) -> BusFuture<LeaseRenewal>;

    /// Gives up the lease and removes everything this node has stored. The last request.
    fn leave(&mut self) -> BusFuture<()>;
}
