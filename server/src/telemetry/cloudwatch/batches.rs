//! Metrics in as many requests as they need.

use std::time::SystemTime;

use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{Dimension, MetricDatum, StandardUnit, StatisticSet};
use settings::CloudWatch;

use super::growth::{Growth, MetricValue};
use crate::telemetry::reference::unit;

/// Metrics that CloudWatch accepts in one request.
const METRICS_MAX: usize = 1_000;

/// Bytes of one request. CloudWatch accepts 1 MB; the SDK compresses a body on the thread that sends it, which takes some
/// milliseconds for so many.
const BYTES_MAX: usize = 256 * 1_024;

/// Bytes of a metric beside its name, its dimensions and its values: the names of fields, the time, statistics.
const METRIC_BYTES: usize = 256;

/// Bytes of a dimension beside its name and its value.
const DIMENSION_BYTES: usize = 24;

/// Bytes of a value and of its count.
const VALUE_BYTES: usize = 18;

/// The parts of `growth` that fit into one request each.
pub(super) fn batches(growth: Vec<Growth>, settings: &CloudWatch) -> Vec<Vec<Growth>> {
    let common = common_bytes(settings);
    let (mut batches, mut bytes) = (Vec::<Vec<Growth>>::new(), 0);
    for growth in growth {
        let more = common + own_bytes(&growth);
        let fits = |batch: &&mut Vec<Growth>| batch.len() < METRICS_MAX && bytes + more <= BYTES_MAX;
        match batches.last_mut().filter(fits) {
            Some(batch) => {
                bytes += more;
                batch.push(growth);
            }
            None => {
                bytes = more;
                batches.push(vec![growth]);
            }
        }
    }
    batches
}

/// What these take while they are sent.
pub(super) fn bytes(growth: &[Growth], settings: &CloudWatch) -> usize {
    let common = common_bytes(settings);
    growth.iter().map(|growth| common + own_bytes(growth)).sum()
}

/// What each metric has.
fn common_bytes(settings: &CloudWatch) -> usize {
    let dimensions = settings.dimensions.iter().map(|(name, value)| dimension_bytes(name, value));
    METRIC_BYTES + dimensions.sum::<usize>()
}

fn own_bytes(growth: &Growth) -> usize {
    let dimensions = growth.metric.dimensions.iter().map(|(name, value)| dimension_bytes(name, value));
    let values = if let MetricValue::Distribution { values, .. } = &growth.sent { values.len() } else { 0 };
    growth.metric.name.len() + dimensions.sum::<usize>() + values * VALUE_BYTES
}

fn dimension_bytes(name: &str, value: &str) -> usize {
    DIMENSION_BYTES + name.len() + value.len()
}

/// A metric as the SDK has it.
pub(super) fn datum(growth: &Growth, settings: &CloudWatch, at: SystemTime) -> MetricDatum {
    let common = settings.dimensions.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let own = growth.metric.dimensions.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let dimension = |(name, value)| Dimension::builder().name(name).value(value).build();
    let datum = MetricDatum::builder()
        .metric_name(&growth.metric.name)
        .set_dimensions(Some(common.chain(own).map(dimension).collect()))
        .timestamp(DateTime::from(at))
        .set_unit(unit_of(growth))
        .set_storage_resolution(settings.high_resolution.then_some(1));
    match &growth.sent {
        MetricValue::Value(value) => datum.value(*value),
        MetricValue::Statistics { count, sum, min, max } => {
            let statistics =
                StatisticSet::builder().sample_count(*count).sum(*sum).minimum(*min).maximum(*max);
            datum.statistic_values(statistics.build())
        }
        MetricValue::Distribution { values, counts } => {
            datum.set_values(Some(values.clone())).set_counts(Some(counts.clone()))
        }
    }
    .build()
}

fn unit_of(growth: &Growth) -> Option<StandardUnit> {
    match unit(&growth.metric.name) {
        "milliseconds" => Some(StandardUnit::Milliseconds),
        "seconds" => Some(StandardUnit::Seconds),
        "bytes" => Some(StandardUnit::Bytes),
        "percent" => Some(StandardUnit::Percent),
        _of_things if growth.is_count => Some(StandardUnit::Count),
        _of_things => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn growth(name: &str, count: usize) -> Vec<Growth> {
        vec![Growth::value(name, 1.0); count]
    }

    fn lengths(growth: Vec<Growth>) -> Vec<usize> {
        batches(growth, &CloudWatch::default()).iter().map(Vec::len).collect()
    }

    #[test]
    fn a_request_has_a_thousand_metrics_at_most() {
        assert_eq!(lengths(growth("a", 0)), [0; 0]);
        assert_eq!(lengths(growth("a", 1_000)), [1_000]);
        assert_eq!(lengths(growth("a", 2_001)), [1_000, 1_000, 1]);
    }

    #[test]
    fn a_request_has_a_quarter_of_a_mebibyte_at_most() {
        let long = "a".repeat(768);
        assert_eq!(lengths(growth(&long, 600)), [256, 256, 88]);
        let settings = CloudWatch::default();
        for batch in batches(growth(&long, 600), &settings) {
            assert!(bytes(&batch, &settings) <= BYTES_MAX);
        }
    }
}
