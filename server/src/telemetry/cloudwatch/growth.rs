//! What is sent of a metric: what a counter or a histogram has gained since it was accepted last, and what a gauge is now.
//!
//! Nothing waits in a queue. What was not accepted is still in the difference the next time, so a request that fails loses
//! nothing, however often it fails, and memory is bounded by the number of metrics. What has no place among the metrics begins when
//! it gets one, because it may have counted for a long time; what has had one loses nothing either.

use std::collections::{HashMap, HashSet};

use super::percentiles::spread;
use super::sample::{CloudWatchMetric, Measured, MetricsSample};
use crate::telemetry::prometheus::SampledValue;

/// The largest number that CloudWatch accepts.
const VALUE_MAX: f64 = 1e108;

/// What one metric has to send.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum MetricValue {
    /// One number.
    Value(f64),
    /// Several gauges.
    Statistics { count: f64, sum: f64, min: f64, max: f64 },
    /// The samples of a histogram: distinct values, and how often each occurs.
    Distribution { values: Vec<f64>, counts: Vec<f64> },
}

/// One metric that is sent.
#[derive(Debug, Clone)]
pub(super) struct Growth {
    pub(super) metric: CloudWatchMetric,
    pub(super) sent: MetricValue,
    /// Whether it is a counter.
    pub(super) is_count: bool,
    /// What counts as accepted with it.
    total: Option<SampledValue>,
}

#[cfg(test)]
impl Growth {
    /// A gauge without dimensions.
    pub(super) fn value(name: &str, value: f64) -> Self {
        let metric = CloudWatchMetric { name: name.into(), dimensions: Vec::new() };
        Self { metric, sent: MetricValue::Value(value), is_count: false, total: None }
    }
}

/// What CloudWatch has accepted of counters and histograms.
#[derive(Debug, Default)]
pub(super) struct Accepted {
    totals: HashMap<CloudWatchMetric, SampledValue>,
    /// Those that were left out of the sample before.
    left_out: HashSet<CloudWatchMetric>,
}

impl Accepted {
    /// What was counted until now, and is not known here, is not sent.
    pub(super) fn begin_with(&mut self, sample: &MetricsSample) {
        for (metric, measured) in &sample.metrics {
            if let Measured::Counted(total) = measured {
                self.totals.entry(metric.clone()).or_insert_with(|| total.clone());
            }
        }
    }

    /// What there is to send now. Metrics that do not exist any more are forgotten.
    pub(super) fn growth(&mut self, sample: MetricsSample) -> Vec<Growth> {
        for (metric, measured) in &sample.metrics {
            let Measured::Counted(total) = measured else { continue };
            let before = if self.left_out.contains(metric) { total.clone() } else { total.zero() };
            // Of those that are known it stays what was accepted.
            self.totals.entry(metric.clone()).or_insert(before);
        }
        self.left_out = sample.left_out;
        let existing: HashSet<_> = sample.metrics.iter().map(|(metric, _)| metric).collect();
        self.totals.retain(|metric, _| existing.contains(metric) || self.left_out.contains(metric));
        let growth = |(metric, measured)| {
            let is_count = matches!(measured, Measured::Counted(SampledValue::Counter(_)));
            let (sent, total) = match measured {
                Measured::Present(tenants) => (present(tenants.into_values())?, None),
                Measured::Counted(total) => (counted(&total, self.totals.get(&metric))?, Some(total)),
            };
            Some(Growth { metric, sent, is_count, total })
        };
        sample.metrics.into_iter().filter_map(growth).collect()
    }

    /// Notes that these were accepted.
    pub(super) fn accept(&mut self, sent: Vec<Growth>) {
        self.totals.extend(sent.into_iter().filter_map(|growth| Some((growth.metric, growth.total?))));
    }
}

/// The difference; none for a histogram without new samples.
fn counted(total: &SampledValue, before: Option<&SampledValue>) -> Option<MetricValue> {
    match (total, before) {
        (SampledValue::Counter(total), before) => {
            let before = if let Some(SampledValue::Counter(before)) = before { *before } else { 0.0 };
            Some(MetricValue::Value((total - before).clamp(0.0, VALUE_MAX)))
        }
        (SampledValue::Histogram { bounds, counts }, before) => {
            let before = match before {
                Some(SampledValue::Histogram { counts, .. }) => counts.as_slice(),
                _none => &[],
            };
            let before = before.iter().copied().chain(std::iter::repeat(0));
            let gained: Vec<_> =
                counts.iter().zip(before).map(|(now, before)| now.saturating_sub(before)).collect();
            let (values, counts) = spread(bounds, &gained);
            (!values.is_empty()).then_some(MetricValue::Distribution { values, counts })
        }
        (SampledValue::Gauge(_), _) => None,
    }
}

/// One number, or what is known of several; none if there is no number at all.
fn present(values: impl Iterator<Item = f64>) -> Option<MetricValue> {
    let mut values = values.filter(|value| value.is_finite()).map(|value| value.clamp(-VALUE_MAX, VALUE_MAX));
    let first = values.next()?;
    let (mut count, mut sum, mut min, mut max) = (1.0, first, first, first);
    for value in values {
        (count, sum, min, max) = (count + 1.0, sum + value, value.min(min), value.max(max));
    }
    Some(if count == 1.0 {
        MetricValue::Value(first)
    } else {
        MetricValue::Statistics { count, sum, min, max }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metric(name: &str) -> CloudWatchMetric {
        CloudWatchMetric { name: name.into(), dimensions: Vec::new() }
    }

    fn sample(measured: impl IntoIterator<Item = (&'static str, Measured)>) -> MetricsSample {
        let metrics = measured.into_iter().map(|(name, measured)| (metric(name), measured)).collect();
        MetricsSample { metrics, left_out: HashSet::new() }
    }

    fn counter(value: f64) -> (&'static str, Measured) {
        ("a_total", Measured::Counted(SampledValue::Counter(value)))
    }

    fn sent(growth: &[Growth]) -> Vec<MetricValue> {
        growth.iter().map(|growth| growth.sent.clone()).collect()
    }

    #[test]
    fn a_counter_is_its_growth_since_it_was_accepted() {
        let mut accepted = Accepted::default();
        let first = accepted.growth(sample([counter(3.0)]));
        assert_eq!(sent(&first), [MetricValue::Value(3.0)]);
        accepted.accept(first);
        assert_eq!(sent(&accepted.growth(sample([counter(10.0)]))), [MetricValue::Value(7.0)]);
        let later = accepted.growth(sample([counter(12.0)]));
        assert_eq!(
            sent(&later),
            [MetricValue::Value(9.0)],
            "what was not accepted is sent with what follows"
        );
        accepted.accept(later);
        assert_eq!(sent(&accepted.growth(sample([counter(12.0)]))), [MetricValue::Value(0.0)]);
    }

    #[test]
    fn what_was_counted_before_the_beginning_is_not_sent() {
        let mut accepted = Accepted::default();
        accepted.begin_with(&sample([counter(100.0)]));
        let next = accepted.growth(sample([counter(101.0), ("b_total", counter(5.0).1)]));
        assert_eq!(sent(&next), [MetricValue::Value(1.0), MetricValue::Value(5.0)]);
    }

    #[test]
    fn a_metric_that_was_left_out_begins_when_it_comes_up() {
        let mut accepted = Accepted::default();
        accepted.growth(leaving_out("a_total"));
        assert_eq!(sent(&accepted.growth(sample([counter(100.0)]))), [MetricValue::Value(0.0)]);
    }

    fn leaving_out(name: &str) -> MetricsSample {
        MetricsSample { left_out: [metric(name)].into(), ..sample([]) }
    }

    // While another metric was left out, each sample that was not accepted was taken as the beginning.
    #[test]
    fn what_was_not_accepted_is_kept_while_metrics_are_left_out() {
        let with =
            |name, value| MetricsSample { left_out: [metric(name)].into(), ..sample([counter(value)]) };
        let mut accepted = Accepted::default();
        assert_eq!(sent(&accepted.growth(with("z_total", 3.0))), [MetricValue::Value(3.0)]);
        assert_eq!(sent(&accepted.growth(with("z_total", 5.0))), [MetricValue::Value(5.0)]);
        accepted.growth(leaving_out("a_total"));
        assert_eq!(sent(&accepted.growth(sample([counter(9.0)]))), [MetricValue::Value(9.0)]);
        accepted.growth(sample([]));
        assert_eq!(accepted.totals.len(), 0, "what does not exist any more is forgotten");
    }

    #[test]
    fn a_histogram_is_its_new_samples_and_nothing_without_them() {
        let histogram = |counts: [u64; 3]| {
            let value = SampledValue::Histogram { bounds: &[1.0, 3.0], counts: counts.into() };
            [("times", Measured::Counted(value))]
        };
        let mut accepted = Accepted::default();
        let first = accepted.growth(sample(histogram([1, 0, 0])));
        accepted.accept(first);
        assert_eq!(sent(&accepted.growth(sample(histogram([1, 0, 0])))), []);
        let next = accepted.growth(sample(histogram([1, 1, 2])));
        assert_eq!(
            sent(&next),
            [MetricValue::Distribution { values: vec![2.0, 3.0], counts: vec![1.0, 2.0] }]
        );
    }

    #[test]
    fn gauges_of_tenants_are_one_metric_whose_maximum_is_that_of_one_tenant() {
        let gauges = |values: &[f64]| {
            let tenants = values.iter().enumerate().map(|(number, value)| (number.to_string(), *value));
            [("lag", Measured::Present(tenants.collect()))]
        };
        let mut accepted = Accepted::default();
        assert_eq!(sent(&accepted.growth(sample(gauges(&[7.0])))), [MetricValue::Value(7.0)]);
        let several = MetricValue::Statistics { count: 3.0, sum: 12.0, min: 2.0, max: 7.0 };
        assert_eq!(sent(&accepted.growth(sample(gauges(&[7.0, 2.0, f64::NAN, 3.0])))), [several]);
        assert_eq!(sent(&accepted.growth(sample(gauges(&[f64::INFINITY])))), []);
    }
}
