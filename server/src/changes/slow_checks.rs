//! How long it takes until a subscription is checked again whose check the database had no time for.
//!
//! Such a check takes one of a few turns for `database.query_timeout`, and may do so each time. If the database has answered others
//! meanwhile, it is because of what the client asks for; else it may be busy, or something is locked.

/// After so many times the pause is as long as it gets.
const DOUBLINGS: u32 = 5;

/// How many times longer that is.
pub(super) const SLOWEST_PAUSE: u32 = 1 << DOUBLINGS;

/// So many checks may take too long beside others that do not.
const BESIDE_OTHERS: u32 = 5;

/// The checks of one subscription that the database had no time for.
#[derive(Debug, Default)]
pub(super) struct SlowChecks {
    all: u32,
    beside_others: u32,
}

impl SlowChecks {
    /// One more has taken too long, while so many others were answered. Returns how many times longer the next pause is; `None` if the
    /// subscription is not to be tried again.
    pub(super) fn note(&mut self, others_answered: u64) -> Option<u32> {
        self.all += 1;
        self.beside_others += u32::from(others_answered > 0);
        (self.beside_others < BESIDE_OTHERS).then(|| 1 << self.all.min(DOUBLINGS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound() {
        let mut slow = SlowChecks::default();
        let pauses: Vec<_> = (0..7).filter_map(|_| slow.note(0)).collect();
        assert_eq!(pauses, [2, 4, 8, 16, 32, 32, 32]);
    }

    #[test]
    fn what_is_slow_only_because_the_database_is_does_not_count() {
        let mut slow = SlowChecks::default();
        assert!((0..100).all(|_| slow.note(0).is_some()));
        assert!((1..BESIDE_OTHERS).all(|_| slow.note(1).is_some()));
        assert!(slow.note(0).is_some());
        assert_eq!(slow.note(1), None);
    }
}
