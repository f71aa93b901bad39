//! The rooms this node listens to, and those that wait to be opened.
//!
//! A room is listened to from its first member on. It lingers for a moment after its last, so that somebody
//! who comes right back finds it heard already.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hub::{Hub, NodeId, Privacy, Room, RoomKey, Space};

use crate::bus::RoomName;

/// How soon it is looked again whether a room can be left that waits for an answer.
const ASKED_AGAIN: Duration = Duration::from_millis(100);

/// The name under which all nodes know a room. The topic comes last: it may hold anything.
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

/// The room of this name.
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

/// RoomTable of one cable.
#[derive(Debug, Default)]
pub(super) struct RoomTable {
    heard: HashMap<RoomName, Subscription>,
    /// In the order of their times.
    opening: VecDeque<(Instant, Arc<Room>)>,
    lingering: VecDeque<(Instant, RoomName)>,
}

/// A room that is listened to.
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) key: Arc<RoomKey>,
    /// When it is to be listened to no longer.
    until: Option<Instant>,
    reading: ReadState,
    /// Nodes that showed something here when the copies were asked for, and have not been heard since. Those
    /// that have no copy have nothing to show.
    suspects: HashSet<NodeId>,
}

/// Whether its copies have been asked for. Once at a time: of two answers nobody could say which is newer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ReadState {
    Nothing,
    /// The answer is on its way.
    Asked,
    /// And it will be too old.
    AskedAgain,
}

impl Subscription {
    fn new(key: Arc<RoomKey>) -> Self {
        Self { key, until: None, reading: ReadState::Nothing, suspects: HashSet::new() }
    }

    /// Its copies are wanted; `nodes` are those that have shown something here so far. Returns whether they are
    /// to be asked for now, and not when the answer to an earlier question has come.
    pub(super) fn ask(&mut self, nodes: Vec<NodeId>) -> bool {
        if self.reading != ReadState::Nothing {
            self.reading = ReadState::AskedAgain;
            return false;
        }
        self.reading = ReadState::Asked;
        self.suspects = nodes.into_iter().collect();
        true
    }

    /// The copies have come: those that had none and were not heard meanwhile, and whether it is to be asked
    /// once more.
    pub(super) fn answered(&mut self) -> (HashSet<NodeId>, bool) {
        let before = std::mem::replace(&mut self.reading, ReadState::Nothing);
        (std::mem::take(&mut self.suspects), before == ReadState::AskedAgain)
    }

    /// Whether copies are on their way.
    pub(super) fn is_asked(&self) -> bool {
        self.reading != ReadState::Nothing
    }

    /// A node has said what it shows here, or has a copy.
    pub(super) fn heard(&mut self, node: NodeId) {
        self.suspects.remove(&node);
    }
}

impl RoomTable {
    /// How many rooms are listened to.
    pub(super) fn len(&self) -> usize {
        self.heard.len()
    }

    /// The room of this name.
    pub(super) fn get(&mut self, name: &str) -> Option<&mut Subscription> {
        self.heard.get_mut(name)
    }

    /// All rooms.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&RoomName, &Subscription)> {
        self.heard.iter()
    }

    /// The room has a first member, who waits until `deadline` at the latest. Returns its name, and whether it
    /// has to be subscribed to.
    pub(super) fn open(&mut self, room: Arc<Room>, deadline: Instant) -> (RoomName, bool) {
        let name = name(room.key());
        let before = self.heard.len();
        let listened = self.heard.entry(Arc::clone(&name));
        let listened = listened.or_insert_with(|| Subscription::new(Arc::clone(room.key())));
        listened.until = None;
        self.opening.push_back((deadline, room));
        (name, self.heard.len() > before)
    }

    /// The room has no members any more.
    pub(super) fn close(&mut self, name: &RoomName, until: Instant) {
        if let Some(listened) = self.heard.get_mut(name) {
            listened.until = Some(until);
            self.lingering.push_back((until, Arc::clone(name)));
        }
    }

    /// Admits the rooms that have waited long enough.
    pub(super) fn admit_late(&mut self, hub: &Hub, now: Instant) {
        while self.opening.front().is_some_and(|(deadline, _)| *deadline <= now) {
            self.opening.pop_front().inspect(|(_, room)| hub.confirm_joins(room));
        }
    }

    /// Admits all rooms that wait.
    pub(super) fn admit_all(&mut self, hub: &Hub) {
        self.opening.drain(..).for_each(|(_, room)| hub.confirm_joins(&room));
    }

    /// The rooms, at most `max`, that have lingered long enough; they are not listened to any more.
    pub(super) fn leave(&mut self, max: usize, now: Instant) -> Vec<RoomName> {
        let mut left = Vec::new();
        while left.len() < max && self.lingering.front().is_some_and(|(until, _)| *until <= now) {
            let Some((until, name)) = self.lingering.pop_front() else { break };
            // It may have opened again, and closed again, since.
            let Some(listened) = self.heard.get_mut(&name).filter(|listened| listened.until == Some(until))
            else {
                continue;
            };
            if listened.is_asked() {
                // The answer is for this listening, and not for the next.
                let later = now + ASKED_AGAIN;
                listened.until = Some(later);
                self.lingering.push_back((later, name));
                continue;
            }
            self.heard.remove(&name);
            left.push(name);
        }
        left
    }

    /// When [`admit_late`](Self::admit_late) or [`leave`](Self::leave) has something to do.
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

    fn listened() -> Subscription {
        let (space, privacy) = (Space::Phoenix, Privacy::Public);
        Subscription::new(RoomKey { tenant: "t".into(), space, privacy, topic: "a".into() }.into())
    }

    #[test]
    fn a_name_is_read_as_the_room_it_is_of() {
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
    fn whoever_has_no_copy_and_says_nothing_is_silent() {
        let mut room = listened();
        assert!(room.ask(vec![ANN, BOB]));
        room.heard(BOB);
        assert_eq!(room.answered(), (HashSet::from([ANN]), false));
        assert!(!room.is_asked());
    }

    // The copies that were asked for before she showed something say nothing about her.
    #[test]
    fn whoever_is_heard_after_the_question_is_not_silent_in_its_answer() {
        let mut room = listened();
        assert!(room.ask(vec![]));
        room.heard(ANN);
        assert!(!room.ask(vec![ANN]), "one question at a time");
        assert_eq!(room.answered(), (HashSet::new(), true));
        assert!(room.ask(vec![ANN]));
        assert_eq!(room.answered(), (HashSet::from([ANN]), false));
    }
}
