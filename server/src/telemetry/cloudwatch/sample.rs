//! What the chosen metrics are at one moment, by their names and dimensions.

use std::collections::{BTreeMap, HashMap, HashSet};

use settings::{CloudWatch, MetricChoice};

use crate::telemetry::prometheus::{Prometheus, SampledSeries, SampledValue, TENANT};

/// A metric of CloudWatch: a name with dimensions, without those that all metrics have.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CloudWatchMetric {
    pub(super) name: String,
    pub(super) dimensions: Vec<(String, String)>,
}

/// What a metric is now.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Measured {
    /// A counter or a histogram, since the start.
    Counted(SampledValue),
    /// A gauge of each tenant; that of none has an empty name.
    Present(BTreeMap<String, f64>),
}

/// The chosen metrics at one moment.
#[derive(Debug, Default)]
pub struct MetricsSample {
    /// In the order in which the settings choose them.
    pub(super) metrics: Vec<(CloudWatchMetric, Measured)>,
    /// Those that are left out, because there are `max_metrics` without them.
    pub(super) left_out: HashSet<CloudWatchMetric>,
}

impl MetricsSample {
    /// Those that `settings` choose. Series that differ in other labels only are added up, but gauges of tenants are kept apart:
    /// how far the database of one tenant is behind says nothing about another one.
    pub fn of(prometheus: &Prometheus, settings: &CloudWatch) -> Self {
        let mut choices: HashMap<&str, Vec<(usize, &MetricChoice)>> = HashMap::new();
        for (place, choice) in settings.metrics.iter().enumerate() {
            choices.entry(choice.name()).or_default().push((place, choice));
        }
        let mut measured = BTreeMap::new();
        prometheus.visit(
            |name| choices.contains_key(name),
            |series| {
                for &(place, choice) in &choices[series.name] {
                    if let Some(metric) = metric(choice, &series) {
                        add(&mut measured, (place, metric), &series);
                    }
                }
            },
        );
        let mut metrics: Vec<_> =
            measured.into_iter().map(|((_place, metric), measured)| (metric, measured)).collect();
        let left_out = metrics.split_off(settings.max_metrics.get().min(metrics.len()));
        Self { metrics, left_out: left_out.into_iter().map(|(metric, _)| metric).collect() }
    }
}

/// The metric that a series belongs to by this choice, if it does.
fn metric(choice: &MetricChoice, series: &SampledSeries<'_>) -> Option<CloudWatchMetric> {
    // A dimension has a value. A series without the label would be another metric.
    let dimension = |label: &str| {
        let value = series.label(label).filter(|value| !value.is_empty())?;
        Some((label.to_owned(), value.into_owned()))
    };
    let dimensions = choice.labels().map(dimension).collect::<Option<_>>()?;
    Some(CloudWatchMetric { name: series.name.to_owned(), dimensions })
}

/// Metrics by the place of their choice in the settings.
type ByPlace = BTreeMap<(usize, CloudWatchMetric), Measured>;

fn add(measured: &mut ByPlace, metric: (usize, CloudWatchMetric), series: &SampledSeries<'_>) {
    match &series.value {
        SampledValue::Gauge(value) => {
            let measured = measured.entry(metric).or_insert_with(|| Measured::Present(BTreeMap::new()));
            if let Measured::Present(tenants) = measured {
                let tenant = series.label(TENANT).unwrap_or_default().into_owned();
                *tenants.entry(tenant).or_default() += *value;
            }
        }
        value => match measured.get_mut(&metric) {
            Some(Measured::Counted(sum)) => sum.add(value),
            _none_yet => {
                measured.insert(metric, Measured::Counted(value.clone()));
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use metrics::{Key, Label, Level, Metadata, Recorder as _};
    use settings::MetricsFormat;

    use super::*;

    const METADATA: Metadata<'static> = Metadata::new(module_path!(), Level::INFO, None);

    fn key(name: &'static str, labels: &[(&'static str, &'static str)]) -> Key {
        Key::from_parts(
            name,
            labels.iter().map(|(name, value)| Label::new(*name, *value)).collect::<Vec<_>>(),
        )
    }

    fn choosing(metrics: &[&str]) -> CloudWatch {
        let metrics = metrics.iter().map(|text| MetricChoice::new(text).expect("a metric")).collect();
        CloudWatch { metrics, ..CloudWatch::default() }
    }

    fn found<'s>(sample: &'s MetricsSample, name: &str, dimensions: &[(&str, &str)]) -> Option<&'s Measured> {
        let dimensions = dimensions.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let metric = CloudWatchMetric { name: name.into(), dimensions };
        sample.metrics.iter().find(|(known, _)| *known == metric).map(|(_, measured)| measured)
    }

    #[test]
    fn labels_are_dimensions_if_they_are_chosen_and_added_up_otherwise() {
        let page = Prometheus::new(Some("eu"), MetricsFormat::Prometheus);
        let exporter = page.exporter();
        let mut handles = Vec::new();
        for (tenant, code, count) in [("acme", "A", 1), ("acme", "B", 2), ("other", "A", 4)] {
            let key = key("a_total", &[("tenant", tenant), ("code", code)]);
            let counter = exporter.register_counter(&key, &METADATA);
            counter.increment(count);
            handles.push(counter);
        }
        exporter.register_counter(&"b_total".into(), &METADATA).increment(9);
        let sample = MetricsSample::of(&page, &choosing(&["a_total{code}", "a_total", "a_total{none}"]));
        let counted = |value: f64| Some(Measured::Counted(SampledValue::Counter(value)));
        assert_eq!(found(&sample, "a_total", &[("code", "A")]).cloned(), counted(5.0));
        assert_eq!(found(&sample, "a_total", &[("code", "B")]).cloned(), counted(2.0));
        assert_eq!(found(&sample, "a_total", &[]).cloned(), counted(7.0));
        assert_eq!(sample.metrics.len(), 3);
    }

    #[test]
    fn gauges_of_tenants_stay_apart_and_those_of_kinds_are_added_up() {
        let page = Prometheus::new(None, MetricsFormat::Prometheus);
        let exporter = page.exporter();
        let mut handles = Vec::new();
        for (name, label, value, set) in [
            ("lag", "tenant", "acme", 3.0),
            ("lag", "tenant", "other", 4.0),
            ("memory", "kind", "sending", 3.0),
            ("memory", "kind", "held", 4.0),
        ] {
            let gauge = exporter.register_gauge(&key(name, &[(label, value)]), &METADATA);
            gauge.set(set);
            handles.push(gauge);
        }
        let sample = MetricsSample::of(&page, &choosing(&["lag", "memory"]));
        let present = |values: &[(&str, f64)]| {
            Some(Measured::Present(values.iter().map(|(name, value)| ((*name).into(), *value)).collect()))
        };
        assert_eq!(found(&sample, "lag", &[]).cloned(), present(&[("acme", 3.0), ("other", 4.0)]));
        assert_eq!(found(&sample, "memory", &[]).cloned(), present(&[("", 7.0)]));
    }

    #[test]
    fn of_too_many_metrics_those_are_left_out_that_are_named_last() {
        let page = Prometheus::new(None, MetricsFormat::Prometheus);
        for (name, code) in [("a_total", "A"), ("a_total", "B"), ("z_total", "A"), ("z_total", "B")] {
            page.exporter().register_counter(&key(name, &[("code", code)]), &METADATA).increment(1);
        }
        let settings = CloudWatch {
            max_metrics: NonZeroUsize::new(3).expect("not zero"),
            ..choosing(&["z_total{code}", "a_total{code}"])
        };
        let sample = MetricsSample::of(&page, &settings);
        let name = |metric: &CloudWatchMetric| format!("{} {}", metric.name, metric.dimensions[0].1);
        let names: Vec<_> = sample.metrics.iter().map(|(metric, _)| name(metric)).collect();
        assert_eq!(names, ["z_total A", "z_total B", "a_total A"]);
        assert_eq!(sample.left_out.iter().map(name).collect::<Vec<_>>(), ["a_total B"]);
    }
}
