//! Which tenants have series on the page: those that something happens to, up to a number of them.
//!
//! A server may have many thousand tenants of which few have clients, and each has a hundred lines. So the series of a tenant
//! that is idle for ten minutes are left out. Their values stay, and are continued when something happens again: a counter never
//! goes back while the process runs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long a tenant is shown after the last thing that happened to it, as upstream's cleaner has it.
pub(super) const IDLE_MAX: Duration = Duration::from_secs(600);

/// What the series of one tenant have in common.
#[derive(Default)]
pub(super) struct TenantActivity {
    is_shown: AtomicBool,
    /// Whether something happened since it was looked at last.
    is_active: AtomicBool,
}

impl TenantActivity {
    /// Whether its series are on the page.
    pub(super) fn is_shown(&self) -> bool {
        self.is_shown.load(Ordering::Relaxed)
    }

    /// Notes that something happens to the tenant.
    pub(super) fn note(&self) {
        self.is_active.store(true, Ordering::Relaxed);
    }

    fn take(&self) -> bool {
        self.is_active.swap(false, Ordering::Relaxed)
    }
}

/// The tenants that have series.
pub(super) struct ShownTenants {
    tenants: BTreeMap<Box<str>, (Arc<TenantActivity>, Instant)>,
    max: usize,
    shown: usize,
    /// Tenants that are left out only because so many are shown.
    unshown: usize,
}

impl ShownTenants {
    /// No tenants, and no limit.
    pub(super) fn unlimited() -> Self {
        Self { tenants: BTreeMap::new(), max: usize::MAX, shown: 0, unshown: 0 }
    }

    /// Shows at most so many tenants, from the next update on.
    pub(super) fn set_max(&mut self, max: usize) {
        self.max = max;
    }

    /// Tenants that are left out only because so many are shown.
    pub(super) fn unshown(&self) -> usize {
        self.unshown
    }

    /// The activity of a tenant. A new one is shown at once, if it may be.
    pub(super) fn activity(&mut self, tenant: &str, now: Instant) -> Arc<TenantActivity> {
        if let Some((activity, _)) = self.tenants.get(tenant) {
            return Arc::clone(activity);
        }
        let activity = Arc::new(TenantActivity::default());
        if self.shown < self.max {
            activity.is_shown.store(true, Ordering::Relaxed);
            self.shown += 1;
        } else {
            self.unshown += 1;
        }
        self.tenants.insert(tenant.into(), (Arc::clone(&activity), now));
        activity
    }

    /// Looks which tenants are active. Those that are shown stay so for as long as they are: series do not come and go because
    /// of other tenants.
    pub(super) fn update(&mut self, now: Instant) {
        self.tenants.retain(|_, (activity, _)| Arc::strong_count(activity) > 1);
        let mut active: Vec<_> = Vec::with_capacity(self.tenants.len());
        for (activity, active_at) in self.tenants.values_mut() {
            if activity.take() {
                *active_at = now;
            }
            if now.saturating_duration_since(*active_at) < IDLE_MAX {
                active.push((!activity.is_shown(), &*activity));
            } else {
                activity.is_shown.store(false, Ordering::Relaxed);
            }
        }
        // Stable, so by name among those that are new.
        active.sort_by_key(|(is_new, _)| *is_new);
        self.shown = active.len().min(self.max);
        self.unshown = active.len() - self.shown;
        // Nothing is hidden for a moment: a page may be written meanwhile.
        for (place, (_, tenant)) in active.iter().enumerate() {
            tenant.is_shown.store(place < self.shown, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_is_left_out_ten_minutes_after_its_last_activity_and_shown_again_with_the_next() {
        let (mut tenants, start) = (ShownTenants::unlimited(), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        let (acme, other) = (tenants.activity("acme", start), tenants.activity("other", start));
        tenants.update(after(599));
        assert!(acme.is_shown() && other.is_shown());
        other.note();
        tenants.update(after(600));
        assert!(!acme.is_shown() && other.is_shown());
        assert_eq!(tenants.unshown(), 0);
        acme.note();
        tenants.update(after(1_300));
        assert!(acme.is_shown() && !other.is_shown());
    }

    #[test]
    fn above_the_limit_those_stay_that_were_shown_first() {
        let (mut tenants, now) = (ShownTenants::unlimited(), Instant::now());
        tenants.set_max(2);
        let [z, y, a] = ["z", "y", "a"].map(|name| tenants.activity(name, now));
        tenants.update(now);
        assert!(z.is_shown() && y.is_shown() && !a.is_shown());
        assert_eq!(tenants.unshown(), 1);
        drop(y);
        tenants.update(now);
        assert!(z.is_shown() && a.is_shown());
        tenants.set_max(0);
        tenants.update(now);
        assert!(!z.is_shown() && !a.is_shown());
        assert_eq!(tenants.unshown(), 2);
    }
}
