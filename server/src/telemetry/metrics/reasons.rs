//! Counters of one tenant that have a series for each reason, once something was counted.
//!
//! What they count is rare: the reasons are few words of the code, never texts of a database.

use metrics::{Counter, Key, Label, Level, Metadata, Recorder};

/// A counter with the labels `tenant` and `reason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReasonCounter {
    /// Changes of tables that are not sent.
    ChangesSkipped,
    /// Sessions of the log that have ended.
    ChangesStopped,
    /// Questions about changes that the database did not answer.
    ChangesQueryFailed,
}

impl ReasonCounter {
    /// All of them.
    pub(in crate::telemetry) const ALL: [Self; 3] =
        [Self::ChangesSkipped, Self::ChangesStopped, Self::ChangesQueryFailed];

    /// The labels.
    pub(in crate::telemetry) const LABELS: [&'static str; 2] = ["tenant", "reason"];

    /// Its name and its help text.
    pub(in crate::telemetry) fn description(self) -> (&'static str, &'static str) {
        match self {
            Self::ChangesSkipped => (
                "realtime_replication_poller_changes_skip",
                "Messages with changes of tables that were not sent. The only reason is rate_limited: limits.max_events_per_second was reached.",
            ),
            Self::ChangesStopped => (
                "realtime_replication_poller_stop_total",
                "Times this node stopped to read changes of tables from the database: normal without subscribers, shutdown when the server stops, other when the session failed.",
            ),
            Self::ChangesQueryFailed => (
                "realtime_replication_poller_query_exception_total",
                "Questions about changes of tables that the database did not answer, by operational code.",
            ),
        }
    }

    pub(super) fn register(self, recorder: &impl Recorder, tenant: Label, reason: &'static str) -> Counter {
        let key = Key::from_parts(self.description().0, vec![tenant, Label::new("reason", reason)]);
        recorder.register_counter(&key, &Metadata::new(module_path!(), Level::INFO, None))
    }
}
