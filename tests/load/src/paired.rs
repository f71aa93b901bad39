//! The ratio of paired measurements, with its 95 % confidence interval.
//!
//! The two numbers of a pair are measured right after each other, so what changes slowly on the machine affects both.
//! Ratios multiply, so the mean is geometric, and the interval is Student's t on the logarithms of the ratios.

/// The 97.5 % quantile of the normal distribution.
const NORMAL: f64 = 1.959_964;

/// How much larger the first numbers of the pairs are than the second.
#[derive(Debug, Clone, Copy)]
pub struct Ratio {
    /// The geometric mean.
    pub mean: f64,
    /// The 95 % confidence interval.
    pub interval: (f64, f64),
}

impl Ratio {
    /// Of at least one pair; of a single one the interval is unbounded.
    pub fn of(pairs: &[(f64, f64)]) -> Self {
        let logs: Vec<f64> = pairs.iter().map(|(one, other)| (one / other).ln()).collect();
        let count = logs.len() as f64;
        let mean = logs.iter().sum::<f64>() / count;
        if logs.len() < 2 {
            return Self { mean: mean.exp(), interval: (0.0, f64::INFINITY) };
        }
        let variance = logs.iter().map(|log| (log - mean).powi(2)).sum::<f64>() / (count - 1.0);
        let half = student(count - 1.0) * (variance / count).sqrt();
        Self { mean: mean.exp(), interval: ((mean - half).exp(), (mean + half).exp()) }
    }
}

/// The 97.5 % quantile of Student's t, from the normal one by the expansion of Cornish and Fisher: right to a hundredth
/// from five degrees of freedom on, too small below.
fn student(freedom: f64) -> f64 {
    let z = NORMAL;
    let first = (z.powi(3) + z) / 4.0;
    let second = (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / 96.0;
    let third = (3.0 * z.powi(7) + 19.0 * z.powi(5) + 17.0 * z.powi(3) - 15.0 * z) / 384.0;
    z + first / freedom + second / freedom.powi(2) + third / freedom.powi(3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quantiles_are_those_of_the_tables() {
        for (freedom, quantile) in [(5.0, 2.571), (8.0, 2.306), (14.0, 2.145), (30.0, 2.042)] {
            assert!((student(freedom) - quantile).abs() < 0.01, "{freedom}: {}", student(freedom));
        }
    }

    #[test]
    fn a_ratio_has_the_interval_of_its_pairs() {
        let same = Ratio::of(&[(2.0, 1.0), (4.0, 2.0), (6.0, 3.0)]);
        assert!((same.mean - 2.0).abs() < 1e-9 && (same.interval.1 - same.interval.0).abs() < 1e-9);
        let pairs = [(1.0, 1.0), (2.0, 1.0), (0.5, 1.0), (1.0, 1.0), (1.0, 1.0), (1.0, 1.0)];
        let Ratio { mean, interval: (low, high) } = Ratio::of(&pairs);
        // The standard deviation of the logarithms is ln 2 × √(2/5), and t is 2.571.
        let half = 2.571 * std::f64::consts::LN_2 * (0.4_f64 / 6.0).sqrt();
        assert!(
            (mean - 1.0).abs() < 1e-9 && (high.ln() - half).abs() < 0.005 && (low.ln() + half).abs() < 0.005
        );
    }
}
