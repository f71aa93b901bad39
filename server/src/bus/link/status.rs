//! The status of the link: whether this node is connected, since when, and when it connects again.
//!
//! A connection is established when everything has been stored and read over it. One that is lost before, perhaps because
//! of what is stored or read, is one more failed attempt, and the waits grow. The log has the first failure with its cause, and
//! repeats it while it lasts.

use std::fmt;
use std::time::{Duration, Instant};

use humantime_serde::re::humantime::format_duration;
use tracing::{info, warn};

use super::log_interval::LogInterval;
use super::{ClusterLink, Connectivity, Context, ResyncProgress};
use crate::backoff::Backoff;
use crate::bus::{BusError, BusRejection, RETRY};
use crate::telemetry::codes::{Code, Scope};

pub(super) struct LinkStatus<'l> {
    context: &'l Context,
    link: &'l ClusterLink,
    /// The server that is connected to.
    name: String,
    outage: Option<Outage>,
    presence_outage: Option<PresenceOutage>,
    room_errors: RepeatedErrors,
    keeping_errors: RepeatedErrors,
    was_connected: bool,
    backoff: Backoff,
}

/// A time without connection.
struct Outage {
    since: Instant,
    failures: u32,
    /// Present once it is logged.
    repeat: Option<LogInterval>,
}

#[derive(Debug, PartialEq, Eq)]
enum LogLine {
    First,
    Repeated,
}

/// A time in which commands that presence needs are rejected.
struct PresenceOutage {
    since: Instant,
    repeat: LogInterval,
}

/// Errors of one kind, such as those about single rooms: there may be many, and the log has one now and then.
#[derive(Default)]
struct RepeatedErrors {
    unlogged: u64,
    repeat: Option<LogInterval>,
}

impl RepeatedErrors {
    /// Counts an error. Returns how many there were since the last line, if the next is due.
    fn count(&mut self, now: Instant) -> Option<u64> {
        self.unlogged += 1;
        let is_due = match &mut self.repeat {
            Some(repeat) => repeat.is_due(now),
            None => {
                self.repeat = Some(LogInterval::since(now));
                true
            }
        };
        is_due.then(|| std::mem::take(&mut self.unlogged))
    }
}

impl Outage {
    fn begin() -> Self {
        Self { since: Instant::now(), failures: 0, repeat: None }
    }

    /// The line that is due. Repetitions count from the first line, which comes late when attempts take long.
    fn line(&mut self, now: Instant) -> Option<LogLine> {
        let Some(repeat) = &mut self.repeat else {
            self.repeat = Some(LogInterval::since(now));
            return Some(LogLine::First);
        };
        repeat.is_due(now).then_some(LogLine::Repeated)
    }
}

impl<'l> LinkStatus<'l> {
    /// Before the first connection; nothing has failed.
    pub(super) fn new(context: &'l Context, link: &'l ClusterLink, name: String) -> Self {
        context.metrics.connected.set(0.0);
        Self {
            context,
            link,
            name,
            outage: Some(Outage::begin()),
            presence_outage: None,
            room_errors: RepeatedErrors::default(),
            keeping_errors: RepeatedErrors::default(),
            was_connected: false,
            backoff: RETRY,
        }
    }

    /// Everything has been stored and read over the connection. Idempotent.
    pub(super) fn connected(&mut self) {
        let Some(outage) = self.outage.take() else { return };
        self.link.set_resync(None);
        self.backoff.reset();
        let (Context { node, metrics, .. }, name) = (self.context, &self.name);
        metrics.connected.set(1.0);
        self.update_connectivity();
        let is_logged = outage.repeat.is_some();
        if is_logged {
            metrics.reconnects.increment(1);
        }
        let again = if std::mem::replace(&mut self.was_connected, true) { " again" } else { "" };
        let away_ms = is_logged.then(|| outage.since.elapsed().as_millis() as u64);
        info!(%node, away_ms, "Connected to {name}{again}");
    }

    /// The connection is lost, or could not be opened.
    pub(super) fn disconnected(&mut self, error: &BusError) {
        let (context, name) = (self.context, &self.name);
        self.link.set_resync(None);
        self.set_failing_rooms(0);
        let is_new = self.outage.is_none();
        let outage = self.outage.get_or_insert_with(|| {
            context.metrics.connected.set(0.0);
            context.metrics.presence_shared.set(0.0);
            self.link.set(Connectivity::Disconnected { since: Instant::now() });
            Outage::begin()
        });
        let record = |text: fmt::Arguments<'_>| context.reports.record(Code::BusAway.at(Scope::Log), text);
        outage.failures += u32::from(!is_new);
        match outage.line(Instant::now()) {
            None => {}
            Some(LogLine::First) => {
                let what = if is_new { "lost the connection to" } else { "cannot reach" };
                record(format_args!("{what} {name}: {error}"));
            }
            Some(LogLine::Repeated) => {
                let lasted = format_duration(Duration::from_secs(outage.since.elapsed().as_secs()));
                let never = if self.was_connected { "" } else { ", never reached so far" };
                let failures = outage.failures;
                record(format_args!(
                    "cannot reach {name} for {lasted} and {failures} attempts{never}: {error}"
                ));
            }
        }
    }

    /// A command that presence needs is rejected, although messages pass.
    pub(super) fn presence_rejected(&mut self, reason: &str) {
        let (now, name, reports) = (Instant::now(), &self.name, &self.context.reports);
        let code = Code::BusPresenceRefused.at(Scope::Log);
        match &mut self.presence_outage {
            None => {
                self.presence_outage = Some(PresenceOutage { since: now, repeat: LogInterval::since(now) });
                let text = format_args!("{name} delivers messages, but refuses presence commands: {reason}");
                reports.record(code, text);
                self.update_connectivity();
            }
            Some(outage) => {
                if outage.repeat.is_due(now) {
                    let lasted = format_duration(Duration::from_secs(outage.since.elapsed().as_secs()));
                    let text = format_args!("{name} has refused what presence needs for {lasted}: {reason}");
                    reports.record(code, text);
                }
            }
        }
    }

    /// The presence of one room cannot be stored or read, or had to be stored again. Others are not concerned.
    pub(super) fn room_failed(&mut self, name: &str, reason: &BusRejection) {
        self.context.metrics.room_errors.increment(1);
        if *reason == BusRejection::WrongType {
            self.context.metrics.wrong_types.increment(1);
        }
        if let Some(errors) = self.room_errors.count(Instant::now()) {
            warn!(room = name, errors, "The presence of a room is not shared in full for now: {reason}");
        }
    }

    /// Messages of clients could not be kept for members that join later. They were published.
    pub(super) fn messages_not_kept(&mut self, messages: u32, reason: &str) {
        self.context.metrics.unkept.increment(messages.into());
        if let Some(errors) = self.keeping_errors.count(Instant::now()) {
            warn!(errors, "{} does not keep messages of rooms (broadcast.history): {reason}", self.name);
        }
    }

    /// Keys that are not about one room were of another type, and were deleted.
    pub(super) fn wrong_types_deleted(&self, keys: usize) {
        if keys > 0 {
            self.context.metrics.wrong_types.increment(keys as u64);
            warn!(keys, "Deleted keys in {}: {}", self.name, BusRejection::WrongType);
        }
    }

    /// So many rooms fail now.
    pub(super) fn set_failing_rooms(&self, rooms: usize) {
        self.context.metrics.presence_failing_rooms.set(rooms as f64);
        self.link.set_failing_rooms(rooms);
    }

    /// How far the connection is from being established.
    pub(super) fn set_progress(&self, progress: ResyncProgress) {
        self.link.set_resync(self.outage.is_some().then_some(progress));
    }

    /// Nothing is rejected, and everything that was has been stored.
    pub(super) fn presence_accepted(&mut self) {
        if let Some(outage) = self.presence_outage.take() {
            let refused_ms = outage.since.elapsed().as_millis() as u64;
            info!(node = %self.context.node, refused_ms, "{} takes what presence needs again", self.name);
            self.update_connectivity();
        }
    }

    /// Publishes the connectivity, while there is a connection.
    fn update_connectivity(&self) {
        let (connectivity, is_shared) = match &self.presence_outage {
            _ if self.outage.is_some() => return,
            Some(_) => (Connectivity::WithoutPresence, 0.0),
            None => (Connectivity::Connected, 1.0),
        };
        self.link.set(connectivity);
        self.context.metrics.presence_shared.set(is_shared);
    }

    /// The wait before the next attempt to connect.
    pub(super) fn next_wait(&mut self) -> Duration {
        self.backoff.next_wait()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_rooms_are_logged_together() {
        let (mut errors, begun) = (RepeatedErrors::default(), Instant::now());
        let mut count = |seconds| errors.count(begun + Duration::from_secs(seconds));
        assert_eq!(
            [count(0), count(1), count(9), count(10), count(11)],
            [Some(1), None, None, Some(3), None]
        );
    }

    // A connection that never opens takes some seconds to fail, and a second line within ten would not be written.
    #[test]
    fn the_line_is_repeated_ten_seconds_after_the_first() {
        let mut outage = Outage::begin();
        let begun = outage.since;
        let mut line = |millis| outage.line(begun + Duration::from_millis(millis));
        assert_eq!(line(4_500), Some(LogLine::First));
        assert_eq!(line(9_500), None);
        assert_eq!(line(14_400), None);
        assert_eq!(line(14_500), Some(LogLine::Repeated));
        assert_eq!(line(74_400), None);
        assert_eq!(line(74_500), Some(LogLine::Repeated));
    }
}
