//! The status of the link: whether this node is connected, since when, and when it connects again.
//!
//! A connection is established when everything has been stored and read over it. One that is lost before, perhaps because
//! of what is stored or read, is one more failed attempt, and the waits grow. The log has the first failure with its cause, and
//! repeats it while it lasts.

use std::fmt;
use std::time::{Duration, Instant};

use humantime_serde::re::humantime::format_duration;
use tracing::info;

use super::log_interval::LogInterval;
use super::{ClusterLink, Connectivity, Context};
use crate::bus::BusError;
use crate::bus::backoff::Backoff;
use crate::telemetry::codes::{Code, Scope};

pub(super) struct LinkStatus<'l> {
    context: &'l Context,
    link: &'l ClusterLink,
    /// The server that is connected to.
    name: String,
    outage: Option<Outage>,
    presence_outage: Option<PresenceOutage>,
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
            was_connected: false,
            backoff: Backoff::new(),
        }
    }

    /// Everything has been stored and read over the connection. Idempotent.
    pub(super) fn connected(&mut self) {
        let Some(outage) = self.outage.take() else { return };
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
        self.backoff.next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
