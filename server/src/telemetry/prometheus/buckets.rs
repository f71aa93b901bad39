//! A histogram: how many samples are up to each bound, and their sum.
//!
//! A sample is two additions to numbers that are there already, so recording one allocates nothing and waits for nothing, however
//! many there are between two pages.

use std::sync::atomic::Ordering;

use metrics::HistogramFn;
use metrics::atomics::AtomicU64;

/// The samples of one histogram.
pub(super) struct Buckets {
    /// Ascending. A bound includes its value.
    bounds: &'static [f64],
    /// Samples above the bound before and up to each bound; the last one has those above all.
    counts: Box<[AtomicU64]>,
    /// The bits of a fraction.
    sum: AtomicU64,
}

impl Buckets {
    /// No samples.
    pub(super) fn new(bounds: &'static [f64]) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds, counts, sum: AtomicU64::new(0f64.to_bits()) }
    }

    /// How many samples are up to each bound, and above all of them.
    pub(super) fn cumulative(&self) -> impl Iterator<Item = u64> {
        self.counts.iter().scan(0, |total, count| {
            *total += count.load(Ordering::Relaxed);
            Some(*total)
        })
    }

    /// Ascending. A bound includes its value.
    pub(super) fn bounds(&self) -> &'static [f64] {
        self.bounds
    }

    /// Samples above the bound before and up to each bound, and above all of them.
    pub(super) fn counts(&self) -> Vec<u64> {
        self.counts.iter().map(|count| count.load(Ordering::Relaxed)).collect()
    }

    /// How many samples there are.
    pub(super) fn count(&self) -> u64 {
        self.counts.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// The sum of all samples.
    pub(super) fn sum(&self) -> f64 {
        f64::from_bits(self.sum.load(Ordering::Relaxed))
    }
}

impl HistogramFn for Buckets {
    fn record(&self, value: f64) {
        let place = self.bounds.partition_point(|bound| *bound < value);
        self.counts[place].fetch_add(1, Ordering::Relaxed);
        let add = |sum: u64| Some((f64::from_bits(sum) + value).to_bits());
        let _always_some = self.sum.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_includes_its_value_and_what_is_above_all_is_counted_too() {
        let buckets = Buckets::new(&[10.0, 250.0]);
        for value in [0.0, 10.0, 10.5, 250.0, 251.0] {
            buckets.record(value);
        }
        assert_eq!(buckets.cumulative().collect::<Vec<_>>(), [2, 4, 5]);
        assert_eq!((buckets.count(), buckets.sum()), (5, 521.5));
    }
}
