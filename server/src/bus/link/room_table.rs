//! The rooms this node has subscribed to, and their names on the bus.
//!
//! A room is subscribed to from its first member on. The subscription lasts a little longer than its last member, so that
//! a client that reconnects finds it in place.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hub::{Hub, NodeId, Privacy, Room, RoomKey, Space};

use crate::bus::RoomName;

/// How long a subscription is extended while its snapshots are being read.
const EXTENSION: Duration = Duration::from_millis(100);

/// The name of a room on the bus. The topic comes last, because it may contain anything.
pub(super) fn name(key: &RoomKey) -> RoomName {
    let space = match key.space {
        Space::Phoenix => "phoenix",
        Space::Rooms => "rooms",
        Space::Document => "document",
    };
    let privacy = match key.privacy {
        Privacy::Public => "public",
        Privacy::Private => "private",
    };
    format!("{}:{space}:{privacy}:{}", key.tenant, key.topic).into()
}

/// The tenant in the name of a room.
pub(super) fn tenant(name: &str) -> &str {
    name.split_once(':').map_or(name, |(tenant, _)| tenant)
}

/// The room with this name.
pub(super) fn key(name: &str) -> Option<RoomKey> {
    let mut parts = name.splitn(4, ':');
    let tenant = parts.next()?.into();
    let space = match parts.next()? {
        "phoenix" => Space::Phoenix,
        "rooms" => Space::Rooms,
        "document" => Space::Document,
        _ => return None,
    };
    let privacy = match parts.next()? {
        "public" => Privacy::Public,
        "private" => Privacy::Private,
        _ => return None,
    };
    Some(RoomKey { tenant, space, privacy, topic: parts.next()?.into() })
}

/// The rooms subscribed to over one connection.
#[derive(Debug, Default)]
pub(super) struct RoomTable {
    subscriptions: HashMap<RoomName, Subscription>,
    /// Rooms whose joins wait for a confirmation, in the order of their deadlines.
    opening: VecDeque<(Instant, Arc<Room>)>,
    /// Rooms without members, in the order in which their subscriptions end.
    lingering: VecDeque<(Instant, RoomName)>,
}

/// A room that is subscribed to.
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) key: Arc<RoomKey>,
    /// When the subscription ends, if the room has no members.
    until: Option<Instant>,
    read: ReadState,
    /// Nodes that had presence here when the snapshots were requested, and of which nothing has arrived since. Those
    /// without a snapshot have no presence any more.
    silent: HashSet<NodeId>,
}

/// Whether its snapshots are being read. One request at a time: of two responses it is unknown which is newer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ReadState {
    Idle,
    /// A request is pending.
    Requested,
    /// A request is pending, and its response will be too old.
    Stale,
}

impl Subscription {
    fn new(key: Arc<RoomKey>) -> Self {
        Self { key, until: None, read: ReadState::Idle, silent: HashSet::new() }
    }

    /// Its snapshots are to be read; `nodes` are those that have presence here. Returns whether they are to be requested
    /// now, and not after the response to an earlier request.
    pub(super) fn begin_read(&mut self, nodes: Vec<NodeId>) -> bool {
        if self.read != ReadState::Idle {
            self.read = ReadState::Stale;
            return false;
        }
        self.read = ReadState::Requested;
        self.silent = nodes.into_iter().collect();
        true
    }

    /// The snapshots have been read. Returns the nodes without one and without a message meanwhile, and whether to read
    /// once more.
    pub(super) fn end_read(&mut self) -> (HashSet<NodeId>, bool) {
        let before = std::mem::replace(&mut self.read, ReadState::Idle);
        (std::mem::take(&mut self.silent), before == ReadState::Stale)
    }

    fn is_reading(&self) -> bool {
        self.read != ReadState::Idle
    }

    /// A presence update of the node has arrived, or it has a snapshot.
    pub(super) fn received_from(&mut self, node: NodeId) {
        self.silent.remove(&node);
    }
}

impl RoomTable {
    /// How many rooms are subscribed to.
    pub(super) fn len(&self) -> usize {
        self.subscriptions.len()
    }

    pub(super) fn get(&mut self, name: &str) -> Option<&mut Subscription> {
        self.subscriptions.get_mut(name)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&RoomName, &Subscription)> {
        self.subscriptions.iter()
    }

    /// The room has opened; its joins wait until `deadline` at most. Returns its name, and whether it has to be
    /// subscribed to.
    pub(super) fn open(&mut self, room: Arc<Room>, deadline: Instant) -> (RoomName, bool) {
        let name = name(room.key());
        let before = self.subscriptions.len();
        let subscription = self.subscriptions.entry(Arc::clone(&name));
        let subscription = subscription.or_insert_with(|| Subscription::new(Arc::clone(room.key())));
        subscription.until = None;
        self.opening.push_back((deadline, room));
        (name, self.subscriptions.len() > before)
    }

    /// The room has closed; its subscription ends later.
    pub(super) fn close(&mut self, name: &RoomName, until: Instant) {
        if let Some(subscription) = self.subscriptions.get_mut(name) {
            subscription.until = Some(until);
            self.lingering.push_back((until, Arc::clone(name)));
        }
    }

    /// Confirms the joins that have waited long enough.
    pub(super) fn confirm_overdue(&mut self, hub: &Hub, now: Instant) {
        while self.opening.front().is_some_and(|(deadline, _)| *deadline <= now) {
            self.opening.pop_front().inspect(|(_, room)| hub.confirm_joins(room));
        }
    }

    /// Confirms all joins that wait.
    pub(super) fn confirm_all(&mut self, hub: &Hub) {
        self.opening.drain(..).for_each(|(_, room)| hub.confirm_joins(&room));
    }

    /// Removes the rooms, at most `max`, whose subscriptions end now.
    pub(super) fn take_ended(&mut self, max: usize, now: Instant) -> Vec<RoomName> {
        let mut ended = Vec::new();
        while ended.len() < max && self.lingering.front().is_some_and(|(until, _)| *until <= now) {
            let Some((until, name)) = self.lingering.pop_front() else { break };
            // The room may have opened, and closed, again.
            let subscription = self.subscriptions.get_mut(&name);
            let Some(subscription) = subscription.filter(|it| it.until == Some(until)) else { continue };
            if subscription.is_reading() {
                // The response belongs to this subscription, and not to the next.
                let later = now + EXTENSION;
                subscription.until = Some(later);
                self.lingering.push_back((later, name));
                continue;
            }
            self.subscriptions.remove(&name);
            ended.push(name);
        }
        ended
    }

    /// When [`confirm_overdue`](Self::confirm_overdue) or [`take_ended`](Self::take_ended) has something to do.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let opening = self.opening.front().map(|(deadline, _)| *deadline);
        let lingering = self.lingering.front().map(|(until, _)| *until);
        opening.into_iter().chain(lingering).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANN: NodeId = NodeId::new(1);
    const BOB: NodeId = NodeId::new(2);

    fn subscription() -> Subscription {
        let (space, privacy) = (Space::Phoenix, Privacy::Public);
        Subscription::new(RoomKey { tenant: "t".into(), space, privacy, topic: "a".into() }.into())
    }

    #[test]
    fn a_name_is_parsed_as_the_room_it_was_made_of() {
        for space in [Space::Phoenix, Space::Rooms, Space::Document] {
            for privacy in [Privacy::Public, Privacy::Private] {
                for topic in ["a", "", "a:b::", ":rooms:private:ü"] {
                    let room = RoomKey { tenant: "t".into(), space, privacy, topic: topic.into() };
                    assert_eq!(key(&name(&room)), Some(room));
                }
            }
        }
        assert_eq!(key("t:phoenix:public"), None);
    }

    #[test]
    fn a_node_without_snapshot_and_update_is_silent() {
        let mut room = subscription();
        assert!(room.begin_read(vec![ANN, BOB]));
        room.received_from(BOB);
        assert_eq!(room.end_read(), (HashSet::from([ANN]), false));
        assert!(!room.is_reading());
    }

    // Snapshots that were requested before her first update show nothing of it.
    #[test]
    fn a_node_whose_update_arrives_after_the_request_is_not_silent() {
        let mut room = subscription();
        assert!(room.begin_read(vec![]));
        room.received_from(ANN);
        assert!(!room.begin_read(vec![ANN]), "one request at a time");
        assert_eq!(room.end_read(), (HashSet::new(), true));
        assert!(room.begin_read(vec![ANN]));
        assert_eq!(room.end_read(), (HashSet::from([ANN]), false));
    }
}
