//! What stands in Redis, and under which names. All begin with `bus.prefix`.
//!
//! | name | holds |
//! |---|---|
//! | `:room:<room>` | channel: what is said in a room |
//! | `:nodes` | channel: what is said to all nodes |
//! | `:accounts` | set: the accounts there are, alive or not |
//! | `:lease:<account>` | string that goes by itself when its node has not renewed it |
//! | `:rooms:<account>` | set: the rooms in which the account shows something |
//! | `:shown:<account>:<room>` | hash: what it shows there, and as of when |
//! | `:present:<room>` | set: the accounts that show something there |
//!
//! An account is one cable of one node, and no account is ever used again. So one without a lease is dead for
//! good: readers pass it over, and whoever finds it removes it, however late, without harm to anybody.
//! A room begins with its tenant, whose name has no colon, and ends with the topic, so that no topic can
//! spell the name of another tenant's room.

use std::fmt;
use std::sync::Arc;

use hub::NodeId;

use crate::bus::{Channel, RoomName};

/// Beside entries, whose fields are numbers, the hash of what is shown has this one.
pub(super) const POSITION: &str = "position";

/// One cable of one node, as it is spelled in keys.
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
    /// The account that is spelled like this.
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

    pub(super) fn accounts(&self) -> String {
        format!("{}:accounts", self.prefix)
    }

    pub(super) fn lease(&self, account: Incarnation) -> String {
        format!("{}:lease:{account}", self.prefix)
    }

    pub(super) fn rooms(&self, account: Incarnation) -> String {
        format!("{}:rooms:{account}", self.prefix)
    }

    pub(super) fn shown(&self, account: Incarnation, room: &str) -> String {
        format!("{}:shown:{account}:{room}", self.prefix)
    }

    pub(super) fn present(&self, room: &RoomName) -> String {
        format!("{}:present:{room}", self.prefix)
    }
}
