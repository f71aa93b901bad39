//! Counts the questions that the policies of a tenant are asked, and measures them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::auth::{Authorized, Rights};
use crate::telemetry::metrics::DatabaseMetrics;
use crate::tenants::QuestionCounts;

/// The questions of a database since it is used.
#[derive(Debug, Default)]
pub(super) struct Questions {
    asked: AtomicU64,
    denied: AtomicU64,
    failed: AtomicU64,
}

impl Questions {
    /// Counts one that was asked at `started`, and how long it took.
    pub(super) fn count(&self, started: Instant, answer: &Authorized, metrics: &DatabaseMetrics) {
        let milliseconds = started.elapsed().as_secs_f64() * 1000.0;
        metrics.read_authorization_check.record(milliseconds);
        metrics.write_authorization_check.record(milliseconds);
        self.asked.fetch_add(1, Ordering::Relaxed);
        metrics.questions.increment(1);
        match answer {
            Ok(rights) if *rights == Rights::NONE => {
                self.denied.fetch_add(1, Ordering::Relaxed);
                metrics.questions_denied.increment(1);
            }
            Ok(_) => {}
            Err(_) => {
                self.failed.fetch_add(1, Ordering::Relaxed);
                metrics.questions_failed.increment(1);
            }
        }
    }

    /// How many there were.
    pub(super) fn counts(&self) -> QuestionCounts {
        QuestionCounts {
            asked: self.asked.load(Ordering::Relaxed),
            denied: self.denied.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
        }
    }
}
