//! What is reported to PostgreSQL, and when it was: shared by the task of a session and its reader.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use wire::pgoutput::Lsn;

use super::SERVER_TIMEOUT;

/// The progress of a session.
#[derive(Debug)]
pub(super) struct Feedback {
    confirmed: AtomicU64,
    began: Instant,
    /// Milliseconds after `began`.
    reported: AtomicU64,
}

impl Feedback {
    /// Of a session that begins now.
    pub(super) fn new() -> Self {
        Self { confirmed: AtomicU64::new(0), began: Instant::now(), reported: AtomicU64::new(0) }
    }

    pub(super) fn confirm(&self, lsn: Lsn) {
        self.confirmed.fetch_max(lsn.0, Ordering::Relaxed);
    }

    pub(super) fn confirmed(&self) -> Lsn {
        Lsn(self.confirmed.load(Ordering::Relaxed))
    }

    /// Notes that a report is about to be sent.
    pub(super) fn note_report(&self) {
        let elapsed = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.reported.store(elapsed, Ordering::Relaxed);
    }

    /// Whether the last report is recent enough that the server cannot have ended the session for the lack of one.
    pub(super) fn is_recent(&self) -> bool {
        let reported = self.began + Duration::from_millis(self.reported.load(Ordering::Relaxed));
        reported.elapsed() < SERVER_TIMEOUT
    }
}
