//! Channels that want to hear when broadcasts from the database reach them: `config.broadcast.replication_ready`
//! (docs/protocol/database-broadcasts.md#readiness).

use std::time::{Duration, Instant};

use wire::phoenix::Status;

use super::PhoenixSession;
use super::outbound::Outbound;

/// How often it is looked at, as upstream does.
const POLL: Duration = Duration::from_millis(500);

/// After this time the channel ends, as upstream has it.
const LIMIT: Duration = Duration::from_secs(60);

const READY: &str = "Replication connection established";
const TOO_LATE: &str = "Replication connection was not established in time";

impl PhoenixSession {
    /// Notifies channels that wait for it whether broadcasts from the database are read; ends those that have waited too long.
    pub(super) fn look_at_readiness(&mut self, now: Instant) {
        if self.readiness_due.is_none_or(|due| due > now) {
            return;
        }
        let waiting = self.topics.iter().filter(|(_, joined)| joined.awaits_log.is_some());
        self.readiness_due = (waiting.clone().count() > 0).then(|| now + POLL);
        // One whose join is not answered yet is looked at the next time.
        let answered = waiting.filter(|(_, joined)| joined.membership.is_confirmed());
        let answered: Vec<(Box<str>, Option<Instant>)> =
            answered.map(|(topic, joined)| (topic.clone(), joined.awaits_log)).collect();
        let is_followed = self.services.databases.log_is_followed(&self.tenant.id);
        for (topic, since) in answered {
            match &is_followed {
                Some(Ok(())) => self.notice_readiness(&topic, READY),
                // The channel stays: everything but broadcasts from the database works.
                Some(Err(reason)) => {
                    let text = format!("Broadcasts from the database are not available: {reason}");
                    self.notice_readiness(&topic, &text);
                }
                None if since.is_some_and(|since| now.duration_since(since) >= LIMIT) => {
                    self.end(&topic, TOO_LATE, Outbound::closed)
                }
                None => {}
            }
        }
        self.watch_rooms();
    }

    fn notice_readiness(&mut self, topic: &str, text: &str) {
        let Some(joined) = self.topics.get_mut(topic) else { return };
        joined.awaits_log = None;
        self.outbound.system(&joined.join_ref, topic, "system", Status::Ok, text);
    }

    /// A channel was joined that wants to hear of it.
    pub(super) fn await_readiness(&mut self) {
        self.readiness_due = Some(Instant::now());
        self.tick_by(self.readiness_due);
    }
}
