//! An exporter that keeps metrics in memory, where a test reads them without a scrape.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use metrics::atomics::AtomicU64;
use metrics::{Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit};

/// Metrics by series, written as Prometheus writes them: `name{label="value"}`.
#[derive(Debug, Default)]
pub struct MemoryExporter {
    counters: Mutex<HashMap<String, Arc<AtomicU64>>>,
    gauges: Mutex<HashMap<String, Arc<AtomicU64>>>,
    histograms: Mutex<HashMap<String, Arc<Samples>>>,
}

/// How many values a histogram has.
#[derive(Debug, Default)]
struct Samples(AtomicU64);

impl HistogramFn for Samples {
    fn record(&self, _value: f64) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl MemoryExporter {
    /// The value of a counter; `None` if it is not registered.
    ///
    /// # Panics
    /// Never, but for a panic elsewhere in the test.
    pub fn counter(&self, series: &str) -> Option<u64> {
        let counters = self.counters.lock().expect("no test panics here");
        counters.get(series).map(|counter| counter.load(Ordering::Relaxed))
    }

    /// The value of a gauge; `None` if it is not registered.
    ///
    /// # Panics
    /// Never, but for a panic elsewhere in the test.
    pub fn gauge(&self, series: &str) -> Option<f64> {
        let gauges = self.gauges.lock().expect("no test panics here");
        gauges.get(series).map(|gauge| f64::from_bits(gauge.load(Ordering::Relaxed)))
    }

    /// How many values a histogram has; `None` if it is not registered.
    ///
    /// # Panics
    /// Never, but for a panic elsewhere in the test.
    pub fn samples(&self, series: &str) -> Option<u64> {
        let histograms = self.histograms.lock().expect("no test panics here");
        histograms.get(series).map(|samples| samples.0.load(Ordering::Relaxed))
    }
}

impl Recorder for MemoryExporter {
    fn describe_counter(&self, _name: KeyName, _unit: Option<Unit>, _help: SharedString) {}

    fn describe_gauge(&self, _name: KeyName, _unit: Option<Unit>, _help: SharedString) {}

    fn describe_histogram(&self, _name: KeyName, _unit: Option<Unit>, _help: SharedString) {}

    fn register_counter(&self, key: &Key, _metadata: &Metadata<'_>) -> Counter {
        Counter::from_arc(entry(&self.counters, key))
    }

    fn register_gauge(&self, key: &Key, _metadata: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(entry(&self.gauges, key))
    }

    fn register_histogram(&self, key: &Key, _metadata: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(entry(&self.histograms, key))
    }
}

/// The one value of a series, however often it is registered.
fn entry<V: Default>(values: &Mutex<HashMap<String, Arc<V>>>, key: &Key) -> Arc<V> {
    let labels: Vec<_> = key.labels().map(|label| format!("{}=\"{}\"", label.key(), label.value())).collect();
    let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
    let mut values = values.lock().expect("no test panics here");
    Arc::clone(values.entry(format!("{}{labels}", key.name())).or_default())
}
