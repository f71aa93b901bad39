//! How many log lines clients can cause.
//!
//! A client can be refused as often as it likes, with or without a token. So the lines of one kind are limited in each
//! [`WINDOW`]: for callers without a verified token over the whole node, because they choose the address and the tenant
//! that they name; for requests with one per tenant. Further lines are counted, and summed up in one line. That these lines
//! have bounded sizes, and the bytes of all of them a bound of their own, is enforced where they are written
//! (`telemetry/logs`).

use std::fmt;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::StatusCode;
use parking_lot::Mutex;
use settings::Telemetry;
use tracing::{info, warn};

use super::codes::Code;

/// The time for which lines are counted together.
pub(super) const WINDOW: Duration = Duration::from_secs(10);

/// Lines in a window of the kinds of one code and tenant.
pub(super) const LINES_PER_CODE: u32 = 1;

/// What a line is about that a caller without a verified token causes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineKind {
    /// A request, by the status of its response.
    Request(StatusCode),
    /// Bytes that are not an HTTP request.
    RefusedBytes,
    /// A connection of a load balancer without a PROXY header.
    RefusedProxyHeader,
    /// A connection that was closed because another one needed its place.
    ClosedEarly,
    /// An operational code.
    Code(Code),
}

impl fmt::Display for LineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request(status) => write!(f, "Requests answered with {}", status.as_u16()),
            Self::RefusedBytes => f.write_str("Refused bytes that are not an HTTP request"),
            Self::RefusedProxyHeader => f.write_str("Refused a connection from `server.proxy_protocol_from`"),
            Self::ClosedEarly => {
                f.write_str("Closed a connection without a request to make room for another one")
            }
            Self::Code(code) => write!(f, "{code}"),
        }
    }
}

/// Lines of one kind in the present window.
#[derive(Debug)]
pub(super) struct LineWindow {
    opened: Instant,
    lines: u32,
    suppressed: u64,
}

/// The lines that a window has suppressed, and in how many seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Suppressed {
    pub(super) lines: u64,
    seconds: u64,
}

/// Continues the name of a kind.
impl fmt::Display for Suppressed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "… and {} more in the last {} s", self.lines, self.seconds)
    }
}

impl LineWindow {
    pub(super) fn new(now: Instant) -> Self {
        Self { opened: now, lines: 0, suppressed: 0 }
    }

    /// Whether `max` lines have been written in this window already.
    pub(super) fn is_full(&self, now: Instant, max: u32) -> bool {
        self.lines >= max && now.saturating_duration_since(self.opened) < WINDOW
    }

    /// Counts one more line, if it may be written.
    pub(super) fn admit(&mut self, now: Instant, max: u32) -> bool {
        if self.is_full(now, max) {
            self.suppressed += 1;
            return false;
        }
        if now.saturating_duration_since(self.opened) >= WINDOW {
            (self.opened, self.lines) = (now, 0);
        }
        self.lines += 1;
        true
    }

    /// What has been suppressed, once the window is over.
    pub(super) fn take_suppressed(&mut self, now: Instant) -> Option<Suppressed> {
        let age = now.saturating_duration_since(self.opened);
        if age < WINDOW || self.suppressed == 0 {
            return None;
        }
        Some(Suppressed { lines: std::mem::take(&mut self.suppressed), seconds: age.as_secs() })
    }
}

/// The limits of one node, and the windows of its callers without a verified token.
#[derive(Debug)]
pub struct LineLimits {
    unverified: AtomicU32,
    per_tenant: AtomicU32,
    suppressed: AtomicU64,
    /// As many as there are kinds: statuses and codes are few.
    windows: Mutex<Vec<(LineKind, LineWindow)>>,
}

impl LineLimits {
    /// The limits that the settings have.
    pub(super) fn new(telemetry: &Telemetry) -> Self {
        let (unverified, per_tenant) = (AtomicU32::default(), AtomicU32::default());
        let limits =
            Self { unverified, per_tenant, suppressed: AtomicU64::default(), windows: Mutex::default() };
        limits.apply(telemetry);
        limits
    }

    /// Applies other settings.
    pub fn apply(&self, telemetry: &Telemetry) {
        let store = |limit: &AtomicU32, value: NonZeroU32| limit.store(value.get(), Ordering::Relaxed);
        store(&self.unverified, telemetry.log_lines_unverified);
        store(&self.per_tenant, telemetry.log_lines_per_tenant);
    }

    /// Whether a line of this kind may be written for a caller without a verified token. Otherwise it is counted.
    pub fn admit(&self, kind: LineKind) -> bool {
        self.admit_at(kind, Instant::now())
    }

    fn admit_at(&self, kind: LineKind, now: Instant) -> bool {
        let mut windows = self.windows.lock();
        let index = windows.iter().position(|(other, _)| *other == kind).unwrap_or_else(|| {
            windows.push((kind, LineWindow::new(now)));
            windows.len() - 1
        });
        let window = &mut windows[index].1;
        let before = window.take_suppressed(now);
        let may_be_written = window.admit(now, self.unverified.load(Ordering::Relaxed));
        drop(windows);
        if let Some(suppressed) = before {
            write_summary(kind, suppressed);
        }
        if !may_be_written {
            self.count_suppressed();
        }
        may_be_written
    }

    /// Lines of requests with a verified token per tenant and window.
    pub(super) fn per_tenant(&self) -> u32 {
        self.per_tenant.load(Ordering::Relaxed)
    }

    /// Counts a line that was not written.
    pub(super) fn count_suppressed(&self) {
        self.suppressed.fetch_add(1, Ordering::Relaxed);
    }

    /// How many lines were not written.
    pub(super) fn suppressed(&self) -> u64 {
        self.suppressed.load(Ordering::Relaxed)
    }

    /// Sums up the kinds whose window is over.
    pub(super) fn write_summaries(&self, now: Instant) {
        let mut windows = self.windows.lock();
        let due: Vec<_> = windows
            .iter_mut()
            .filter_map(|(kind, window)| Some((*kind, window.take_suppressed(now)?)))
            .collect();
        drop(windows);
        due.into_iter().for_each(|(kind, suppressed)| write_summary(kind, suppressed));
    }
}

/// One line for those that were not written. Of a code it has the code, as its lines have.
fn write_summary(kind: LineKind, suppressed: Suppressed) {
    let lines = suppressed.lines;
    match kind {
        LineKind::Code(code) => {
            warn!(error_code = code.name(), suppressed = lines, "{kind}: {suppressed}");
        }
        LineKind::Request(status) if status.as_u16() < 400 => {
            info!(status = status.as_u16(), suppressed = lines, "{kind}: {suppressed}");
        }
        LineKind::Request(status) => {
            warn!(status = status.as_u16(), suppressed = lines, "{kind}: {suppressed}");
        }
        LineKind::RefusedBytes | LineKind::RefusedProxyHeader | LineKind::ClosedEarly => {
            warn!(suppressed = lines, "{kind}: {suppressed}");
        }
    }
}

#[cfg(test)]
mod tests {
    use settings::LogFormat;

    use super::super::logs::tests::logged;
    use super::*;

    #[test]
    fn lines_beyond_the_limit_of_their_kind_are_summed_up() {
        let limits = LineLimits::new(&Telemetry {
            log_lines_unverified: NonZeroU32::new(3).expect("not zero"),
            ..Telemetry::default()
        });
        let opened = Instant::now();
        let lines = logged(LogFormat::Text, |_| {
            let admitted = |kind| (0..100).filter(|_| limits.admit_at(kind, opened)).count();
            assert_eq!(admitted(LineKind::RefusedBytes), 3);
            assert_eq!(
                admitted(LineKind::Request(StatusCode::NOT_FOUND)),
                3,
                "a kind has a window of its own"
            );
            limits.write_summaries(opened + WINDOW / 2);
            limits.write_summaries(opened + WINDOW);
            limits.write_summaries(opened + 2 * WINDOW);
            assert!(limits.admit_at(LineKind::RefusedBytes, opened + 2 * WINDOW));
        });
        let lines: Vec<_> =
            lines.lines().iter().map(|line| line[line.find(' ').expect("a time")..].to_owned()).collect();
        assert_eq!(
            lines,
            [
                "  WARN Refused bytes that are not an HTTP request: … and 97 more in the last 10 s suppressed=97",
                "  WARN Requests answered with 404: … and 97 more in the last 10 s status=404 suppressed=97",
            ]
        );
        assert_eq!(limits.suppressed(), 194);
    }
}
