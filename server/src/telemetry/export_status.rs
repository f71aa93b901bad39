//! How sending metrics and spans goes, as operators see it: to where metrics are pushed, to CloudWatch, to a collector.
//!
//! What was sent and dropped is counted in metrics and not here.

use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;

/// The results of everything that sends.
#[derive(Debug, Default)]
pub struct Exports {
    /// Of metrics that are pushed.
    pub push: Arc<ExportStatus>,
    /// Of metrics to CloudWatch.
    pub cloudwatch: Arc<ExportStatus>,
    /// Of spans to a collector.
    pub traces: Arc<ExportStatus>,
}

/// The results with the present settings.
#[derive(Debug, Default)]
pub struct ExportStatus(Mutex<ExportResults>);

/// The outcome.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExportResults {
    /// When all was accepted last.
    pub last_success: Option<SystemTime>,
    /// Times since then that something was not accepted.
    pub failures: u32,
    /// Why it was not accepted the last time, while there are failures.
    pub last_error: Option<String>,
}

impl ExportStatus {
    /// The outcome until now.
    pub fn results(&self) -> ExportResults {
        self.0.lock().clone()
    }

    /// Other settings apply from now on.
    pub(super) fn begin(&self) {
        *self.0.lock() = ExportResults::default();
    }

    /// All was accepted.
    pub(super) fn note_success(&self) {
        *self.0.lock() = ExportResults { last_success: Some(SystemTime::now()), ..ExportResults::default() };
    }

    /// Something was not accepted.
    pub(super) fn note_error(&self, error: String) {
        self.0.lock().last_error = Some(error);
    }

    /// Not all was accepted.
    pub(super) fn note_failure(&self) {
        let mut results = self.0.lock();
        results.failures = results.failures.saturating_add(1);
    }
}
