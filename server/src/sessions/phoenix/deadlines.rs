//! When a connection needs a tick although no message arrives: a held presence call or a delayed reply is due, a token
//! expires, a client has been without a room for too long.

use std::time::Instant;

use super::PhoenixSession;

impl PhoenixSession {
    /// Requests a tick by `due`. An early tick does no harm, so a request is not withdrawn when its reason is gone: a client
    /// may be in thousands of rooms, and this takes the same time for each.
    pub(super) fn tick_by(&mut self, due: Option<Instant>) {
        self.deadline = self.deadline.into_iter().chain(due).min();
    }

    /// Starts or stops the timeout of clients without a room. A join that waits counts as a room. Called after every join
    /// and leave.
    pub(super) fn watch_rooms(&mut self) {
        let is_roomless = self.topics.is_empty() && self.joining_topics() == 0;
        self.roomless = is_roomless.then(|| self.roomless.unwrap_or_else(Instant::now));
        self.tick_by(self.roomless_deadline());
    }

    pub(super) fn roomless_deadline(&self) -> Option<Instant> {
        Some(self.roomless? + self.services.node.settings().server.no_channel_timeout)
    }

    /// Computes from scratch when the next tick is needed.
    pub(super) fn reschedule(&mut self) {
        self.watch_rooms();
        let held = self.topics.values().filter_map(|joined| joined.tracker.as_ref()?.deadline(&self.tenant));
        let others = [
            self.roomless_deadline(),
            self.delayed_replies.deadline(),
            self.token_deadline(),
            self.rights_due,
            self.readiness_due,
        ];
        self.deadline = held.chain(others.into_iter().flatten()).min();
    }
}
