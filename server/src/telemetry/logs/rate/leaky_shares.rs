//! What each party has used of a rate, so that none uses up all of it: a leaky bucket that they [share](hub::Shares).
//!
//! A party may use half of a burst alone, a third when two need it. What is used leaks at the rate, of all parties in the
//! same proportion, so parties that write without a pause get equal parts of the rate, and one that writes less than its part
//! is never refused.

use hub::Shares;

/// So many units are a byte at most. Then they are counted anew, and parties that use less than a byte are forgotten.
const UNITS_PER_BYTE_MAX: usize = 1_024;

/// The bytes in use, by party.
#[derive(Debug)]
pub(super) struct LeakyShares {
    /// In units.
    shares: Shares<String>,
    /// The bytes of a unit. What leaks makes it smaller: that changes one number instead of one for each party.
    unit: f64,
}

impl Default for LeakyShares {
    fn default() -> Self {
        Self { shares: Shares::default(), unit: 1.0 }
    }
}

impl LeakyShares {
    /// So many `bytes` of what is in use leak.
    pub(super) fn leak(&mut self, bytes: f64) {
        let units = self.shares.total() as f64;
        if bytes >= units * self.unit {
            *self = Self::default();
            return;
        }
        self.unit -= bytes / units;
        if self.unit * (UNITS_PER_BYTE_MAX as f64) < 1.0 {
            self.shares.divide(UNITS_PER_BYTE_MAX);
            self.unit *= UNITS_PER_BYTE_MAX as f64;
        }
    }

    /// Takes `bytes` for `party` out of `capacity`, if they are in its share. Returns whether they are.
    pub(super) fn try_take(&mut self, party: &str, bytes: f64, capacity: f64) -> bool {
        let units = (bytes / self.unit).ceil() as usize;
        self.shares.try_take(party, units, (capacity / self.unit) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAPACITY: f64 = 8_000.0;

    /// How many lines of 100 bytes each of `parties` can write in turns.
    fn lines<const N: usize>(shares: &mut LeakyShares, parties: [&str; N]) -> [usize; N] {
        let mut written = [0; N];
        for _ in 0..1_000 {
            for (party, count) in parties.iter().zip(&mut written) {
                *count += usize::from(shares.try_take(party, 100.0, CAPACITY));
            }
        }
        written
    }

    #[test]
    fn a_party_gets_half_and_two_get_a_third_each() {
        let mut shares = LeakyShares::default();
        assert_eq!(lines(&mut shares, ["a"]), [40]);
        let mut shares = LeakyShares::default();
        let [a, b] = lines(&mut shares, ["a", "b"]);
        assert!((26..=27).contains(&a) && (26..=27).contains(&b), "{a} {b}");
        assert!(lines(&mut shares, ["c"])[0] >= 13, "half of the rest");
    }

    #[test]
    fn one_that_writes_little_is_never_refused_and_floods_share_the_rest() {
        let mut shares = LeakyShares::default();
        let mut written = [0, 0];
        for second in 0..1_000 {
            shares.leak(1_000.0);
            let floods = lines(&mut shares, ["a", "b"]);
            // After the bursts.
            if second >= 100 {
                written = [written[0] + floods[0], written[1] + floods[1]];
            }
            assert!(shares.try_take("c", 200.0, CAPACITY), "in second {second}");
        }
        // 800 bytes a second are left to the two.
        let [a, b] = written.map(|lines| lines as f64 / 900.0);
        assert!((a - 4.0).abs() < 0.2 && (b - 4.0).abs() < 0.2, "{a} {b}");
    }

    #[test]
    fn parties_that_write_no_more_are_forgotten() {
        let mut shares = LeakyShares::default();
        for party in 0..1_000 {
            assert!(shares.try_take(&party.to_string(), 1.0, CAPACITY));
        }
        for _ in 0..1_000 {
            shares.leak(500.0);
            lines(&mut shares, ["flood"]);
        }
        assert_eq!(shares.shares.total(), shares.shares.of("flood"));
        shares.leak(CAPACITY);
        assert_eq!(shares.shares.total(), 0);
    }
}
