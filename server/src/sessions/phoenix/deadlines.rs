//! When a connection has to be looked at next, though nobody says anything: something held back is due, a token
//! runs out, a client has been without a room for too long.

use std::time::Instant;

use super::PhoenixSession;

impl PhoenixSession {
    /// There is something to look at by `due`, if not before. Looking too early does no harm, so whatever is
    /// due no more is not taken back: a client may be in thousands of rooms, and this costs the same for all.
    pub(super) fn look_by(&mut self, due: Option<Instant>) {
        self.deadline = self.deadline.into_iter().chain(due).min();
    }

    /// Sees to it that a client without a room is noticed. Called after whatever takes a room away or gives one.
    pub(super) fn watch_rooms(&mut self) {
        self.roomless = self.topics.is_empty().then(|| self.roomless.unwrap_or_else(Instant::now));
        self.look_by(self.roomless_deadline());
    }

    pub(super) fn roomless_deadline(&self) -> Option<Instant> {
        Some(self.roomless? + self.services.node.settings().server.no_channel_timeout)
    }

    /// Looks through everything for the next thing that is due.
    pub(super) fn reschedule(&mut self) {
        self.watch_rooms();
        let held = self.topics.values().filter_map(|joined| joined.tracker.as_ref()?.deadline(&self.tenant));
        let others = [self.roomless_deadline(), self.refusals.deadline(), self.token_deadline()];
        self.deadline = held.chain(others.into_iter().flatten()).min();
    }
}
