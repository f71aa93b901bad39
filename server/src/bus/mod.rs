//! How nodes hear each other: channels that carry messages, a copy of what each node shows, and a lease that
//! tells who is alive.
//!
//! Two implementations stand behind one trait: [`Redis`], and [`Broker`] for several nodes of one process.
//! Both know names and bytes, and nothing of rooms. What is said over the bus, and when, is the link's.
//!
//! A cable is what connects one node to the bus. When a connection that carries messages is lost, the cable is lost as a
//! whole, and a new one begins a new account of what the node shows: removing what the old account has left cannot
//! affect the new one. Only the connection over which copies are read is replaced alone, as no message is lost with it.

mod backoff;
mod inbox;
mod link;
mod local;
mod redis;

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use hub::NodeId;

pub use inbox::{Dropped, Heard, Inbox, Lost, Missing};
pub use link::{ClusterLink, Connectivity, Host, LinkTask, OperatorCommand, PeersUnreachable};
pub use local::Broker;
pub use redis::{Redis, Unusable};

/// The name of a room, as it is known to all nodes. It spells tenant, space, privacy and topic, in this order.
pub type RoomName = Arc<str>;

/// Where messages are published.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Channel {
    /// Heard by nodes that have subscribed to the room.
    Room(RoomName),
    /// Heard by every node as long as its cable holds.
    Nodes,
}

/// Something for other nodes.
#[derive(Debug, Clone)]
pub enum Command {
    /// Tells `message` to whoever listens to `channel` at this moment.
    Publish {
        /// Where.
        channel: Channel,
        /// What.
        message: Bytes,
    },
    /// Changes the copy of what this node shows in a room and tells `message` there, both at once: whoever
    /// subscribes first and looks at the copy then misses nothing.
    Show {
        /// Where.
        room: RoomName,
        /// What the copy becomes.
        change: Change,
        /// What those are told who have seen it before.
        message: Bytes,
    },
}

impl Command {
    /// Bytes it takes, but for names.
    pub fn len(&self) -> usize {
        match self {
            Self::Publish { message, .. } => message.len(),
            Self::Show { change, message, .. } => message.len() + change.len(),
        }
    }

    /// Whether it takes none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What becomes of the copy of what this node shows in a room.
#[derive(Debug, Clone)]
pub enum Change {
    /// Some entries come or are replaced, others go.
    Update {
        /// As of when the copy is; opaque.
        position: Bytes,
        /// Entries that are shown now.
        set: Vec<(u64, Bytes)>,
        /// Entries that are not shown any more, if they were.
        removed: Vec<u64>,
    },
    /// It is exactly this.
    Replace(Copy),
    /// There is none.
    Remove,
}

impl Change {
    fn len(&self) -> usize {
        let entries = match self {
            Self::Update { set, .. } => set,
            Self::Replace(copy) => &copy.entries,
            Self::Remove => return 0,
        };
        entries.iter().map(|(_, entry)| entry.len()).sum()
    }
}

/// What one node shows in a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    /// As of when; opaque.
    pub position: Bytes,
    /// The entries by their numbers, in any order.
    pub entries: Vec<(u64, Bytes)>,
}

/// What became of renewing a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renewal {
    /// Nodes whose lease holds. With this one, if it has one; without any, if nobody may ask.
    pub alive: Vec<NodeId>,
    /// Whether this cable has, or had, a lease. Until then nothing can be shown over it.
    pub registered: bool,
    /// Why something that presence needs is refused now, although messages pass.
    pub refused: Option<String>,
}

/// A change that was refused: nothing of it took effect, and its message was not told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Where it was to be shown.
    pub room: RoomName,
    /// Why not.
    pub why: String,
}

/// What nodes show in one room, or why that cannot be read.
pub type Shown = Result<Vec<(NodeId, Copy)>, String>;

/// Why a cable cannot be had, or is lost.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// No answer came within `bus.timeout`.
    #[error("there was no answer within `bus.timeout`")]
    TimedOut,
    /// The connection was closed, perhaps a while ago.
    #[error("the connection was closed")]
    Lost,
    /// There is no connection, for this reason.
    #[error("{0}")]
    Unreachable(String),
    /// This node was not heard of for longer than `bus.lease`, and the others have taken it for dead.
    #[error("the lease of this node has run out")]
    Expired,
    /// What is between us and the others cannot be used, for this reason.
    #[error("{0}")]
    Refused(String),
    /// One request is refused, for this reason. Others may pass.
    #[error("{0}")]
    Denied(String),
}

/// Rooms or commands in one call: others share the cable and what is behind it.
pub const BATCH_MAX: usize = 512;

/// Answers that one node may wait for at once.
pub const UNANSWERED_MAX: usize = 1_024;

/// The answer to something that has been handed over already. Dropping it may take that back.
pub type Answer<T> = BoxFuture<'static, Result<T, BusError>>;

/// The others.
pub trait Bus: Send + Sync + 'static {
    /// What and where it is, as log lines name it. Without credentials.
    fn name(&self) -> String;

    /// A cable for `node`, with a lease and an empty account of what it shows. What was shown over an earlier
    /// cable of the same node counts no longer; the node is alive all the while. While nothing can be stored the
    /// cable has no lease: messages pass, changes are refused, and [`renew`](Cable::renew) tries for one.
    ///
    /// # Errors
    /// After `bus.timeout` at the latest; may be tried again.
    fn connect(&self, node: NodeId) -> Answer<Connected>;
}

/// A cable, and where it puts what comes over it.
pub type Connected = (Box<dyn Cable>, Arc<Inbox>);

/// One connection of one node, in two directions. What is said takes effect in the order in which it is handed
/// over ([`send`](Self::send)); so does what is listened to ([`subscribe`](Self::subscribe),
/// [`unsubscribe`](Self::unsubscribe)), and [`copies`](Self::copies) are looked at after the subscriptions that
/// were asked for before; beyond that nothing is promised. What arrives of one node, in whatever channels,
/// arrives in its order.
///
/// A method hands over at once and does not wait for earlier answers; the future it returns waits for its own,
/// and at most `bus.timeout`. Any error means that the cable is lost, and that it is unknown what took effect.
/// No list is longer than [`BATCH_MAX`], and no more than [`UNANSWERED_MAX`] answers are open.
pub trait Cable: Send {
    /// Hears the rooms from now on; the answer comes when every subscription stands. Again: nothing happens.
    fn subscribe(&mut self, rooms: &[RoomName]) -> Answer<()>;

    /// Hears the rooms no longer. What has arrived before may still be in the inbox.
    fn unsubscribe(&mut self, rooms: &[RoomName]) -> Answer<()>;

    /// Carries out `commands`, in order. This node hears what it publishes where it listens itself. Changes may be
    /// refused, each as a whole and without consequence for the others.
    fn send(&mut self, commands: Vec<Command>) -> Answer<Vec<Refusal>>;

    /// What the nodes that are alive show in each of these rooms, this one included. What is told in a room
    /// that was subscribed to before is in its copy, or arrives, or both, in whichever order. Copies may be large
    /// and take several turns, each at most `bus.timeout`. They may be read over a connection of their own; if
    /// only that one is lost it is opened again, and this waits for it: the cable holds, and nothing is missed.
    fn copies(&mut self, rooms: &[RoomName]) -> Answer<Vec<Shown>>;

    /// Makes sure that each connection behind the cable carries traffic, whatever else is said over it, and is
    /// answered: proxies and Redis itself may close what is idle. To be called each `bus.keep_alive`.
    fn check(&mut self) -> Answer<()>;

    /// Renews the lease, removes what the dead have left, and tells which nodes are alive. A node with a lease is
    /// among them from before it could show anything until it leaves or its lease runs out.
    fn renew(&mut self) -> Answer<Renewal>;

    /// Gives up the lease and removes everything this node has shown. The last thing to be called.
    fn leave(&mut self) -> Answer<()>;
}
