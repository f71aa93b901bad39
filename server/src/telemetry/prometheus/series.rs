//! One set of labels of a metric, with its present value.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use metrics::atomics::AtomicU64;

use super::buckets::Buckets;
use super::shown_tenants::TenantActivity;

/// A value that handles change.
pub(super) enum SeriesValue {
    /// A whole number.
    Counter(Arc<AtomicU64>),
    /// The bits of a fraction.
    Gauge(Arc<AtomicU64>),
    Histogram(Arc<Buckets>),
}

/// The series of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Selection {
    All,
    OfNoTenant,
    OfTenants,
}

/// One set of labels of a metric, with its value.
pub(super) struct Series {
    /// As they are written between braces.
    labels: Box<str>,
    pub(super) value: SeriesValue,
    /// Of the tenant that it is about, if it is about one.
    tenant: Option<Arc<TenantActivity>>,
    /// What was counted when it was looked at last.
    counted: AtomicU64,
}

impl Series {
    pub(super) fn new(labels: Box<str>, value: SeriesValue, tenant: Option<Arc<TenantActivity>>) -> Self {
        Self { labels, value, tenant, counted: AtomicU64::new(0) }
    }

    /// Its labels, as they are written between braces.
    pub(super) fn labels(&self) -> &str {
        &self.labels
    }

    /// Whether it stays: it is about no tenant, or something can still count in it.
    pub(super) fn is_in_use(&self) -> bool {
        let handles = match &self.value {
            SeriesValue::Counter(value) | SeriesValue::Gauge(value) => Arc::strong_count(value),
            SeriesValue::Histogram(buckets) => Arc::strong_count(buckets),
        };
        self.tenant.is_none() || handles > 1
    }

    /// Whether it is on a page with these series.
    pub(super) fn is_shown_in(&self, selection: Selection) -> bool {
        match &self.tenant {
            None => selection != Selection::OfTenants,
            Some(tenant) => selection != Selection::OfNoTenant && tenant.is_shown(),
        }
    }

    /// Notes that its tenant is active, if something was counted since this was called before, or if a gauge is not zero.
    pub(super) fn note_activity(&self) {
        let Some(tenant) = &self.tenant else { return };
        let is_active = match &self.value {
            SeriesValue::Gauge(bits) => f64::from_bits(bits.load(Ordering::Relaxed)) != 0.0,
            SeriesValue::Counter(value) => self.has_counted(value.load(Ordering::Relaxed)),
            SeriesValue::Histogram(buckets) => self.has_counted(buckets.count()),
        };
        if is_active {
            tenant.note();
        }
    }

    fn has_counted(&self, now: u64) -> bool {
        self.counted.swap(now, Ordering::Relaxed) != now
    }

    /// Writes its lines. `bounds` are those of a histogram, as they are written.
    pub(super) fn write(&self, name: &str, bounds: &[String], page: &mut String) {
        match &self.value {
            SeriesValue::Counter(value) => {
                self.write_head(name, "", page);
                let _infallible = writeln!(page, "{}", value.load(Ordering::Relaxed));
            }
            SeriesValue::Gauge(bits) => {
                self.write_head(name, "", page);
                write_fraction(f64::from_bits(bits.load(Ordering::Relaxed)), page);
            }
            SeriesValue::Histogram(buckets) => self.write_histogram((name, bounds), buckets, page),
        }
    }

    fn write_histogram(&self, (name, bounds): (&str, &[String]), buckets: &Buckets, page: &mut String) {
        let comma = if self.labels.is_empty() { "" } else { "," };
        let mut count = 0;
        for (bound, up_to) in bounds.iter().map(String::as_str).chain(["+Inf"]).zip(buckets.cumulative()) {
            let _infallible = writeln!(page, "{name}_bucket{{{}{comma}le=\"{bound}\"}} {up_to}", self.labels);
            count = up_to;
        }
        self.write_head(name, "_sum", page);
        write_fraction(buckets.sum(), page);
        self.write_head(name, "_count", page);
        let _infallible = writeln!(page, "{count}");
    }

    /// Writes a line up to its value.
    fn write_head(&self, name: &str, suffix: &str, page: &mut String) {
        page.push_str(name);
        page.push_str(suffix);
        if !self.labels.is_empty() {
            page.push('{');
            page.push_str(&self.labels);
            page.push('}');
        }
        page.push(' ');
    }
}

/// Writes a fraction and the end of its line.
fn write_fraction(value: f64, page: &mut String) {
    let _infallible = match value {
        f64::INFINITY => writeln!(page, "+Inf"),
        f64::NEG_INFINITY => writeln!(page, "-Inf"),
        value => writeln!(page, "{value}"),
    };
}
