//! How many rooms of each tenant are remembered: a tenant may have as many as are left free, as in the queues, so that one
//! whose rooms all fail leaves half to the others.

use std::collections::HashMap;

use super::room_table::tenant;

/// Rooms of all tenants together.
const ROOMS_MAX: usize = 65_536;

#[derive(Debug, Default)]
pub(super) struct RoomShares {
    by_tenant: HashMap<Box<str>, usize>,
    total: usize,
}

impl RoomShares {
    /// Counts one more room, if its tenant may have it.
    pub(super) fn add(&mut self, name: &str) -> bool {
        let of_tenant = self.by_tenant.get(tenant(name)).copied().unwrap_or_default();
        let has_place = of_tenant < ROOMS_MAX - self.total;
        if has_place {
            self.total += 1;
            *self.by_tenant.entry(tenant(name).into()).or_default() += 1;
        }
        has_place
    }

    /// A room that was counted is not remembered any more.
    pub(super) fn remove(&mut self, name: &str) {
        let Some(of_tenant) = self.by_tenant.get_mut(tenant(name)) else { return };
        self.total -= 1;
        *of_tenant -= 1;
        if *of_tenant == 0 {
            self.by_tenant.remove(tenant(name));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_whose_rooms_all_fail_leaves_places_to_the_others() {
        let mut shares = RoomShares::default();
        let added = (0..ROOMS_MAX).filter(|number| shares.add(&format!("busy:{number}"))).count();
        assert_eq!(added, ROOMS_MAX / 2);
        assert!(shares.add("quiet:1") && shares.add("quiet:2"));
        shares.remove("busy:0");
        assert!(!shares.add("busy:0"), "the other tenant has two of the places");
        (1..4).for_each(|number| shares.remove(&format!("busy:{number}")));
        assert!(shares.add("busy:0"));
        shares.remove("quiet:1");
        shares.remove("quiet:2");
        assert_eq!(shares.by_tenant.len(), 1);
    }
}
