//! The exporter that Prometheus scrapes: its text page.

use std::sync::Arc;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use super::fan_out::Exporter;

/// Bounds of `realtime_tenants_payload_size`, as upstream's dashboards expect them, in bytes.
const PAYLOAD_SIZES: [f64; 11] = [
    250.0,
    500.0,
    1_000.0,
    3_000.0,
    5_000.0,
    10_000.0,
    25_000.0,
    100_000.0,
    500_000.0,
    1_000_000.0,
    3_000_000.0,
];

/// Bounds of the times of questions to databases, as upstream's dashboards expect them, in milliseconds.
const AUTHORIZATION_TIMES: [f64; 4] = [10.0, 250.0, 5_000.0, 15_000.0];

/// Bounds of the times that changes of tables take, in milliseconds: from a few, to what the database may take, to a wait for it.
const CHANGES_TIMES: [f64; 8] = [5.0, 25.0, 100.0, 500.0, 1_000.0, 5_000.0, 15_000.0, 60_000.0];

/// Histograms, and the bounds of their buckets.
const BUCKETS: [(&str, &[f64]); 6] = [
    ("realtime_changes_delay", &CHANGES_TIMES),
    ("realtime_changes_lookups", &CHANGES_TIMES),
    ("realtime_tenants_payload_size", &PAYLOAD_SIZES),
    ("realtime_tenants_read_authorization_check", &AUTHORIZATION_TIMES),
    ("realtime_tenants_write_authorization_check", &AUTHORIZATION_TIMES),
    ("realtime_tenants_replay", &AUTHORIZATION_TIMES),
];

/// The one counter that is registered as a gauge (see `process.rs`).
pub(super) const CPU_SECONDS: &str = "process_cpu_seconds_total";

/// The page of one server. Not installed globally: two servers in one process, as in tests, have separate metrics.
pub struct Prometheus {
    recorder: Arc<PrometheusRecorder>,
    handle: PrometheusHandle,
}

impl Prometheus {
    /// An empty page. Every metric carries the label `region`, if this node is in one.
    ///
    /// # Panics
    /// Never: the bounds of the histograms are not empty.
    pub fn new(region: Option<&str>) -> Self {
        let builder = PrometheusBuilder::new();
        let builder = match region {
            Some(region) => builder.add_global_label("region", region),
            None => builder,
        };
        let recorder = BUCKETS.into_iter().fold(builder, |builder, (name, bounds)| {
            let metric = Matcher::Full(name.into());
            builder.set_buckets_for_metric(metric, bounds).expect("the bounds are not empty")
        });
        let recorder = recorder.build_recorder();
        Self { handle: recorder.handle(), recorder: Arc::new(recorder) }
    }

    /// What metrics are registered with.
    pub fn exporter(&self) -> Exporter {
        Arc::clone(&self.recorder) as Exporter
    }

    /// Sorts the samples of histograms into their buckets. Until this or [`render`](Self::render) is called,
    /// each sample is kept.
    pub fn run_upkeep(&self) {
        self.handle.run_upkeep();
    }

    /// The page, in Prometheus' text format.
    pub fn render(&self) -> String {
        // The facade has gauges of fractions and counters of whole numbers; CPU time is a counter of fractions.
        let [gauge, counter] = ["gauge", "counter"].map(|kind| format!("# TYPE {CPU_SECONDS} {kind}\n"));
        let mut page = self.handle.render().replacen(&gauge, &counter, 1);
        // A comment to Prometheus; to whatever scrapes upstream, the sign that the page is complete
        // (docs/protocol/http.md#metrics-endpoint).
        page.push_str("# EOF\n");
        page
    }
}
