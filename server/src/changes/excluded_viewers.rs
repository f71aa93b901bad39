//! For whom the policies of a table are not asked now, because they took too long a moment ago.
//!
//! One viewer is excluded alone: its own rows may be what takes long. With a second one of its role all viewers of the role are, or
//! a policy that is slow for all would take the time of a question for each of them. When that is over one viewer is tried before the
//! others are asked about.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::tenants::database::changes::RowRights;

/// After so many times the pause a role that was not tried is not remembered any more.
const FORGOTTEN_AFTER: u32 = 60;

/// The viewers that are excluded, by table and role.
pub(super) struct ExcludedViewers<V>(HashMap<(u32, Box<str>), Exclusion<V>>);

/// Why some viewers of a role are not asked about.
struct Exclusion<V> {
    since: Instant,
    /// The one that took too long.
    viewer: Arc<V>,
    extent: Extent,
}

/// Who is excluded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    OneViewer,
    Role,
    /// The role, until one viewer was tried.
    UntilTried,
}

/// Whether a viewer is asked about.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Eligibility<V> {
    Asked,
    Excluded,
    /// One viewer of the role is tried first, this one if it is there.
    Tried(Arc<V>),
}

impl<V> Default for ExcludedViewers<V> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<V> ExcludedViewers<V> {
    /// Asks again for those that were excluded so long ago.
    pub(super) fn forget_after(&mut self, pause: Duration, now: Instant) {
        self.0.retain(|_, exclusion| {
            let elapsed = now - exclusion.since;
            if exclusion.extent == Extent::OneViewer || elapsed < pause {
                return elapsed < pause;
            }
            exclusion.extent = Extent::UntilTried;
            elapsed < pause * FORGOTTEN_AFTER
        });
    }

    /// Whether the policies of a table are asked for a viewer.
    pub(super) fn eligibility(&self, (table, role): (u32, &str), viewer: &Arc<V>) -> Eligibility<V> {
        if self.0.is_empty() {
            return Eligibility::Asked;
        }
        let Some(exclusion) = self.0.get(&(table, role.into())) else { return Eligibility::Asked };
        match exclusion.extent {
            Extent::OneViewer if !Arc::ptr_eq(&exclusion.viewer, viewer) => Eligibility::Asked,
            Extent::OneViewer | Extent::Role => Eligibility::Excluded,
            Extent::UntilTried => Eligibility::Tried(Arc::clone(&exclusion.viewer)),
        }
    }

    /// The policies of a table took too long for a viewer with these rights. Returns whether it was not excluded before.
    pub(super) fn add(
        &mut self,
        (table, role): (u32, &str),
        (viewer, rights): (&Arc<V>, RowRights),
        now: Instant,
    ) -> bool {
        let alone = if rights == RowRights::PerRole { Extent::Role } else { Extent::OneViewer };
        let exclusion = |extent| Exclusion { since: now, viewer: Arc::clone(viewer), extent };
        match self.0.entry((table, role.into())) {
            Entry::Vacant(place) => {
                place.insert(exclusion(alone));
                true
            }
            Entry::Occupied(mut known) => {
                let is_new = known.get().extent != Extent::Role;
                if is_new {
                    known.insert(exclusion(Extent::Role));
                }
                is_new
            }
        }
    }

    /// The policies of a table have answered for a viewer of a role that was tried.
    pub(super) fn readmit(&mut self, (table, role): (u32, &str)) {
        self.0.remove(&(table, role.into()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_secs(60);
    const TABLE: (u32, &str) = (7, "authenticated");

    #[test]
    fn one_slow_viewer_is_excluded_alone_and_two_exclude_their_role() {
        let (mut excluded, now) = (ExcludedViewers::default(), Instant::now());
        let [slow, second, other] = ["slow", "second", "other"].map(Arc::new);
        assert!(excluded.add(TABLE, (&slow, RowRights::PerClaims), now));
        assert_eq!(excluded.eligibility(TABLE, &slow), Eligibility::Excluded);
        assert_eq!(excluded.eligibility(TABLE, &other), Eligibility::Asked);
        assert!(excluded.add(TABLE, (&second, RowRights::PerClaims), now));
        assert_eq!(excluded.eligibility(TABLE, &other), Eligibility::Excluded);
        assert_eq!(excluded.eligibility((8, "authenticated"), &other), Eligibility::Asked);
        assert_eq!(excluded.eligibility((7, "anon"), &other), Eligibility::Asked);
        assert!(!excluded.add(TABLE, (&other, RowRights::PerClaims), now), "it was excluded");
    }

    #[test]
    fn a_role_is_excluded_until_one_viewer_was_tried() {
        let (mut excluded, mut now) = (ExcludedViewers::default(), Instant::now());
        let [slow, other] = ["slow", "other"].map(Arc::new);
        for _ in 0..3 {
            assert!(excluded.add(TABLE, (&slow, RowRights::PerRole), now));
            excluded.forget_after(PAUSE, now + PAUSE - Duration::from_secs(1));
            assert_eq!(excluded.eligibility(TABLE, &other), Eligibility::Excluded);
            now += PAUSE;
            excluded.forget_after(PAUSE, now);
            assert_eq!(excluded.eligibility(TABLE, &other), Eligibility::Tried(Arc::clone(&slow)));
        }
        excluded.readmit(TABLE);
        assert_eq!(excluded.eligibility(TABLE, &slow), Eligibility::Asked);
    }
}
