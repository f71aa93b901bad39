//! The ids of broadcasts: UUIDs of version 7, which increase with time in one process (RFC 9562 §5.7, §6.2 method 3).
//!
//! 48 bits are milliseconds, 12 bits a fraction of one, the rest a hash with a key of this process: ids of several nodes
//! differ, and one id does not reveal the next.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use uuid::{Builder, Uuid};

/// Parts of a millisecond that an id tells apart, as bits.
const FRACTION_BITS: u32 = 12;

/// The time of the newest id, in parts of a millisecond since 1970.
static NEWEST: AtomicU64 = AtomicU64::new(0);

static HASH_KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// An id, and its time in milliseconds since 1970. The time is ahead of the clock if that was set back, or while more ids
/// are needed than there are parts of a millisecond.
pub fn next_id() -> (Uuid, u64) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = (now.as_nanos() << FRACTION_BITS) / 1_000_000;
    let now = u64::try_from(now).unwrap_or_default();
    let advance = |newest: u64| Some(now.max(newest + 1));
    let previous = NEWEST.fetch_update(Ordering::Relaxed, Ordering::Relaxed, advance);
    let time = now.max(previous.unwrap_or_default() + 1);
    let (milliseconds, fraction) = (time >> FRACTION_BITS, time as u16 & ((1 << FRACTION_BITS) - 1));
    let mut rest = [0; 10];
    rest[..2].copy_from_slice(&fraction.to_be_bytes());
    rest[2..].copy_from_slice(&HASH_KEY.hash_one(time).to_be_bytes());
    (Builder::from_unix_timestamp_millis(milliseconds, &rest).into_uuid(), milliseconds)
}

/// When an id was made, in milliseconds since 1970, if it is one of version 7.
pub(in crate::broadcast) fn time_of(id: u128) -> Option<u64> {
    (Uuid::from_u128(id).get_version_num() == 7).then_some((id >> 80) as u64)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn ids_of_one_thread_increase_and_those_of_several_differ() {
        let threads: Vec<_> =
            (0..4).map(|_| thread::spawn(|| (0..5_000).map(|_| next_id()).collect::<Vec<_>>())).collect();
        let mut all = Vec::new();
        for thread in threads {
            let ids = thread.join().expect("no panic");
            assert!(ids.is_sorted_by(|one, next| one.0 < next.0));
            all.extend(ids);
        }
        let (id, milliseconds) = all[0];
        assert_eq!(id.get_version_num(), 7);
        let time = id.get_timestamp().expect("version 7 has one").to_unix();
        assert_eq!(time.0 * 1_000 + u64::from(time.1) / 1_000_000, milliseconds);
        assert_eq!((time_of(id.as_u128()), time_of(7)), (Some(milliseconds), None));
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 20_000);
    }
}
