//! Publishing and requesting sequence numbers when messages may have been lost, so that each is counted.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::{ClusterMessage, LinkSession};
use crate::bus::link::{commands, room_table};
use crate::bus::{BATCH_MAX, RoomName};

#[derive(Debug, Default)]
pub(super) struct LossReports {
    /// Rooms whose sequence numbers are to be published.
    pending: VecDeque<RoomName>,
    /// Sequence numbers of rooms in which messages were published since then are requested.
    requested_since: Option<Instant>,
    /// Whether messages were dropped since the last renewal.
    has_overflowed: bool,
}

impl LossReports {
    /// Sequence numbers are requested of rooms in which messages were published within this time.
    pub(super) fn note_request(&mut self, within: Duration) {
        let then = Instant::now().checked_sub(within);
        self.requested_since = self.requested_since.into_iter().chain(then).min();
    }

    pub(super) fn note_overflow(&mut self) {
        self.has_overflowed = true;
    }

    /// Whether messages were dropped since this was last called.
    pub(super) fn take_overflow(&mut self) -> bool {
        std::mem::take(&mut self.has_overflowed)
    }
}

impl LinkSession<'_, '_> {
    /// After a reconnect, once everything is subscribed to. What was published before and had no response may be missing
    /// elsewhere, and anything may be missing here.
    pub(super) fn compare_sequences(&mut self) {
        let Some(disconnected_at) = self.peers.disconnected_at.take() else { return };
        self.loss.note_request(disconnected_at.elapsed() + self.detection_time());
        self.schedule_sequences();
        self.request_sequences(disconnected_at.elapsed());
        self.context.host.documents().iter().for_each(|documents| documents.reconnected());
    }

    /// Requests the sequence numbers of rooms in which other nodes have published within this time.
    pub(super) fn request_sequences(&mut self, within: Duration) {
        let within = within + self.detection_time();
        let since_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
        self.publish_to_nodes(&ClusterMessage::RequestSequences { since_ms });
    }

    /// Serves all requests at once: after an outage every node sends one to every other. Those that arrive while others are
    /// served wait until these are.
    pub(super) fn schedule_sequences(&mut self) {
        if !self.loss.pending.is_empty() {
            return;
        }
        let Some(then) = self.loss.requested_since.take() else { return };
        self.loss.pending.extend(self.peers.sent.rooms_since(then).cloned());
    }

    /// Whether there are sequence numbers to publish, and all nodes can decode them.
    pub(super) fn may_publish_sequences(&self) -> bool {
        !self.loss.pending.is_empty() && self.may_number()
    }

    pub(super) fn publish_some_sequences(&mut self) {
        let (node, sent) = (self.context.node, &self.peers.sent);
        let next = std::iter::from_fn(|| self.loss.pending.pop_front()).take(BATCH_MAX);
        let sequences = next.filter_map(|room| Some(commands::sequence(node, &room, sent.get(&room)?)));
        let sequences = sequences.collect();
        self.send(sequences, 0);
    }

    /// Whether what this node publishes may have sequence numbers.
    pub(super) fn may_number(&self) -> bool {
        self.peers.decode_sequences()
    }

    /// Drops the counts of rooms that were opened after the connection was lost: they were not subscribed to before.
    pub(super) fn keep_sequences_of_returning(&mut self) {
        let disconnected_at = self.peers.disconnected_at;
        let rooms = self.reads.returning.iter();
        let opened: HashMap<_, _> =
            rooms.map(|room| (room_table::name(room.key()), room.opened_at())).collect();
        self.peers.received.retain(|name| {
            let opened_at = opened.get(name);
            opened_at.is_some_and(|opened_at| disconnected_at.is_none_or(|lost_at| *opened_at <= lost_at))
        });
    }

    /// For how long a connection may have been dead before that was noticed, and a little more.
    fn detection_time(&self) -> Duration {
        let settings = &self.context.settings;
        settings.keep_alive + settings.timeout * 2
    }
}
