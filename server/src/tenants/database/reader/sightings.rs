//! Up to where the sessions of all nodes had handled the log, over the last seconds.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;
use wire::pgoutput::Lsn;

/// What was seen of the sessions of all nodes.
#[derive(Debug)]
pub(super) struct Sightings {
    /// How long a node may be without a session.
    wait: Duration,
    /// The oldest one first. Looks are a quarter of `wait` apart, or seconds.
    seen: VecDeque<Sighting>,
    /// The slot of the last session of this node.
    session_slot: String,
}

#[derive(Debug, Clone, Copy)]
struct Sighting {
    at: Instant,
    handled: Lsn,
    has_others: bool,
}

impl Sightings {
    pub(super) fn new(wait: Duration) -> Self {
        Self { wait, seen: VecDeque::new(), session_slot: String::new() }
    }

    /// A session of this node begins.
    pub(super) fn note_session(&mut self, slot: &str) {
        slot.clone_into(&mut self.session_slot);
    }

    /// The slot of the last session of this node.
    pub(super) fn session_slot(&self) -> &str {
        &self.session_slot
    }

    /// All sessions, and so many of other nodes, have handled the log up to here. Returns up to where they had `wait` ago, if that
    /// is known.
    pub(super) fn note(&mut self, handled: Option<Lsn>, others: i64, now: Instant) -> Option<Lsn> {
        if let Some(handled) = handled {
            self.seen.push_back(Sighting { at: now, handled, has_others: others > 0 });
        }
        let is_old = |sighting: &Sighting| sighting.at + self.wait <= now;
        while self.seen.get(1).is_some_and(is_old) {
            self.seen.pop_front();
        }
        self.seen.front().filter(|first| is_old(first)).map(|first| first.handled)
    }

    /// Whether other nodes had sessions within the last `wait`.
    pub(super) fn has_others(&self) -> bool {
        self.seen.iter().any(|sighting| sighting.has_others)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_handled_some_time_ago_is_remembered() {
        let (mut sightings, start) = (Sightings::new(Duration::from_secs(10)), Instant::now());
        let mut note = |handled, others, seconds| {
            let due = sightings.note(Some(Lsn(handled)), others, start + Duration::from_secs(seconds));
            (due.map(|due| due.0), sightings.has_others())
        };
        assert_eq!(note(1, 1, 0), (None, true));
        assert_eq!(note(2, 0, 9), (None, true));
        assert_eq!(note(3, 0, 12), (Some(1), true));
        assert_eq!(note(4, 0, 19), (Some(2), false));
        assert_eq!(note(5, 0, 40), (Some(4), false), "the last look was long ago");
    }
}
