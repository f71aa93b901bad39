//! How the link stands: whether this node hears the peers, since when, and when it is tried again.
//!
//! A cable counts when everything has been told and read over it. One that is lost before, perhaps because of
//! what is told or read, is one more attempt in a row, and each waits longer. The log says at the beginning that
//! there is none and why, and reminds of it while that lasts.

use std::fmt;
use std::time::{Duration, Instant};

use humantime_serde::re::humantime::format_duration;
use tracing::info;

use super::log_interval::LogInterval;
use super::{ClusterLink, Connectivity, Context};
use crate::bus::BusError;
use crate::bus::backoff::Backoff;
use crate::telemetry::codes::{Code, Scope};

/// How the link stands, and who wants to know.
pub(super) struct LinkStatus<'l> {
    context: &'l Context,
    link: &'l ClusterLink,
    /// What is connected to.
    name: String,
    away: Option<Outage>,
    /// There while something is refused that presence needs.
    denied: Option<PresenceOutage>,
    was_reached: bool,
    backoff: Backoff,
}

/// A time in which the peers are not heard.
struct Outage {
    since: Instant,
    /// How often a connection was tried for in vain.
    attempts: u32,
    /// There once the log says so.
    reminder: Option<LogInterval>,
}

/// A line in the log.
#[derive(Debug, PartialEq, Eq)]
enum LogLine {
    First,
    LogInterval,
}

/// A time in which presence is refused.
struct PresenceOutage {
    since: Instant,
    reminder: LogInterval,
}

impl Outage {
    fn begin() -> Self {
        Self { since: Instant::now(), attempts: 0, reminder: None }
    }

    /// The line that is due. Reminders follow the first line, which comes late when attempts take long.
    fn line(&mut self, now: Instant) -> Option<LogLine> {
        let Some(reminder) = &mut self.reminder else {
            self.reminder = Some(LogInterval::since(now));
            return Some(LogLine::First);
        };
        reminder.is_due(now).then_some(LogLine::LogInterval)
    }
}

impl<'l> LinkStatus<'l> {
    /// Before the first cable; so far nothing is wrong.
    pub(super) fn new(context: &'l Context, link: &'l ClusterLink, name: String) -> Self {
        context.metrics.connected.set(0.0);
        Self {
            context,
            link,
            name,
            away: Some(Outage::begin()),
            denied: None,
            was_reached: false,
            backoff: Backoff::new(),
        }
    }

    /// Everything has been told and read. Again: nothing happens.
    pub(super) fn settle(&mut self) {
        let Some(away) = self.away.take() else { return };
        self.backoff.reset();
        let (Context { node, metrics, .. }, name) = (self.context, &self.name);
        metrics.connected.set(1.0);
        self.show();
        let is_told = away.reminder.is_some();
        if is_told {
            metrics.reconnects.increment(1);
        }
        let again = if std::mem::replace(&mut self.was_reached, true) { " again" } else { "" };
        let away_ms = is_told.then(|| away.since.elapsed().as_millis() as u64);
        info!(%node, away_ms, "Connected to {name}{again}");
    }

    /// There is no cable, or no more.
    pub(super) fn lose(&mut self, why: &BusError) {
        let (context, name) = (self.context, &self.name);
        let is_new = self.away.is_none();
        let away = self.away.get_or_insert_with(|| {
            context.metrics.connected.set(0.0);
            context.metrics.presence_shared.set(0.0);
            self.link.set(Connectivity::Disconnected { since: Instant::now() });
            Outage::begin()
        });
        let tell = |text: fmt::Arguments<'_>| context.reports.record(Code::BusAway.at(Scope::Log), text);
        away.attempts += u32::from(!is_new);
        match away.line(Instant::now()) {
            None => {}
            Some(LogLine::First) => {
                let what = if is_new { "lost the connection to" } else { "cannot reach" };
                tell(format_args!("{what} {name}: {why}"));
            }
            Some(LogLine::LogInterval) => {
                let lasted = format_duration(Duration::from_secs(away.since.elapsed().as_secs()));
                let (attempts, never) =
                    (away.attempts, if self.was_reached { "" } else { ", never reached so far" });
                tell(format_args!("cannot reach {name} for {lasted} and {attempts} attempts{never}: {why}"));
            }
        }
    }

    /// Presence cannot be shared in full with the peers, for this reason, although messages pass.
    pub(super) fn deny(&mut self, why: &str) {
        let (now, name, reports) = (Instant::now(), &self.name, &self.context.reports);
        let report = Code::BusPresenceRefused.at(Scope::Log);
        match &mut self.denied {
            None => {
                self.denied = Some(PresenceOutage { since: now, reminder: LogInterval::since(now) });
                reports.record(
                    report,
                    format_args!("{name} refuses what presence needs, and passes messages: {why}"),
                );
                self.show();
            }
            Some(denied) => {
                if denied.reminder.is_due(now) {
                    let lasted = format_duration(Duration::from_secs(denied.since.elapsed().as_secs()));
                    reports.record(
                        report,
                        format_args!("{name} has refused what presence needs for {lasted}: {why}"),
                    );
                }
            }
        }
    }

    /// Nothing is refused, and everything that was has been made up for.
    pub(super) fn allow(&mut self) {
        if let Some(denied) = self.denied.take() {
            let refused_ms = denied.since.elapsed().as_millis() as u64;
            info!(node = %self.context.node, refused_ms, "{} takes what presence needs again", self.name);
            self.show();
        }
    }

    /// Shows how things stand, while there is a cable.
    fn show(&self) {
        let connectivity = match &self.denied {
            _ if self.away.is_some() => return,
            Some(_) => Connectivity::WithoutPresence,
            None => Connectivity::Connected,
        };
        self.link.set(connectivity);
        self.context.metrics.presence_shared.set(if connectivity == Connectivity::Connected {
            1.0
        } else {
            0.0
        });
    }

    /// How long to wait before the next attempt.
    pub(super) fn wait(&mut self) -> Duration {
        self.backoff.next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // A connection that never opens takes some seconds to fail, and a second line within ten would not be written.
    #[test]
    fn the_reminder_comes_ten_seconds_after_the_first_line() {
        let mut away = Outage::begin();
        let begun = away.since;
        let mut line = |millis| away.line(begun + Duration::from_millis(millis));
        assert_eq!(line(4_500), Some(LogLine::First));
        assert_eq!(line(9_500), None);
        assert_eq!(line(14_400), None);
        assert_eq!(line(14_500), Some(LogLine::LogInterval));
        assert_eq!(line(74_400), None);
        assert_eq!(line(74_500), Some(LogLine::LogInterval));
    }
}
