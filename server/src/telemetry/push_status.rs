//! How sending metrics goes, as operators see it: to where they are pushed, or to CloudWatch.

use std::time::SystemTime;

use parking_lot::Mutex;

/// The results with the present settings.
#[derive(Debug, Default)]
pub struct PushStatus(Mutex<PushResults>);

/// The outcome.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PushResults {
    /// When all was accepted last.
    pub last_success: Option<SystemTime>,
    /// Times since then that something was not accepted.
    pub failures: u32,
    /// Why it was not accepted the last time, while there are failures.
    pub last_error: Option<String>,
}

impl PushStatus {
    /// The outcome until now.
    pub fn results(&self) -> PushResults {
        self.0.lock().clone()
    }

    /// Metrics are sent with other settings.
    pub(in crate::telemetry) fn begin(&self) {
        *self.0.lock() = PushResults::default();
    }

    /// All was accepted.
    pub(in crate::telemetry) fn note_success(&self) {
        *self.0.lock() = PushResults { last_success: Some(SystemTime::now()), ..PushResults::default() };
    }

    /// Something was not accepted.
    pub(in crate::telemetry) fn note_error(&self, error: String) {
        self.0.lock().last_error = Some(error);
    }

    /// Not all was accepted.
    pub(in crate::telemetry) fn note_failure(&self) {
        let mut results = self.0.lock();
        results.failures = results.failures.saturating_add(1);
    }
}
