//! A day of the Gregorian calendar in UTC, as partitions are named and bounded by it.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How partitions are named, before the day.
const PREFIX: &str = "messages_";

/// Days of 400 years, after which the calendar repeats.
const ERA: i64 = 146_097;

/// A day in UTC. Its text is `2026-11-29`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day {
    /// Since 1970-01-01.
    days: i64,
}

impl Day {
    /// The day at this time.
    pub fn at(time: SystemTime) -> Day {
        let seconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        Day { days: i64::try_from(seconds / 86_400).unwrap_or(i64::MAX) }
    }

    /// The day so many days later, or earlier if it is negative.
    #[must_use]
    pub fn plus(self, days: i64) -> Day {
        Day { days: self.days + days }
    }

    /// The day of this date, if the calendar has it.
    pub fn new(year: u16, month: u8, day: u8) -> Option<Day> {
        // Years begin in March, so that the day that not all of them have is the last.
        let (year, month_of_year) =
            (i64::from(year) - i64::from(month <= 2), (i64::from(month) + 9).rem_euclid(12));
        let day_of_year = (153 * month_of_year + 2) / 5 + i64::from(day) - 1;
        let year_of_era = year.rem_euclid(400);
        let day_of_era = 365 * year_of_era + year_of_era / 4 - year_of_era / 100 + day_of_year;
        let found = Day { days: year.div_euclid(400) * ERA + day_of_era - 719_468 };
        let is_a_date = found.date() == (year + i64::from(month <= 2), i64::from(month), i64::from(day));
        is_a_date.then_some(found)
    }

    /// When it begins, since 1970; `None` if that is before.
    pub fn since_epoch(self) -> Option<Duration> {
        Some(Duration::from_secs(u64::try_from(self.days).ok()?.checked_mul(86_400)?))
    }

    /// Year, month and day.
    fn date(self) -> (i64, i64, i64) {
        let days = self.days + 719_468;
        let (era, day_of_era) = (days.div_euclid(ERA), days.rem_euclid(ERA));
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_of_year = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_of_year + 2) / 5 + 1;
        let month = (month_of_year + 2) % 12 + 1;
        (era * 400 + year_of_era + i64::from(month <= 2), month, day)
    }

    /// The name of its partition: `messages_2026_11_29`.
    pub fn partition(self) -> String {
        let (year, month, day) = self.date();
        format!("{PREFIX}{year:04}_{month:02}_{day:02}")
    }

    /// The day whose partition has this name.
    pub fn of_partition(name: &str) -> Option<Day> {
        let date = name.strip_prefix(PREFIX)?;
        let mut parts = date.splitn(3, '_');
        let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
        let found = Day::new(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?)?;
        // Written in another way it is another table.
        (found.partition() == name).then_some(found)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.date();
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        let at = |seconds| Day::at(UNIX_EPOCH + Duration::from_secs(seconds)).to_string();
        assert_eq!(
            [at(0), at(86_399), at(86_400), at(951_782_400), at(4_107_542_400)],
            ["1970-01-01", "1970-01-01", "1970-01-02", "2000-02-29", "2100-03-01"]
        );
        assert_eq!(Day::new(2100, 3, 1).unwrap().plus(-1).to_string(), "2100-02-28");
        for (year, month, day) in
            [(2026, 2, 29), (2026, 0, 1), (2026, 13, 1), (2026, 4, 31), (2026, 1, 0), (2026, 1, 255)]
        {
            assert_eq!(Day::new(year, month, day), None, "{year}-{month}-{day}");
        }
    }

    #[test]
    fn only_the_name_of_a_partition_is_one() {
        assert_eq!(Day::of_partition("messages_2026_11_29"), Day::new(2026, 11, 29));
        for other in [
            "messages_2026_11_31",
            "messages_2026_1_29",
            "messages_2026_11_29_old",
            "messages_+2026_11_29",
            "messages_2026_11_+9",
            "messages_2026_11",
            "messages",
            "Messages_2026_11_29",
        ] {
            assert_eq!(Day::of_partition(other), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn a_name_is_that_of_one_day(days in 0_i64..2_900_000) {
            let day = Day::at(UNIX_EPOCH).plus(days);
            prop_assert_eq!(Day::of_partition(&day.partition()), Some(day));
        }
    }
}
