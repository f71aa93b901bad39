//! Times of commits.

use std::io::Write as _;

/// Milliseconds from 0000-03-01, where the calendar's cycle of 400 years begins, to 2000-01-01.
const CYCLE_BEGIN_MS: i64 = 730_425 * DAY_MS;
const DAY_MS: i64 = 86_400_000;
const CYCLE_DAYS: i64 = 146_097;

/// Writes the time `micros`, in microseconds since 2000-01-01, as a string in UTC with three digits of a second, the rest
/// cut off: `"2026-08-21T12:03:56.123Z"`.
pub(super) fn write_timestamp(micros: i64, out: &mut Vec<u8>) {
    // Far from the range of i64, because microseconds have become milliseconds.
    let ms = micros.div_euclid(1000) + CYCLE_BEGIN_MS;
    let (year, month, day) = date(ms.div_euclid(DAY_MS));
    let ms = ms.rem_euclid(DAY_MS);
    let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    let fraction = ms % 1000;
    write!(out, "\"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction:03}Z\"")
        .expect("a time is written to memory");
}

/// The date that is `days` after 0000-03-01. Years begin in March here, so that the leap day is the last of one.
fn date(days: i64) -> (i64, i64, i64) {
    let (cycle, day) = (days.div_euclid(CYCLE_DAYS), days.rem_euclid(CYCLE_DAYS));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let january = i64::from(month >= 10);
    (400 * cycle + year + january, month + 3 - 12 * january, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(micros: i64) -> String {
        let mut out = Vec::new();
        write_timestamp(micros, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_time_has_three_digits_of_a_second_and_is_not_rounded() {
        assert_eq!(shown(0), "\"2000-01-01T00:00:00.000Z\"");
        assert_eq!(shown(999_999), "\"2000-01-01T00:00:00.999Z\"");
        assert_eq!(shown(-1), "\"1999-12-31T23:59:59.999Z\"");
        assert_eq!(shown(840_629_036_123_456), "\"2026-08-21T12:03:56.123Z\"");
    }

    #[test]
    fn leap_days_are_where_the_calendar_has_them() {
        let day = |days: i64| shown(days * DAY_MS * 1000)[1..11].to_owned();
        assert_eq!([day(58), day(59), day(60)], ["2000-02-28", "2000-02-29", "2000-03-01"]);
        assert_eq!([day(365), day(366)], ["2000-12-31", "2001-01-01"]);
        assert_eq!([day(36_583), day(36_584)], ["2100-02-28", "2100-03-01"]);
    }

    #[test]
    fn no_time_is_out_of_range() {
        for micros in [i64::MIN, i64::MAX] {
            assert!(shown(micros).ends_with("Z\""));
        }
    }
}
