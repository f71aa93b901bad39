//! Series and their values at one moment, for what sends them elsewhere.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use super::series::{Series, SeriesValue};

/// The label of series about a tenant.
pub const TENANT: &str = "tenant";

/// One series of a metric.
#[derive(Debug, Clone, PartialEq)]
pub struct SampledSeries<'a> {
    /// The name of the metric.
    pub name: &'a str,
    /// The labels, as they are written between braces.
    written: &'a str,
    /// The value.
    pub value: SampledValue,
}

/// The value of one series.
#[derive(Debug, Clone, PartialEq)]
pub enum SampledValue {
    /// What was counted since the start.
    Counter(f64),
    /// What there is now.
    Gauge(f64),
    /// The samples since the start.
    Histogram {
        /// Ascending. A bound includes its value.
        bounds: &'static [f64],
        /// Samples above the bound before and up to each bound; the last one has those above all.
        counts: Vec<u64>,
    },
}

impl<'a> SampledSeries<'a> {
    /// The value of a label.
    pub fn label(&self, name: &str) -> Option<Cow<'a, str>> {
        labels(self.written).find_map(|(label, value)| (label == name).then(|| unescaped(value)))
    }
}

impl Series {
    /// This series of a metric, now.
    pub(super) fn sampled<'a>(&'a self, name: &'a str) -> SampledSeries<'a> {
        let value = match &self.value {
            SeriesValue::Counter(value) => SampledValue::Counter(value.load(Ordering::Relaxed) as f64),
            SeriesValue::Gauge(bits) => SampledValue::Gauge(f64::from_bits(bits.load(Ordering::Relaxed))),
            SeriesValue::Histogram(buckets) => {
                SampledValue::Histogram { bounds: buckets.bounds(), counts: buckets.counts() }
            }
        };
        SampledSeries { name, written: self.labels(), value }
    }
}

/// What series of tenants have counted that are forgotten: by their labels without that of the tenant, which are few.
#[derive(Default)]
pub(super) struct Ended(BTreeMap<String, SampledValue>);

impl Ended {
    /// Adds a series that is forgotten.
    pub(super) fn add(&mut self, series: SampledSeries<'_>) {
        if matches!(series.value, SampledValue::Gauge(_)) {
            return;
        }
        let others = labels(series.written).filter(|(name, _)| *name != TENANT);
        let others: Vec<_> = others.map(|(name, value)| format!("{name}=\"{value}\"")).collect();
        match self.0.entry(others.join(",")) {
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(series.value);
            }
            std::collections::btree_map::Entry::Occupied(mut entry) => entry.get_mut().add(&series.value),
        }
    }

    /// Calls `visit` with each of these as a series without a tenant.
    pub(super) fn visit(&self, name: &str, visit: &mut dyn FnMut(SampledSeries<'_>)) {
        for (written, value) in &self.0 {
            visit(SampledSeries { name, written, value: value.clone() });
        }
    }
}

impl SampledValue {
    /// A value of the same metric before anything is counted.
    pub fn zero(&self) -> Self {
        match self {
            Self::Counter(_) => Self::Counter(0.0),
            Self::Gauge(_) => Self::Gauge(0.0),
            Self::Histogram { bounds, counts } => Self::Histogram { bounds, counts: vec![0; counts.len()] },
        }
    }

    /// Adds a value of the same metric.
    pub fn add(&mut self, other: &Self) {
        match (self, other) {
            (Self::Counter(sum), Self::Counter(value)) | (Self::Gauge(sum), Self::Gauge(value)) => {
                *sum += value;
            }
            (Self::Histogram { counts, .. }, Self::Histogram { counts: others, .. }) => {
                counts.iter_mut().zip(others).for_each(|(count, other)| *count += other);
            }
            _of_another_type => {}
        }
    }
}

/// Names and values of labels as they are written, the values with their escapes.
fn labels(written: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = written;
    std::iter::from_fn(move || {
        let (name, after) = rest.split_once("=\"")?;
        let mut is_escaped = false;
        let end = after.find(|c| {
            let is_end = c == '"' && !is_escaped;
            is_escaped = c == '\\' && !is_escaped;
            is_end
        })?;
        rest = after[end + 1..].trim_start_matches(',');
        Some((name, &after[..end]))
    })
}

fn unescaped(value: &str) -> Cow<'_, str> {
    if !value.contains('\\') {
        return value.into();
    }
    let (mut text, mut characters) = (String::with_capacity(value.len()), value.chars());
    while let Some(c) = characters.next() {
        text.push(match c {
            '\\' => match characters.next() {
                Some('n') => '\n',
                other => other.unwrap_or('\\'),
            },
            other => other,
        });
    }
    text.into()
}

#[cfg(test)]
mod tests {
    use metrics::{Key, Label, Level, Metadata};
    use settings::MetricsFormat;

    use super::super::Prometheus;
    use super::*;

    const METADATA: Metadata<'static> = Metadata::new(module_path!(), Level::INFO, None);

    fn sums(page: &Prometheus) -> Vec<(Option<String>, SampledValue)> {
        let mut sums = Vec::new();
        let visit = |series: SampledSeries<'_>| {
            sums.push((series.label("code").map(Cow::into_owned), series.value));
        };
        page.visit(|name| name == "a_total", visit);
        sums
    }

    #[test]
    fn labels_are_read_as_they_were_given() {
        let page = Prometheus::new(Some("eu"), MetricsFormat::Prometheus);
        let values = ["plain", "a\"b,c=\"d", "back\\slash\\", "two\nlines\\n"];
        for value in values {
            let labels = vec![Label::new("first", value), Label::new("second", "two")];
            let key = Key::from_parts("a_total", labels);
            metrics::Recorder::register_counter(&*page.exporter(), &key, &METADATA).increment(1);
        }
        let mut found = Vec::new();
        page.visit(
            |_| true,
            |series| {
                assert_eq!(series.label("region").as_deref(), Some("eu"));
                assert_eq!(series.label("second").as_deref(), Some("two"));
                assert_eq!(series.label("third"), None);
                found.push(series.label("first").expect("a label").into_owned());
            },
        );
        found.sort();
        let mut expected = values.map(str::to_owned);
        expected.sort();
        assert_eq!(found, expected);
    }

    #[test]
    fn what_a_forgotten_series_has_counted_stays_in_the_sum() {
        let page = Prometheus::new(None, MetricsFormat::Prometheus);
        for tenant in ["one", "two", "three"] {
            let labels = vec![Label::new("tenant", tenant), Label::new("code", "Code")];
            let counter = page.exporter().register_counter(&Key::from_parts("a_total", labels), &METADATA);
            counter.increment(2);
        }
        let code = || Some("Code".to_owned());
        assert_eq!(sums(&page), vec![(code(), SampledValue::Counter(2.0)); 3]);
        page.run_upkeep();
        assert_eq!(sums(&page), [(code(), SampledValue::Counter(6.0))]);
    }
}
