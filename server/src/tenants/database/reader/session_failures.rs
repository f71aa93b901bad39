//! Counts the sessions that fail where the one before has failed. A slot that keeps the log would let them fail there for ever.

use wire::pgoutput::Lsn;

use super::failures::described;
use crate::tenants::database::change_progress::{ChangeProgress, PartialTransaction};
use crate::tenants::database::log::LogError;

/// So many sessions may fail at one position: what is wrong for a moment only, such as a file of the database that is not there yet,
/// costs no change.
const FAILURES_MAX: u32 = 3;

/// The failures of the last sessions.
#[derive(Debug, Default)]
pub(super) struct SessionFailures {
    /// That of the last session, until it is known up to where it was handled.
    last: Option<String>,
    /// Where those before have failed.
    place: (Option<Lsn>, Option<PartialTransaction>),
    /// How many of them, one after the other.
    count: u32,
    /// Why the last one of them has failed.
    reason: String,
}

impl SessionFailures {
    /// A session has ended. What is not because of the log, as when the database is away, does not count.
    pub(super) fn note(&mut self, error: &LogError) {
        if error.is_of_content() {
            self.last = Some(described(error));
        }
    }

    /// All that was sent is handled. Returns why the log cannot be read from there, if too many sessions have failed.
    pub(super) fn obstacle(&mut self, progress: &ChangeProgress) -> Option<String> {
        if let Some(reason) = self.last.take() {
            let place = (progress.position(), progress.partial());
            self.count = if place == self.place { self.count + 1 } else { 1 };
            (self.place, self.reason) = (place, reason);
        }
        (self.count >= FAILURES_MAX)
            .then(|| format!("{} sessions have failed at the same position: {}", self.count, self.reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_count_that_are_of_the_log_and_at_one_position() {
        let (progress, mut failures) = (ChangeProgress::default(), SessionFailures::default());
        let mut fail = |error: LogError, position| {
            progress.advance(Some(Lsn(position)), None);
            failures.note(&error);
            failures.obstacle(&progress).is_some()
        };
        let too_large = || LogError::TooLarge { bytes: 2, max: 1 };
        let server = |code: &str| LogError::Server { code: code.into(), text: String::new() };
        assert!(!fail(too_large(), 1) && !fail(server("58P01"), 1));
        assert!(!fail(too_large(), 2) && !fail(too_large(), 2), "more was handled");
        assert!(!fail(LogError::Closed, 2) && !fail(server("57P03"), 2), "the database is away");
        assert!(fail(LogError::PublicationMissing(String::new()), 2));
        assert!(fail(LogError::Closed, 2), "until the slot is dropped");
    }
}
