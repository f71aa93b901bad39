//! Samples of a histogram as values with counts, of which CloudWatch computes percentiles.
//!
//! Only the bucket of a sample is known. As Prometheus does for `histogram_quantile`, the samples of a bucket are taken as spread
//! evenly between its bounds, and those above all bounds as the last bound, so that both show the same percentiles.

/// Distinct values that CloudWatch accepts for one metric in a request.
pub(super) const VALUES_MAX: usize = 150;

/// Values and their counts for samples by bucket, of which the last one is above all bounds.
pub(super) fn spread(bounds: &[f64], samples: &[u64]) -> (Vec<f64>, Vec<f64>) {
    let (mut values, mut counts) = (Vec::new(), Vec::new());
    let points = (VALUES_MAX / samples.len().max(1)).max(1) as u64;
    for (place, &samples) in samples.iter().enumerate().filter(|(_, samples)| **samples > 0) {
        let lower = place.checked_sub(1).map_or(0.0, |before| bounds[before]);
        let Some(upper) = bounds.get(place) else {
            values.push(lower);
            counts.push(samples as f64);
            continue;
        };
        let points = points.min(samples);
        // The remainder too is spread over all of them, in more bits than the product may need.
        let up_to = |point: u64| (u128::from(samples) * u128::from(point) / u128::from(points)) as u64;
        for point in 0..points {
            values.push(lower + (upper - lower) * (point as f64 + 0.5) / points as f64);
            counts.push((up_to(point + 1) - up_to(point)) as f64);
        }
    }
    (values, counts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::bounds;

    /// The smallest value that is not below this part of all.
    fn percentile((values, counts): &(Vec<f64>, Vec<f64>), part: f64) -> f64 {
        let rank = counts.iter().sum::<f64>() * part;
        let mut seen = 0.0;
        let reached = |(_, count): &(_, &f64)| {
            seen += *count;
            seen >= rank
        };
        *values.iter().zip(counts).find(reached).expect("a value").0
    }

    #[test]
    fn percentiles_are_those_of_samples_that_are_spread_evenly() {
        let spread = spread(&[10.0, 20.0, 40.0], &[0, 900, 90, 10]);
        assert_eq!(spread.1.iter().sum::<f64>(), 1_000.0);
        for (part, expected) in [(0.0, 10.0), (0.45, 15.0), (0.9, 20.0), (0.945, 30.0), (0.999, 40.0)] {
            let found = percentile(&spread, part);
            assert!((found - expected).abs() < 0.3, "{part}: {found}, not {expected}");
        }
    }

    #[test]
    fn a_bucket_below_a_threshold_does_not_exceed_it() {
        let (below, above) =
            (spread(&[0.5, 1.0, 5.0], &[0, 7, 0, 0]), spread(&[0.5, 1.0, 5.0], &[0, 0, 1, 0]));
        assert!(percentile(&below, 0.99) < 1.0 && percentile(&above, 0.99) > 1.0);
    }

    #[test]
    fn no_histogram_has_more_values_than_cloudwatch_accepts() {
        for bounds in bounds::all() {
            let (values, counts) = spread(bounds, &vec![1_000_003; bounds.len() + 1]);
            assert!(values.len() <= VALUES_MAX && values.len() == counts.len(), "{}", values.len());
            assert!(values.windows(2).all(|pair| pair[0] < pair[1]), "{values:?}");
            assert_eq!(counts.iter().sum::<f64>(), 1_000_003.0 * (bounds.len() + 1) as f64);
        }
        assert_eq!(spread(&[], &[5]).0, [0.0]);
    }
}
