//! Numbers of messages, by which a node knows how many of the peers' it has missed.
//!
//! For each room a node counts the messages that it hands over, and each says how many there were before it. Whoever
//! receives them compares: what lies between two has not arrived, whether it was lost on this side, on the other, or
//! in between. What is not handed over has no number, and is counted where it is dropped, so nothing counts twice.
//! That the last ones are missing shows when nodes are [asked](super::cluster_message::ClusterMessage::Count) for their counts.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use hub::NodeId;
use wire::relay::SequenceNumber;

use crate::bus::RoomName;

/// Counts are kept for so many rooms, or up to twice as many, and for so long after the last message. Whoever says
/// something in a room later begins to count anew there.
const ROOMS: usize = 65_536;
const KEPT: Duration = Duration::from_secs(10 * 60);

/// No node begins this stream: it stands for messages that arrived before the first number.
const UNNUMBERED: u64 = 0;

/// What this node has handed over.
#[derive(Debug)]
pub(super) struct SentSequences {
    recent: HashMap<RoomName, Stream>,
    /// What was recent before. Forgotten when the recent take its place.
    older: HashMap<RoomName, Stream>,
    since: Instant,
    /// The next stream to begin.
    next: u64,
}

#[derive(Debug, Clone, Copy)]
struct Stream {
    number: SequenceNumber,
    used: Instant,
}

impl Default for SentSequences {
    fn default() -> Self {
        Self { recent: HashMap::new(), older: HashMap::new(), since: Instant::now(), next: 1 }
    }
}

impl SentSequences {
    /// So many messages are handed over now for the room. Returns the number of the first.
    pub(super) fn count(&mut self, room: &RoomName, messages: u64, now: Instant) -> SequenceNumber {
        if let Some(stream) = self.recent.get_mut(room) {
            let number = stream.number;
            *stream =
                Stream { number: SequenceNumber { before: number.before + messages, ..number }, used: now };
            return number;
        }
        if self.recent.len() >= ROOMS || now.saturating_duration_since(self.since) >= KEPT {
            (self.older, self.since) = (std::mem::take(&mut self.recent), now);
        }
        let number = self.older.remove(room).map_or_else(|| self.begin(), |stream| stream.number);
        let counted = SequenceNumber { before: number.before + messages, ..number };
        self.recent.insert(RoomName::clone(room), Stream { number: counted, used: now });
        number
    }

    fn begin(&mut self) -> SequenceNumber {
        self.next += 1;
        SequenceNumber { stream: self.next - 1, before: 0 }
    }

    /// The number of the next message for the room, if there was any.
    pub(super) fn get(&self, room: &RoomName) -> Option<SequenceNumber> {
        self.recent.get(room).or_else(|| self.older.get(room)).map(|stream| stream.number)
    }

    /// RoomTable for which something was handed over since then.
    pub(super) fn rooms_since(&self, then: Instant) -> impl Iterator<Item = &RoomName> {
        let all = self.recent.iter().chain(&self.older);
        all.filter(move |(_, stream)| stream.used >= then).map(|(room, _)| room)
    }

    /// Every stream that begins from now on has this number, or a higher one.
    pub(super) fn next_stream(&self) -> u64 {
        self.next
    }
}

/// What has arrived, in rooms that are listened to.
#[derive(Debug, Default)]
pub(super) struct ReceivedSequences {
    /// By room and node, the number of the next message. In the stream [`UNNUMBERED`], how many have arrived.
    rooms: HashMap<RoomName, HashMap<NodeId, SequenceNumber>>,
    /// By node, the next stream it would have begun, and when it said so, before the cable was last lost.
    next_streams: HashMap<NodeId, (u64, Instant)>,
    /// Nodes that were taken for dead, and when.
    gone: HashMap<NodeId, Instant>,
}

impl ReceivedSequences {
    /// So many messages of a node have arrived, the first with this number if it has any. Returns how many before
    /// them have not. `listened_since` is asked when the node is heard in this room for the first time.
    pub(super) fn count(
        &mut self,
        room: &RoomName,
        node: NodeId,
        number: Option<SequenceNumber>,
        messages: u64,
        listened_since: impl FnOnce() -> Option<Instant>,
    ) -> u64 {
        let known = self.rooms.get_mut(room).and_then(|nodes| nodes.get_mut(&node));
        let Some(number) = number else {
            // There are nodes of an older version, which could not read a number, or may be.
            if let Some(next) = known {
                next.before = next.before.saturating_add(messages);
            } else {
                let arrived = SequenceNumber { stream: UNNUMBERED, before: messages };
                self.rooms.entry(RoomName::clone(room)).or_default().insert(node, arrived);
            }
            return 0;
        };
        let after = SequenceNumber { before: number.before.saturating_add(messages), ..number };
        let Some(next) = known.filter(|next| next.stream != UNNUMBERED) else {
            let nodes = self.rooms.entry(RoomName::clone(room)).or_default();
            let arrived = nodes.insert(node, after).map_or(0, |unnumbered| unnumbered.before);
            let told = self.next_streams.get(&node);
            let listened = |(stream, at): &(u64, Instant)| {
                // It began after the node last spoke to us, and we were there before that.
                number.stream >= *stream && listened_since().is_some_and(|since| since <= *at)
            };
            return if told.is_some_and(listened) { number.before.saturating_sub(arrived) } else { 0 };
        };
        let missed = if number.stream == next.stream {
            number.before.saturating_sub(next.before)
        } else if number.stream > next.stream {
            number.before
        } else {
            return 0;
        };
        if number.stream > next.stream || after.before > next.before {
            *next = after;
        }
        missed
    }

    /// The cable is lost. `next_streams` is what the peers have said of theirs, and when.
    pub(super) fn lose(&mut self, next_streams: HashMap<NodeId, (u64, Instant)>) {
        self.next_streams = next_streams;
    }

    /// Only these rooms are still listened to.
    pub(super) fn retain(&mut self, is_listened_to: impl Fn(&RoomName) -> bool) {
        self.rooms.retain(|room, _| is_listened_to(room));
    }

    /// The room is not listened to any more.
    pub(super) fn leave(&mut self, room: &RoomName) {
        self.rooms.remove(room);
    }

    /// A node will not be heard again.
    pub(super) fn forget(&mut self, node: NodeId) {
        self.next_streams.remove(&node);
        for nodes in self.rooms.values_mut() {
            nodes.remove(&node);
        }
    }

    /// A node is taken for dead. It may come back all the same.
    pub(super) fn forget_later(&mut self, node: NodeId, now: Instant) {
        self.gone.insert(node, now);
    }

    /// Forgets the nodes that have been dead for long, and have not come back.
    pub(super) fn tidy(&mut self, now: Instant, is_known: impl Fn(NodeId) -> bool) {
        let is_due = |since: &Instant| now.saturating_duration_since(*since) >= KEPT;
        let due: Vec<_> =
            self.gone.iter().filter(|(_, since)| is_due(since)).map(|(node, _)| *node).collect();
        for node in due {
            self.gone.remove(&node);
            if !is_known(node) {
                self.forget(node);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANN: NodeId = NodeId::new(1);

    fn name(room: usize) -> RoomName {
        room.to_string().into()
    }

    fn number(stream: u64, before: u64) -> Option<SequenceNumber> {
        Some(SequenceNumber { stream, before })
    }

    #[test]
    fn messages_are_numbered_by_room() {
        let mut outgoing = SentSequences::default();
        let now = Instant::now();
        assert_eq!(outgoing.get(&name(0)), None);
        assert_eq!(Some(outgoing.count(&name(0), 3, now)), number(1, 0));
        assert_eq!(Some(outgoing.count(&name(1), 1, now)), number(2, 0));
        assert_eq!(Some(outgoing.count(&name(0), 1, now)), number(1, 3));
        assert_eq!(outgoing.get(&name(0)), number(1, 4));
        let later = now + Duration::from_secs(1);
        outgoing.count(&name(1), 1, later);
        assert_eq!(outgoing.rooms_since(later).collect::<Vec<_>>(), [&name(1)]);
        assert_eq!(outgoing.next_stream(), 3);
    }

    #[test]
    fn counts_of_few_rooms_are_kept_and_not_for_ever() {
        let mut outgoing = SentSequences::default();
        let now = Instant::now();
        for room in 0..5 * ROOMS {
            outgoing.count(&name(room), 1, now);
            outgoing.count(&name(0), 1, now);
        }
        assert!(outgoing.recent.len() + outgoing.older.len() <= 2 * ROOMS);
        assert_eq!(outgoing.get(&name(0)), number(1, 5 * ROOMS as u64 + 1), "this one was in use");
        assert_eq!(outgoing.get(&name(1)), None);
        outgoing.count(&name(1), 1, now + KEPT);
        outgoing.count(&name(2), 1, now + 2 * KEPT);
        assert_eq!(outgoing.recent.len() + outgoing.older.len(), 2);
    }

    #[test]
    fn what_lies_between_two_messages_was_missed() {
        let mut incoming = ReceivedSequences::default();
        let mut count = |number, messages| incoming.count(&name(0), ANN, number, messages, || None);
        assert_eq!(count(None, 7), 0);
        assert_eq!(count(number(3, 10), 2), 0, "what was before nobody knows");
        assert_eq!(count(number(3, 12), 1), 0);
        assert_eq!(count(number(3, 20), 1), 7);
        assert_eq!(count(None, 2), 0);
        assert_eq!(count(number(3, 23), 0), 0);
        assert_eq!(count(number(3, 20), 1), 0, "late");
        assert_eq!(count(number(3, 25), 0), 2, "a count without messages");
        assert_eq!(count(number(3, 25), 1), 0);
        assert_eq!(count(number(5, 4), 1), 4, "a stream that began since");
        assert_eq!(count(number(3, 99), 1), 0);
        assert_eq!(count(number(5, 5), 1), 0);
        incoming.leave(&name(0));
        assert_eq!(incoming.count(&name(0), ANN, number(5, 9), 1, || None), 0);
    }

    // Nodes of an older version cannot read numbers, so those beside them send none.
    #[test]
    fn messages_that_arrived_without_a_number_were_not_missed() {
        let (begun, told) = (Instant::now(), Instant::now() + Duration::from_secs(1));
        let mut incoming = ReceivedSequences::default();
        incoming.lose([(ANN, (5, told))].into());
        let mut count = |number, messages| incoming.count(&name(0), ANN, number, messages, || Some(begun));
        assert_eq!(count(None, 2_000), 0);
        assert_eq!(count(None, 1_000), 0);
        assert_eq!(count(number(5, 3_007), 1), 7);
        assert_eq!(count(number(5, 3_008), 1), 0);
    }

    #[test]
    fn a_node_that_was_forgotten_is_as_one_that_was_never_heard() {
        let (begun, told) = (Instant::now(), Instant::now() + Duration::from_secs(1));
        let mut incoming = ReceivedSequences::default();
        incoming.lose([(ANN, (5, told))].into());
        incoming.forget(ANN);
        assert_eq!(incoming.count(&name(0), ANN, number(7, 10_000), 1, || Some(begun)), 0);
    }

    #[test]
    fn numbers_of_other_nodes_may_be_any() {
        let mut incoming = ReceivedSequences::default();
        let mut count = |number, messages| incoming.count(&name(0), ANN, number, messages, || None);
        assert_eq!(count(number(1, u64::MAX), 3), 0);
        assert_eq!(count(None, 3), 0);
        assert_eq!(count(number(1, u64::MAX), 1), 0);
    }

    #[test]
    fn a_stream_that_began_while_nothing_could_arrive_was_missed_from_its_beginning() {
        let (begun, told) = (Instant::now(), Instant::now() + Duration::from_secs(1));
        let late = told + Duration::from_secs(1);
        let mut incoming = ReceivedSequences::default();
        incoming.lose([(ANN, (5, told))].into());
        let mut count =
            |room, stream, since| incoming.count(&name(room), ANN, number(stream, 3), 1, || Some(since));
        assert_eq!(count(0, 5, begun), 3);
        assert_eq!(count(1, 4, begun), 0, "it may have begun before us");
        assert_eq!(count(2, 5, late), 0, "so may this one");
    }
}
