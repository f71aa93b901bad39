//! Rooms whose presence cannot be shared, while that of others can: Redis rejects something about them, their tenant has
//! stored as much as it may, or has no memory left for what other nodes show. Each is tried again after renewals, with
//! growing waits.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use hub::Shares;

use super::room_table::tenant;
use crate::bus::RoomName;

/// Rooms of all tenants together that are remembered because they have failed or were rejected. Tenants share them, so that
/// one whose rooms all fail leaves half to the others.
pub(super) const ROOMS_MAX: usize = 65_536;

/// Those that are remembered. Rooms beyond the share of their tenant are tried again when they change.
#[derive(Debug, Default)]
pub(super) struct FailingRooms {
    rooms: HashMap<RoomName, Failure>,
    shares: Shares<String>,
}

#[derive(Debug)]
struct Failure {
    wait: Duration,
    /// When it is tried again; `None` while it is.
    due: Option<Instant>,
}

impl FailingRooms {
    /// The room has failed. It is tried again after `shortest`, then after waits that double, up to `longest`.
    pub(super) fn add(&mut self, name: RoomName, now: Instant, (shortest, longest): (Duration, Duration)) {
        if !self.rooms.contains_key(&name) && !self.shares.try_take(tenant(&name), 1, ROOMS_MAX) {
            return;
        }
        let failure = self.rooms.entry(name).or_insert(Failure { wait: Duration::ZERO, due: None });
        if failure.due.is_none() {
            failure.wait = (failure.wait * 2).clamp(shortest, longest.max(shortest));
            failure.due = Some(now + failure.wait);
        }
    }

    /// The rooms to try again now. Those that were tried and have not failed since are removed, unless they are
    /// `unsettled`.
    pub(super) fn take_due(&mut self, now: Instant, unsettled: impl Fn(&RoomName) -> bool) -> Vec<RoomName> {
        let mut due = Vec::new();
        let Self { rooms, shares } = self;
        rooms.retain(|name, failure| match failure.due {
            None => {
                let is_kept = unsettled(name);
                if !is_kept {
                    shares.give_back(tenant(name), 1);
                }
                is_kept
            }
            Some(then) if then <= now => {
                failure.due = None;
                due.push(RoomName::clone(name));
                true
            }
            Some(_) => true,
        });
        due
    }

    /// Whether the room waits, so that its changes are not stored until it is tried again as a whole.
    pub(super) fn is_waiting(&self, name: &str) -> bool {
        self.rooms.get(name).is_some_and(|failure| failure.due.is_some())
    }

    pub(super) fn len(&self) -> usize {
        self.rooms.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_that_fails_again_waits_longer_and_one_that_does_not_is_forgotten() {
        let (mut rooms, begun) = (FailingRooms::default(), Instant::now());
        let at = |seconds| begun + Duration::from_secs(seconds);
        let waits = (Duration::from_secs(5), Duration::from_secs(15));
        let mut now = 0;
        for wait in [5, 10, 15, 15] {
            rooms.add("a".into(), at(now), waits);
            assert!(rooms.is_waiting("a"));
            assert_eq!(rooms.take_due(at(now + wait - 1), |_| false), Vec::<RoomName>::new());
            now += wait;
            assert_eq!(rooms.take_due(at(now), |_| false), [RoomName::from("a")]);
            assert!(!rooms.is_waiting("a"));
        }
        assert_eq!(rooms.take_due(at(now), |_| true), Vec::<RoomName>::new());
        assert_eq!(rooms.len(), 1, "its responses have not come");
        rooms.take_due(at(now), |_| false);
        assert_eq!(rooms.len(), 0);
    }

    #[test]
    fn a_tenant_whose_rooms_all_fail_leaves_places_to_the_others() {
        let (mut rooms, begun) = (FailingRooms::default(), Instant::now());
        let waits = (Duration::from_secs(5), Duration::from_secs(15));
        (0..ROOMS_MAX).for_each(|number| rooms.add(format!("busy:{number}").into(), begun, waits));
        assert_eq!(rooms.len(), ROOMS_MAX / 2);
        rooms.add("quiet:1".into(), begun, waits);
        assert!(rooms.is_waiting("quiet:1"));
        let due = begun + Duration::from_secs(5);
        assert_eq!(rooms.take_due(due, |_| false).len(), ROOMS_MAX / 2 + 1);
        rooms.take_due(due, |_| false);
        assert_eq!((rooms.len(), rooms.shares.total()), (0, 0));
    }
}
