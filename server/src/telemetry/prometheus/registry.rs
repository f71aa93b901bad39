//! Every metric of the page, by name.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;

use metrics::atomics::AtomicU64;
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Label, Metadata, Recorder, SharedString, Unit};
use parking_lot::{Mutex, RwLock};
use settings::{MetricsFormat, NO_TENANT};

use super::buckets::Buckets;
use super::family::{Family, MetricType};
use super::sampled::{SampledSeries, TENANT};
use super::series::{Selection, Series, SeriesValue};
use super::shown_tenants::ShownTenants;
use crate::telemetry::bounds;
use crate::telemetry::process::CPU_SECONDS;

/// The metrics behind one page.
pub(super) struct SeriesRegistry {
    /// Labels of every series.
    global_labels: Vec<Label>,
    format: MetricsFormat,
    families: RwLock<BTreeMap<Box<str>, Arc<Family>>>,
    pub(super) tenants: Mutex<ShownTenants>,
}

impl SeriesRegistry {
    pub(super) fn new(global_labels: Vec<Label>, format: MetricsFormat) -> Self {
        let tenants = Mutex::new(ShownTenants::unlimited());
        Self { global_labels, format, families: RwLock::default(), tenants }
    }

    /// Looks which tenants are shown.
    pub(super) fn look_at_tenants(&self, now: Instant) {
        self.families().iter().for_each(|(_, family)| family.look_at_series());
        self.tenants.lock().update(now);
    }

    /// Writes the lines of all metrics that have such series.
    pub(super) fn write(&self, selection: Selection, page: &mut String) {
        self.families().iter().for_each(|(name, family)| family.write(name, selection, page));
    }

    /// Calls `visit` with each series of the metrics that are wanted.
    pub(super) fn visit(&self, is_wanted: &dyn Fn(&str) -> bool, visit: &mut dyn FnMut(SampledSeries<'_>)) {
        let families = self.families().into_iter().filter(|(name, _)| is_wanted(name));
        families.for_each(|(name, family)| family.visit(&name, visit));
    }

    fn families(&self) -> Vec<(Box<str>, Arc<Family>)> {
        self.families.read().iter().map(|(name, family)| (name.clone(), Arc::clone(family))).collect()
    }

    fn family(&self, name: &str, kind: MetricType) -> Arc<Family> {
        if let Some(family) = self.families.read().get(name) {
            return Arc::clone(family);
        }
        let kind = if name == CPU_SECONDS { MetricType::Counter } else { kind };
        let bounds = match kind {
            MetricType::Histogram => {
                bounds::of(name).iter().map(|bound| spelled(*bound, self.format)).collect()
            }
            MetricType::Counter | MetricType::Gauge => Vec::new(),
        };
        let mut families = self.families.write();
        Arc::clone(families.entry(name.into()).or_insert_with(|| Arc::new(Family::new(kind, bounds))))
    }

    fn series(&self, key: &Key, kind: MetricType, value: impl FnOnce() -> SeriesValue) -> Arc<Series> {
        let labels = written(self.global_labels.iter().chain(key.labels()));
        let tenant = key.labels().find(|label| label.key() == TENANT && label.value() != NO_TENANT);
        let activity = tenant.map(|tenant| self.tenants.lock().activity(tenant.value(), Instant::now()));
        self.family(key.name(), kind).series(labels, |labels| Series::new(labels, value(), activity))
    }
}

impl Recorder for SeriesRegistry {
    fn describe_counter(&self, name: KeyName, _unit: Option<Unit>, help: SharedString) {
        self.family(name.as_str(), MetricType::Counter).describe(&help);
    }

    fn describe_gauge(&self, name: KeyName, _unit: Option<Unit>, help: SharedString) {
        self.family(name.as_str(), MetricType::Gauge).describe(&help);
    }

    fn describe_histogram(&self, name: KeyName, _unit: Option<Unit>, help: SharedString) {
        self.family(name.as_str(), MetricType::Histogram).describe(&help);
    }

    fn register_counter(&self, key: &Key, _metadata: &Metadata<'_>) -> Counter {
        let zero = || SeriesValue::Counter(Arc::new(AtomicU64::new(0)));
        match &self.series(key, MetricType::Counter, zero).value {
            SeriesValue::Counter(value) => Counter::from_arc(Arc::clone(value)),
            _of_another_type => Counter::noop(),
        }
    }

    fn register_gauge(&self, key: &Key, _metadata: &Metadata<'_>) -> Gauge {
        let zero = || SeriesValue::Gauge(Arc::new(AtomicU64::new(0f64.to_bits())));
        match &self.series(key, MetricType::Gauge, zero).value {
            SeriesValue::Gauge(value) => Gauge::from_arc(Arc::clone(value)),
            _of_another_type => Gauge::noop(),
        }
    }

    fn register_histogram(&self, key: &Key, _metadata: &Metadata<'_>) -> Histogram {
        let empty = || SeriesValue::Histogram(Arc::new(Buckets::new(bounds::of(key.name()))));
        match &self.series(key, MetricType::Histogram, empty).value {
            SeriesValue::Histogram(buckets) => Histogram::from_arc(Arc::clone(buckets)),
            _of_another_type => Histogram::noop(),
        }
    }
}

/// Labels as they stand between braces.
fn written<'l>(labels: impl Iterator<Item = &'l Label>) -> Box<str> {
    let mut written = String::new();
    for label in labels {
        let value = label.value().replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
        let comma = if written.is_empty() { "" } else { "," };
        let _infallible = write!(written, "{comma}{}=\"{value}\"", label.key());
    }
    written.into()
}

/// A bound of a histogram, as it is written.
fn spelled(bound: f64, format: MetricsFormat) -> String {
    match format {
        MetricsFormat::Prometheus => bound.to_string(),
        // Its runtime prints fractions, with the decimals that whole numbers do not have.
        MetricsFormat::Supabase => format!("{bound:?}"),
    }
}
