//! Keys and channels in Redis. All names begin with `bus.prefix`.
//!
//! | name | content |
//! |---|---|
//! | `:room:<room>` | channel: messages in a room |
//! | `:nodes` | channel: messages to all nodes |
//! | `:accounts` | set: all incarnations, live or not |
//! | `:lease:<incarnation>` | string that expires when its node does not renew it |
//! | `:rooms:<incarnation>` | set: the rooms in which the incarnation has a stored snapshot |
//! | `:shown:<incarnation>:<room>` | hash: the stored snapshot, entries by id, and its position |
//! | `:history:<room>` | stream: the messages that are kept of the room |
//! | `:present:<room>` | set: the incarnations that have a stored snapshot of the room |
//!
//! An incarnation is one connection of one node to the bus, and is never used again. So one without a lease has expired
//! for good: readers ignore it, and any node may remove it at any time. A room begins with its tenant, whose name has no
//! colon, and ends with the topic, so that no topic can produce the name of another tenant's room.
//!
//! Every transaction is about one room, and names that contain a room are made only here, so that a hash tag per room
//! (`{…}`, one slot of a Redis Cluster) is a change of this file. Names have none as long as nodes of protocol version 1,
//! which share them, are supported: see `docs/bus-protocol.md`.

use std::fmt;
use std::sync::Arc;

use hub::NodeId;

use crate::bus::Channel;

/// The field of a stored snapshot that holds its position. Those of its entries are numbers.
pub(super) const POSITION: &str = "position";

/// The field that a snapshot has which was stored as a whole.
pub(super) const BASE: &str = "base";

/// The field that a snapshot has which was updated since. Without [`BASE`] it was deleted or evicted in between. Nodes of
/// version 1.0 write neither.
pub(super) const UPDATED: &str = "updated";

/// One connection of one node to the bus, as keys spell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Incarnation {
    pub(super) node: NodeId,
    pub(super) number: u64,
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.node, self.number)
    }
}

impl Incarnation {
    /// The inverse of [`Display`](fmt::Display).
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let (node, number) = std::str::from_utf8(text).ok()?.split_once('.')?;
        let node = NodeId::new(u64::from_str_radix(node, 16).ok()?);
        Some(Self { node, number: number.parse().ok()? })
    }
}

/// Names under one prefix.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    prefix: Arc<str>,
}

impl Keys {
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.into() }
    }

    pub(super) fn channel(&self, channel: &Channel) -> String {
        match channel {
            Channel::Room(room) => self.room_channel(room),
            Channel::Nodes => self.nodes_channel(),
        }
    }

    pub(super) fn room_channel(&self, room: &str) -> String {
        format!("{}:room:{room}", self.prefix)
    }

    pub(super) fn nodes_channel(&self) -> String {
        format!("{}:nodes", self.prefix)
    }

    /// The channel of this name, if it is one of ours.
    pub(super) fn channel_of(&self, name: &[u8]) -> Option<Channel> {
        let name = std::str::from_utf8(name).ok()?.strip_prefix(&*self.prefix)?;
        match name.strip_prefix(":room:") {
            Some(room) => Some(Channel::Room(room.into())),
            None => (name == ":nodes").then_some(Channel::Nodes),
        }
    }

    pub(super) fn incarnations(&self) -> String {
        format!("{}:accounts", self.prefix)
    }

    pub(super) fn lease(&self, incarnation: Incarnation) -> String {
        format!("{}:lease:{incarnation}", self.prefix)
    }

    pub(super) fn rooms(&self, incarnation: Incarnation) -> String {
        format!("{}:rooms:{incarnation}", self.prefix)
    }

    pub(super) fn snapshot(&self, room: &str, incarnation: Incarnation) -> String {
        format!("{}:shown:{incarnation}:{room}", self.prefix)
    }

    pub(super) fn history(&self, room: &str) -> String {
        format!("{}:history:{room}", self.prefix)
    }

    pub(super) fn present(&self, room: &str) -> String {
        format!("{}:present:{room}", self.prefix)
    }
}
