//! Times in the log of a database, compared with the clock of this node.

use std::time::{Duration, UNIX_EPOCH};

use super::partitions::Day;

/// The year 2000, since the year 1970.
const POSTGRES_EPOCH: Duration = Duration::from_secs(946_684_800);

/// The time since a commit, in microseconds since the year 2000. None, if the clock of the database is ahead.
pub fn since_commit(committed_at: i64) -> Duration {
    since(POSTGRES_EPOCH + Duration::from_micros(committed_at.try_into().unwrap_or(0)))
}

/// The time since a `timestamp` of UTC, as the log has it: `2026-11-30 09:00:00.25`. `None` for other texts, such as `infinity`.
pub(super) fn since_timestamp(text: &str) -> Option<Duration> {
    let (date, time) = text.split_once(' ')?;
    let mut date = date.splitn(3, '-');
    let day = Day::new(date.next()?.parse().ok()?, date.next()?.parse().ok()?, date.next()?.parse().ok()?)?;
    let mut time = time.splitn(3, ':');
    let (hours, minutes): (u64, u64) = (time.next()?.parse().ok()?, time.next()?.parse().ok()?);
    let seconds = Duration::try_from_secs_f64(time.next()?.parse().ok()?).ok()?;
    Some(since(day.since_epoch()? + Duration::from_secs((hours * 60 + minutes) * 60) + seconds))
}

fn since(time: Duration) -> Duration {
    UNIX_EPOCH.elapsed().unwrap_or_default().saturating_sub(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_is_read_as_the_log_has_it() {
        let day = since_timestamp("2026-01-02 00:00:00").expect("a time");
        let later = since_timestamp("2026-01-02 01:02:03.25").expect("a time");
        let apart = (day - later).as_secs_f64();
        assert!((apart - 3_723.25).abs() < 1.0, "{apart}");
        for other in ["infinity", "2026-01-02", "2026-13-02 00:00:00", "0044-03-15 00:00:00 BC", "x y"] {
            assert_eq!(since_timestamp(other), None, "{other}");
        }
    }
}
