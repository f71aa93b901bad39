//! What there is to know of every metric of a server: its type, its labels, its help text.

use std::collections::BTreeMap;
use std::sync::Arc;

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use parking_lot::Mutex;
use settings::MetricsFormat;

use crate::telemetry::metrics::{CODE_COUNTERS, Hit, MessageType, Metrics, ReasonCounter};
use crate::telemetry::process::CPU_SECONDS;

/// What is known of a metric.
#[derive(Debug, Default)]
pub(in crate::telemetry) struct MetricDescription {
    pub(in crate::telemetry) kind: &'static str,
    pub(in crate::telemetry) labels: Vec<String>,
    pub(in crate::telemetry) help: String,
}

/// Keeps the descriptions of metrics by name, and no values.
#[derive(Debug, Default)]
struct Descriptions(Mutex<BTreeMap<String, MetricDescription>>);

/// Every metric of a server with this format.
pub(in crate::telemetry) fn described(format: MetricsFormat) -> BTreeMap<String, MetricDescription> {
    let descriptions = Arc::new(Descriptions::default());
    let exporter = Arc::clone(&descriptions) as Arc<_>;
    let metrics = Metrics::in_format(vec![exporter], format);
    let of_a_tenant = metrics.tenant("".into());
    let _registered = (&*of_a_tenant, of_a_tenant.database(), of_a_tenant.replay());
    // What has a series for each value of a label.
    of_a_tenant.count_deliveries(Hit::Received, 0);
    let _registered = (of_a_tenant.payload_size(MessageType::Broadcast), metrics.http.register("", 0));
    let mut found = std::mem::take(&mut *descriptions.0.lock());
    // As the page has it.
    found.entry(CPU_SECONDS.into()).or_default().kind = "counter";
    for (name, labels, _help) in CODE_COUNTERS {
        found.entry(name.into()).or_default().labels = labels.iter().map(|label| (*label).into()).collect();
    }
    for (name, _help) in ReasonCounter::ALL.map(ReasonCounter::description) {
        found.entry(name.into()).or_default().labels = ReasonCounter::LABELS.map(Into::into).into();
    }
    found
}

impl Descriptions {
    fn describe(&self, kind: &'static str, name: &KeyName, help: &SharedString) {
        let mut all = self.0.lock();
        let description = all.entry(name.as_str().into()).or_default();
        (description.kind, description.help) = (kind, help.to_string());
    }

    fn register(&self, key: &Key) {
        let labels = key.labels().map(|label| label.key().to_owned()).collect();
        self.0.lock().entry(key.name().into()).or_default().labels = labels;
    }
}

impl Recorder for Descriptions {
    fn describe_counter(&self, name: KeyName, _unit: Option<Unit>, help: SharedString) {
        self.describe("counter", &name, &help);
    }

    fn describe_gauge(&self, name: KeyName, _unit: Option<Unit>, help: SharedString) {
        self.describe("gauge", &name, &help);
    }

    fn describe_histogram(&self, name: KeyName, _unit: Option<Unit>, help: SharedString) {
        self.describe("histogram", &name, &help);
    }

    fn register_counter(&self, key: &Key, _metadata: &Metadata<'_>) -> Counter {
        self.register(key);
        Counter::noop()
    }

    fn register_gauge(&self, key: &Key, _metadata: &Metadata<'_>) -> Gauge {
        self.register(key);
        Gauge::noop()
    }

    fn register_histogram(&self, key: &Key, _metadata: &Metadata<'_>) -> Histogram {
        self.register(key);
        Histogram::noop()
    }
}
