//! How many messages were missed: numbers are told, and asked for, when something may have been.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::{ClusterMessage, LinkSession};
use crate::bus::BATCH_MAX;
use crate::bus::link::{commands, room_table};

impl LinkSession<'_, '_> {
    /// There has been a cable again for long enough that everything is listened to. What was handed over before and
    /// had no answer may be missing elsewhere, and anything may be here.
    pub(super) fn compare_counts(&mut self) {
        let Some(lost_at) = self.peers.lost_at.take() else { return };
        self.note_count_request(lost_at.elapsed() + self.unnoticed());
        self.answer_for_counts();
        self.ask_for_counts(lost_at.elapsed());
    }

    /// Asks the peers to tell how much they have said up to now, where they have since so long ago.
    pub(super) fn ask_for_counts(&mut self, ago: Duration) {
        let since = ago + self.unnoticed();
        self.say(&ClusterMessage::RequestSequences {
            since_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
        });
    }

    /// The peers are to be told how many messages were handed over, where that has changed since so long ago.
    pub(super) fn note_count_request(&mut self, ago: Duration) {
        let then = Instant::now().checked_sub(ago);
        self.counts_asked_since = self.counts_asked_since.into_iter().chain(then).min();
    }

    /// Takes up all requests for counts at once: when Redis is back, every node asks every other.
    pub(super) fn answer_for_counts(&mut self) {
        let Some(then) = self.counts_asked_since.take() else { return };
        self.uncounted.extend(self.peers.outgoing.rooms_since(then).cloned());
    }

    /// Whether there are counts that can be told now. Those that cannot be read yet wait.
    pub(super) fn has_counts_to_tell(&self) -> bool {
        !self.uncounted.is_empty() && self.may_number()
    }

    /// Tells some of the counts that are to be told.
    pub(super) fn tell_some_counts(&mut self) {
        let (node, outgoing) = (self.context.node, &self.peers.outgoing);
        let next = std::iter::from_fn(|| self.uncounted.pop_first()).take(BATCH_MAX);
        let counts = next.filter_map(|room| Some(commands::sequence(node, &room, outgoing.get(&room)?)));
        let counts = counts.collect();
        self.send(counts, 0);
    }

    /// Whether all nodes can read numbers. Until it is known who they are, it is not.
    pub(super) fn may_number(&self) -> bool {
        self.is_renewed && self.peers.read_numbers()
    }

    /// RoomTable that were opened since the cable was lost are not known to have been listened to before.
    pub(super) fn keep_counts_of_returning(&mut self) {
        let lost_at = self.peers.lost_at;
        let returning: HashMap<_, _> =
            self.returning.iter().map(|room| (room_table::name(room.key()), room.opened_at())).collect();
        self.peers.incoming.retain(|name| {
            let opened_at = returning.get(name);
            opened_at.is_some_and(|opened_at| lost_at.is_none_or(|lost_at| *opened_at <= lost_at))
        });
    }

    /// For how long a connection may have been dead before that was noticed, and a little more.
    fn unnoticed(&self) -> Duration {
        let settings = &self.context.settings;
        settings.keep_alive + settings.timeout * 2
    }
}
