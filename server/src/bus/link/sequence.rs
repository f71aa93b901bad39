//! Sequence numbers of messages, by which a node counts what it has missed of the others'.
//!
//! A node counts the messages that it publishes in each room, and each message carries how many preceded it. The receiver
//! compares: what lies between two messages has not arrived, wherever it was lost. Messages that are never handed to the
//! bus have no number, and are counted where they are dropped, so no message counts twice. That the last ones are missing
//! shows when nodes [request](super::cluster_message::ClusterMessage::RequestSequences) each other's numbers.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use hub::NodeId;
use wire::relay::SequenceNumber;

use crate::bus::RoomName;

/// Counts are kept for so many rooms, or up to twice as many, and for so long after the last message. Messages after that
/// begin a new stream.
const ROOMS: usize = 65_536;
const KEPT: Duration = Duration::from_secs(10 * 60);

/// No node publishes so many messages in a room, or begins so many streams, nor are so many missed between two messages.
const NUMBER_MAX: u64 = 1 << 48;
const MISSED_MAX: u64 = 1 << 32;

/// No node begins this stream: it stands for messages that arrived before the first sequence number.
const UNNUMBERED: u64 = 0;

/// What this node has published.
#[derive(Debug)]
pub(super) struct SentSequences {
    recent: HashMap<RoomName, Stream>,
    /// The previous `recent`. Dropped when it is replaced.
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
    /// Counts messages that are published now in the room. Returns the sequence number of the first.
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

    /// The sequence number of the next message in the room, if there was one before.
    pub(super) fn get(&self, room: &RoomName) -> Option<SequenceNumber> {
        self.recent.get(room).or_else(|| self.older.get(room)).map(|stream| stream.number)
    }

    /// Rooms in which messages were published since `then`.
    pub(super) fn rooms_since(&self, then: Instant) -> impl Iterator<Item = &RoomName> {
        let all = self.recent.iter().chain(&self.older);
        all.filter(move |(_, stream)| stream.used >= then).map(|(room, _)| room)
    }

    /// Every stream that begins from now on has this number or a higher one.
    pub(super) fn next_stream(&self) -> u64 {
        self.next
    }
}

/// What has arrived, in rooms that are subscribed to.
#[derive(Debug, Default)]
pub(super) struct ReceivedSequences {
    /// By room and node, the sequence number of the next message. In stream [`UNNUMBERED`], how many have arrived.
    rooms: HashMap<RoomName, HashMap<NodeId, SequenceNumber>>,
    /// By node, the next stream that it had announced before the connection was lost, and when.
    next_streams: HashMap<NodeId, (u64, Instant)>,
    /// Nodes that have expired, and when.
    expired: HashMap<NodeId, Instant>,
}

impl ReceivedSequences {
    /// Counts messages of a node that have arrived, the first with this sequence number if it has one. Returns how many
    /// before them have not. `subscribed_since` is called for the first messages of the node in this room.
    pub(super) fn count(
        &mut self,
        room: &RoomName,
        node: NodeId,
        number: Option<SequenceNumber>,
        messages: u64,
        subscribed_since: impl FnOnce() -> Option<Instant>,
    ) -> u64 {
        let known = self.rooms.get_mut(room).and_then(|nodes| nodes.get_mut(&node));
        let Some(number) = number else {
            // There are, or may be, nodes of an older version that cannot decode sequence numbers.
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
            let announced = self.next_streams.get(&node);
            let is_missed = |(stream, at): &(u64, Instant)| {
                // The stream began after the last announcement that arrived here, and this node had subscribed before.
                number.stream >= *stream && subscribed_since().is_some_and(|since| since <= *at)
            };
            return if announced.is_some_and(is_missed) { number.before.saturating_sub(arrived) } else { 0 };
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

    /// Whether a node may have published this number. Others would make much look missed, and hide what is.
    pub(super) fn is_plausible(&self, room: &RoomName, node: NodeId, number: SequenceNumber) -> bool {
        let known = self.rooms.get(room).and_then(|nodes| nodes.get(&node));
        let arrived = match known {
            Some(next) if next.stream == number.stream => next.before,
            Some(next) if next.stream != UNNUMBERED => 0,
            // What came before it is not counted, or only if the stream is a new one.
            _ => number.before,
        };
        number.stream < NUMBER_MAX
            && number.before < NUMBER_MAX
            && number.before.saturating_sub(arrived) < MISSED_MAX
    }

    /// The connection is lost. `next_streams` is what the others have announced, and when.
    pub(super) fn disconnected(&mut self, next_streams: HashMap<NodeId, (u64, Instant)>) {
        self.next_streams = next_streams;
    }

    /// Drops the counts of all other rooms.
    pub(super) fn retain(&mut self, is_kept: impl Fn(&RoomName) -> bool) {
        self.rooms.retain(|room, _| is_kept(room));
    }

    /// The room is not subscribed to any more.
    pub(super) fn unsubscribed(&mut self, room: &RoomName) {
        self.rooms.remove(room);
    }

    /// The node has stopped.
    pub(super) fn remove(&mut self, node: NodeId) {
        self.next_streams.remove(&node);
        for nodes in self.rooms.values_mut() {
            nodes.remove(&node);
        }
    }

    /// The node has expired. It may reconnect.
    pub(super) fn remove_later(&mut self, node: NodeId, now: Instant) {
        self.expired.insert(node, now);
    }

    /// Drops nodes that expired long ago and have not reconnected.
    pub(super) fn tidy(&mut self, now: Instant, is_known: impl Fn(NodeId) -> bool) {
        let is_due = |since: &Instant| now.saturating_duration_since(*since) >= KEPT;
        let due: Vec<_> =
            self.expired.iter().filter(|(_, since)| is_due(since)).map(|(node, _)| *node).collect();
        for node in due {
            self.expired.remove(&node);
            if !is_known(node) {
                self.remove(node);
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
        let mut sent = SentSequences::default();
        let now = Instant::now();
        assert_eq!(sent.get(&name(0)), None);
        assert_eq!(Some(sent.count(&name(0), 3, now)), number(1, 0));
        assert_eq!(Some(sent.count(&name(1), 1, now)), number(2, 0));
        assert_eq!(Some(sent.count(&name(0), 1, now)), number(1, 3));
        assert_eq!(sent.get(&name(0)), number(1, 4));
        let later = now + Duration::from_secs(1);
        sent.count(&name(1), 1, later);
        assert_eq!(sent.rooms_since(later).collect::<Vec<_>>(), [&name(1)]);
        assert_eq!(sent.next_stream(), 3);
    }

    #[test]
    fn counts_are_kept_for_a_bounded_number_of_rooms_and_time() {
        let mut sent = SentSequences::default();
        let now = Instant::now();
        for room in 0..5 * ROOMS {
            sent.count(&name(room), 1, now);
            sent.count(&name(0), 1, now);
        }
        assert!(sent.recent.len() + sent.older.len() <= 2 * ROOMS);
        assert_eq!(sent.get(&name(0)), number(1, 5 * ROOMS as u64 + 1), "this one was in use");
        assert_eq!(sent.get(&name(1)), None);
        sent.count(&name(1), 1, now + KEPT);
        sent.count(&name(2), 1, now + 2 * KEPT);
        assert_eq!(sent.recent.len() + sent.older.len(), 2);
    }

    #[test]
    fn messages_between_two_sequence_numbers_were_missed() {
        let mut received = ReceivedSequences::default();
        let mut count = |number, messages| received.count(&name(0), ANN, number, messages, || None);
        assert_eq!(count(None, 7), 0);
        assert_eq!(count(number(3, 10), 2), 0, "what was before is unknown");
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
        received.unsubscribed(&name(0));
        assert_eq!(received.count(&name(0), ANN, number(5, 9), 1, || None), 0);
    }

    // Nodes of an older version cannot decode sequence numbers, so those beside them send none.
    #[test]
    fn messages_that_arrived_without_a_number_were_not_missed() {
        let (begun, announced) = (Instant::now(), Instant::now() + Duration::from_secs(1));
        let mut received = ReceivedSequences::default();
        received.disconnected([(ANN, (5, announced))].into());
        let mut count = |number, messages| received.count(&name(0), ANN, number, messages, || Some(begun));
        assert_eq!(count(None, 2_000), 0);
        assert_eq!(count(None, 1_000), 0);
        assert_eq!(count(number(5, 3_007), 1), 7);
        assert_eq!(count(number(5, 3_008), 1), 0);
    }

    #[test]
    fn of_a_node_that_was_removed_nothing_is_missed() {
        let (begun, announced) = (Instant::now(), Instant::now() + Duration::from_secs(1));
        let mut received = ReceivedSequences::default();
        received.disconnected([(ANN, (5, announced))].into());
        received.remove(ANN);
        assert_eq!(received.count(&name(0), ANN, number(7, 10_000), 1, || Some(begun)), 0);
    }

    #[test]
    fn any_sequence_number_of_another_node_is_handled() {
        let mut received = ReceivedSequences::default();
        let mut count = |number, messages| received.count(&name(0), ANN, number, messages, || None);
        assert_eq!(count(number(1, u64::MAX), 3), 0);
        assert_eq!(count(None, 3), 0);
        assert_eq!(count(number(1, u64::MAX), 1), 0);
    }

    #[test]
    fn a_stream_that_began_while_disconnected_was_missed_from_its_beginning() {
        let (begun, announced) = (Instant::now(), Instant::now() + Duration::from_secs(1));
        let late = announced + Duration::from_secs(1);
        let mut received = ReceivedSequences::default();
        received.disconnected([(ANN, (5, announced))].into());
        let mut count =
            |room, stream, since| received.count(&name(room), ANN, number(stream, 3), 1, || Some(since));
        assert_eq!(count(0, 5, begun), 3);
        assert_eq!(count(1, 4, begun), 0, "it may have begun before us");
        assert_eq!(count(2, 5, late), 0, "so may this one");
    }
}
