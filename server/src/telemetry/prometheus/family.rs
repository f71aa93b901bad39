//! One metric of the page: its type, its help text, and its series.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, RwLock};

use super::sampled::{Ended, SampledSeries, SampledValue};
use super::series::{Selection, Series};

/// The type of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MetricType {
    Counter,
    Gauge,
    Histogram,
}

impl MetricType {
    fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// One metric.
pub(super) struct Family {
    /// As the page has it.
    kind: MetricType,
    help: OnceLock<String>,
    /// The bounds of a histogram, as they are written.
    bounds: Vec<String>,
    /// By their labels. Locked for each metric apart, and never while lines are written: who registers a series waits for no page.
    series: RwLock<BTreeMap<Box<str>, Arc<Series>>>,
    /// What the series of tenants have counted that are forgotten, so that sums over all tenants never go back.
    ended: Mutex<Ended>,
}

impl Family {
    pub(super) fn new(kind: MetricType, bounds: Vec<String>) -> Self {
        Self { kind, help: OnceLock::new(), bounds, series: RwLock::default(), ended: Mutex::default() }
    }

    /// Notes its help text, unless it has one.
    pub(super) fn describe(&self, help: &str) {
        self.help.get_or_init(|| help.replace('\\', r"\\").replace('\n', r"\n"));
    }

    /// The series with these labels.
    pub(super) fn series(&self, labels: Box<str>, make: impl FnOnce(Box<str>) -> Series) -> Arc<Series> {
        if let Some(series) = self.series.read().get(&labels) {
            return Arc::clone(series);
        }
        let mut all = self.series.write();
        Arc::clone(all.entry(labels).or_insert_with_key(|labels| Arc::new(make(labels.clone()))))
    }

    /// Forgets the series of tenants that nothing can count in any more, and notes which tenants are active.
    pub(super) fn look_at_series(&self) {
        let mut ended = self.ended.lock();
        self.series.write().retain(|_, series| {
            // A series whose handle is being given out is held by who gets it.
            let stays = series.is_in_use() || Arc::strong_count(series) > 1;
            if !stays {
                ended.add(series.sampled(""));
            }
            stays
        });
        drop(ended);
        self.snapshot().iter().for_each(|series| series.note_activity());
    }

    /// Writes its lines, if it has such series that are shown.
    pub(super) fn write(&self, name: &str, selection: Selection, page: &mut String) {
        let series = self.snapshot();
        let mut shown = series.iter().filter(|series| series.is_shown_in(selection)).peekable();
        if shown.peek().is_none() {
            return;
        }
        if let Some(help) = self.help.get() {
            let _infallible = writeln!(page, "# HELP {name} {help}");
        }
        let _infallible = writeln!(page, "# TYPE {name} {}", self.kind.word());
        shown.for_each(|series| series.write(name, &self.bounds, page));
        page.push('\n');
    }

    /// Calls `visit` with each of its series, and with what those have counted that are forgotten.
    pub(super) fn visit(&self, name: &str, visit: &mut dyn FnMut(SampledSeries<'_>)) {
        // Locked while the series are read, so that none is forgotten between the two and missed, or seen twice.
        let ended = self.ended.lock();
        for series in self.snapshot() {
            let mut sampled = series.sampled(name);
            if let (MetricType::Counter, SampledValue::Gauge(value)) = (self.kind, &sampled.value) {
                // Seconds of the processor: a counter with fractions, which the facade does not have.
                sampled.value = SampledValue::Counter(*value);
            }
            visit(sampled);
        }
        ended.visit(name, visit);
    }

    fn snapshot(&self) -> Vec<Arc<Series>> {
        self.series.read().values().map(Arc::clone).collect()
    }
}
