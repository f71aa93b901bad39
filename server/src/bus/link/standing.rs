//! How the link stands: whether this node hears the others, since when, and when it is tried again.
//!
//! A cable counts when everything has been told and read over it. One that is lost before, perhaps because of
//! what is told or read, is one more attempt in a row: each waits longer, and the log is silent.

use std::time::{Duration, Instant};

use tracing::info;

use super::{Condition, Context, Link};
use crate::bus::backoff::Backoff;
use crate::bus::{BusError, told};
use crate::telemetry::codes::{Code, Place};

/// How the link stands, and who wants to know.
pub(super) struct Standing<'l> {
    context: &'l Context,
    link: &'l Link,
    away: Option<Away>,
    backoff: Backoff,
}

/// A time in which the others are not heard.
struct Away {
    since: Instant,
    /// Whether the log says why.
    explained: bool,
}

impl Away {
    fn begin() -> Self {
        Self { since: Instant::now(), explained: false }
    }
}

impl<'l> Standing<'l> {
    /// Before the first cable; so far nothing is wrong.
    pub(super) fn new(context: &'l Context, link: &'l Link) -> Self {
        context.metrics.connected.set(0.0);
        Self { context, link, away: Some(Away::begin()), backoff: Backoff::new() }
    }

    /// Everything has been told and read. Again: nothing happens.
    pub(super) fn settle(&mut self) {
        let Some(away) = self.away.take() else { return };
        let Context { node, metrics, .. } = self.context;
        self.backoff.reset();
        metrics.connected.set(1.0);
        self.link.set(Condition::Connected);
        if away.explained {
            metrics.reconnects.increment(1);
            info!(%node, away_ms = away.since.elapsed().as_millis() as u64, "The bus is back");
        } else {
            info!(%node, "Connected to the bus");
        }
    }

    /// There is no cable, or no more. The log says why once: whoever reads it does not want to know how often it
    /// was tried.
    pub(super) fn lose(&mut self, why: &BusError) {
        let context = self.context;
        let away = self.away.get_or_insert_with(|| {
            context.metrics.connected.set(0.0);
            self.link.set(Condition::Away { since: Instant::now() });
            Away::begin()
        });
        if !std::mem::replace(&mut away.explained, true) {
            let why = told(why);
            context.reports.tell(Code::BusAway.at(Place::Log), format_args!("The bus is away: {why}"));
        }
    }

    /// How long to wait before the next attempt.
    pub(super) fn wait(&mut self) -> Duration {
        self.backoff.next()
    }
}
