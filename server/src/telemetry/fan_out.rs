//! One recorder in front of any number of exporters: what is registered once is counted in each of them.
//!
//! Handles are made once and kept, so the fan-out costs one atomic operation per exporter and nothing for the
//! recorder itself. With one exporter its own handles are given out, without a layer between.

use std::sync::Arc;

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};

/// Where metrics go: Prometheus' page, or whatever else implements the facade's [`Recorder`].
pub type Exporter = Arc<dyn Recorder + Send + Sync>;

/// Registers and describes every metric with each exporter.
pub(super) struct FanOut {
    exporters: Vec<Exporter>,
}

impl FanOut {
    pub(super) fn new(exporters: Vec<Exporter>) -> Self {
        Self { exporters }
    }

    /// One handle for the handles that `register` gets from each exporter.
    fn register<H>(&self, register: impl Fn(&Exporter) -> H, combine: fn(Arc<Handles<H>>) -> H) -> H {
        let mut handles: Vec<H> = self.exporters.iter().map(register).collect();
        match handles.len() {
            1 => handles.remove(0),
            _ => combine(Arc::new(Handles(handles))),
        }
    }
}

impl Recorder for FanOut {
    fn describe_counter(&self, name: KeyName, unit: Option<Unit>, help: SharedString) {
        self.exporters.iter().for_each(|e| e.describe_counter(name.clone(), unit, help.clone()));
    }

    fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, help: SharedString) {
        self.exporters.iter().for_each(|e| e.describe_gauge(name.clone(), unit, help.clone()));
    }

    fn describe_histogram(&self, name: KeyName, unit: Option<Unit>, help: SharedString) {
        self.exporters.iter().for_each(|e| e.describe_histogram(name.clone(), unit, help.clone()));
    }

    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> Counter {
        self.register(|exporter| exporter.register_counter(key, metadata), Counter::from_arc)
    }

    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> Gauge {
        self.register(|exporter| exporter.register_gauge(key, metadata), Gauge::from_arc)
    }

    fn register_histogram(&self, key: &Key, metadata: &Metadata<'_>) -> Histogram {
        self.register(|exporter| exporter.register_histogram(key, metadata), Histogram::from_arc)
    }
}

/// One handle that counts in both.
pub(super) fn combined(one: &Counter, other: &Counter) -> Counter {
    Counter::from_arc(Arc::new(Handles(vec![one.clone(), other.clone()])))
}

/// One handle that records in both.
pub(super) fn combined_histogram(one: &Histogram, other: &Histogram) -> Histogram {
    Histogram::from_arc(Arc::new(Handles(vec![one.clone(), other.clone()])))
}

/// Handles that one stands for: of one metric, one for each exporter, or of two metrics.
struct Handles<H>(Vec<H>);

impl CounterFn for Handles<Counter> {
    fn increment(&self, by: u64) {
        self.0.iter().for_each(|counter| counter.increment(by));
    }

    fn absolute(&self, value: u64) {
        self.0.iter().for_each(|counter| counter.absolute(value));
    }
}

impl GaugeFn for Handles<Gauge> {
    fn increment(&self, by: f64) {
        self.0.iter().for_each(|gauge| gauge.increment(by));
    }

    fn decrement(&self, by: f64) {
        self.0.iter().for_each(|gauge| gauge.decrement(by));
    }

    fn set(&self, value: f64) {
        self.0.iter().for_each(|gauge| gauge.set(value));
    }
}

impl HistogramFn for Handles<Histogram> {
    fn record(&self, value: f64) {
        self.0.iter().for_each(|histogram| histogram.record(value));
    }
}

#[cfg(test)]
mod tests {
    use metrics::{Label, Level};
    use settings::MetricsFormat;

    use super::super::prometheus::Prometheus;
    use super::*;

    metrics! {
        /// One metric of each kind.
        pub struct Samples {
            /// Things counted.
            pub counter: Counter = "samples_counted_total",
            /// Things there now.
            pub gauge: Gauge = "samples_now",
            /// Sizes of things.
            pub histogram: Histogram = "samples_size",
        }
    }

    #[test]
    fn every_exporter_sees_every_metric_with_its_help_and_labels() {
        let exporters = [None, Some("eu")].map(|region| Prometheus::new(region, MetricsFormat::Prometheus));
        let fan_out = FanOut::new(exporters.iter().map(Prometheus::exporter).collect());
        let samples = Samples::register(&fan_out, &[Label::new("tenant", "acme")]);
        samples.counter.increment(2);
        samples.gauge.set(5.0);
        samples.gauge.decrement(1.0);
        samples.histogram.record(7.0);
        for (exporter, labels) in
            exporters.iter().zip([r#"{tenant="acme"}"#, r#"{region="eu",tenant="acme"}"#])
        {
            let page = exporter.render();
            for line in [
                "# HELP samples_counted_total Things counted.",
                &format!("samples_counted_total{labels} 2"),
                &format!("samples_now{labels} 4"),
                &format!("samples_size_sum{labels} 7"),
            ] {
                assert!(page.lines().any(|found| found == line), "{line}\n{page}");
            }
        }
    }

    #[test]
    fn one_exporters_handles_are_its_own_and_none_is_possible() {
        let metadata = Metadata::new(module_path!(), Level::INFO, None);
        let prometheus = Prometheus::new(None, MetricsFormat::Prometheus);
        let alone = FanOut::new(vec![prometheus.exporter()]);
        alone.register_counter(&"alone_total".into(), &metadata).increment(1);
        assert!(prometheus.render().contains("alone_total 1"));
        FanOut::new(Vec::new()).register_counter(&"nowhere_total".into(), &metadata).increment(1);
    }
}
