//! How the push goes, as operators see it.

use std::time::SystemTime;

use parking_lot::Mutex;

/// The results of one server's pushes to its present address.
#[derive(Debug, Default)]
pub struct PushStatus(Mutex<PushResults>);

/// What has come of pushes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PushResults {
    /// When both pages were accepted last.
    pub last_success: Option<SystemTime>,
    /// Pushes since then of which a page was not accepted.
    pub failures: u32,
    /// Why the last page was not accepted, while there are failures.
    pub last_error: Option<String>,
}

impl PushStatus {
    /// What has come of them until now.
    pub fn results(&self) -> PushResults {
        self.0.lock().clone()
    }

    /// Pushes to another address, or with other settings, begin.
    pub(super) fn begin(&self) {
        *self.0.lock() = PushResults::default();
    }

    /// Both pages were accepted.
    pub(super) fn note_success(&self) {
        *self.0.lock() = PushResults { last_success: Some(SystemTime::now()), ..PushResults::default() };
    }

    /// A page was not accepted.
    pub(super) fn note_error(&self, error: String) {
        self.0.lock().last_error = Some(error);
    }

    /// A push has failed.
    pub(super) fn note_failure(&self) {
        let mut results = self.0.lock();
        results.failures = results.failures.saturating_add(1);
    }
}
