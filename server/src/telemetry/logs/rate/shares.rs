//! What each tenant has used of a rate, so that none uses up all of it.
//!
//! As in the queues between nodes, a user may use as much as it leaves free: half of a burst alone, a third when two need
//! it. What is used flows off at the rate, of all users in the same proportion, so users that write without a pause get equal
//! parts of the rate, and one that writes less than its part is never refused.

use std::collections::HashMap;

/// Below this scale the numbers are written anew, and users of less than a byte are forgotten.
const SCALE_MIN: f64 = 1e-6;

/// The bytes in use, by user.
#[derive(Debug)]
pub(super) struct Shares {
    used: f64,
    /// Divided by `scale`: what flows off changes one number instead of one for each user.
    by_user: HashMap<Box<str>, f64>,
    scale: f64,
}

impl Default for Shares {
    fn default() -> Self {
        Self { used: 0.0, by_user: HashMap::new(), scale: 1.0 }
    }
}

impl Shares {
    /// Gives back `bytes` of what is in use.
    pub(super) fn give_back(&mut self, bytes: f64) {
        if bytes >= self.used {
            self.by_user.clear();
            (self.used, self.scale) = (0.0, 1.0);
            return;
        }
        let left = self.used - bytes;
        self.scale *= left / self.used;
        self.used = left;
        if self.scale < SCALE_MIN {
            let scale = std::mem::replace(&mut self.scale, 1.0);
            self.by_user.retain(|_, used| {
                *used *= scale;
                *used >= 1.0
            });
        }
    }

    /// Takes `bytes` for `user` out of `capacity`, if they are in its share. Returns whether they are.
    pub(super) fn take(&mut self, user: &str, bytes: f64, capacity: f64) -> bool {
        let own = self.by_user.get_mut(user);
        let used = own.as_ref().map_or(0.0, |own| **own * self.scale);
        if used + bytes > capacity - self.used {
            return false;
        }
        let scaled = bytes / self.scale;
        match own {
            Some(own) => *own += scaled,
            None => drop(self.by_user.insert(user.into(), scaled)),
        }
        self.used += bytes;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAPACITY: f64 = 8_000.0;

    /// How many lines of 100 bytes each of `users` can write in turns.
    fn lines<const N: usize>(shares: &mut Shares, users: [&str; N]) -> [usize; N] {
        let mut written = [0; N];
        for _ in 0..1_000 {
            for (user, count) in users.iter().zip(&mut written) {
                *count += usize::from(shares.take(user, 100.0, CAPACITY));
            }
        }
        written
    }

    #[test]
    fn a_user_gets_half_and_two_get_a_third_each() {
        let mut shares = Shares::default();
        assert_eq!(lines(&mut shares, ["a"]), [40]);
        let mut shares = Shares::default();
        let [a, b] = lines(&mut shares, ["a", "b"]);
        assert!((26..=27).contains(&a) && (26..=27).contains(&b), "{a} {b}");
        assert!(lines(&mut shares, ["c"])[0] >= 13, "half of the rest");
    }

    #[test]
    fn one_that_writes_little_is_never_refused_and_floods_share_the_rest() {
        let mut shares = Shares::default();
        let mut written = [0, 0];
        for second in 0..1_000 {
            shares.give_back(1_000.0);
            let floods = lines(&mut shares, ["a", "b"]);
            // After the bursts.
            if second >= 100 {
                written = [written[0] + floods[0], written[1] + floods[1]];
            }
            assert!(shares.take("c", 200.0, CAPACITY), "in second {second}");
        }
        // 800 bytes a second are left to the two.
        let [a, b] = written.map(|lines| lines as f64 / 900.0);
        assert!((a - 4.0).abs() < 0.2 && (b - 4.0).abs() < 0.2, "{a} {b}");
    }

    #[test]
    fn users_that_write_no_more_are_forgotten() {
        let mut shares = Shares::default();
        for user in 0..1_000 {
            assert!(shares.take(&user.to_string(), 1.0, CAPACITY));
        }
        for _ in 0..1_000 {
            shares.give_back(500.0);
            lines(&mut shares, ["flood"]);
        }
        assert_eq!(shares.by_user.len(), 1);
        shares.give_back(CAPACITY);
        assert!(shares.by_user.is_empty());
    }
}
