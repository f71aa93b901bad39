//! Permits: what is bounded in number and given back when it ends, such as sockets, WebSockets, the users of a
//! tenant and the WebSockets of an address.
//!
//! The maximum is an argument of each acquisition, because a reload may change it. Lowering it takes no permit
//! back: those above it stay until their holders end. Nothing here waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// One of a bounded number; dropping it returns it.
pub struct Permit(Arc<dyn PermitPool>);

/// Where a permit is returned to.
pub trait PermitPool: Send + Sync {
    /// Counts one permit less.
    fn release(&self);
}

/// A number of permits in use.
#[derive(Debug, Default)]
pub struct Permits(Arc<AtomicUsize>);

impl Permit {
    /// A permit that `pool` has counted already.
    pub fn of(pool: Arc<dyn PermitPool>) -> Self {
        Self(pool)
    }
}

impl Permits {
    /// One more permit, if fewer than `max` are in use.
    pub fn acquire(&self, max: usize) -> Option<Permit> {
        let below_max = |used| (used < max).then_some(used + 1);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, below_max).ok()?;
        Some(Permit(Arc::clone(&self.0) as Arc<dyn PermitPool>))
    }

    /// Permits in use.
    pub fn in_use(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl PermitPool for AtomicUsize {
    fn release(&self) {
        self.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.release();
    }
}

impl std::fmt::Debug for Permit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Permit").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permit_is_available_again_once_it_is_dropped() {
        let permits = Permits::default();
        let (first, second) = (permits.acquire(2), permits.acquire(2));
        assert!(first.is_some() && second.is_some() && permits.acquire(2).is_none());
        drop(first);
        assert_eq!(permits.in_use(), 1);
        assert!(permits.acquire(1).is_none(), "a lowered maximum applies to the next permit");
        assert!(permits.acquire(2).is_some());
    }
}
