//! How many bytes one client tracks in all its rooms together.
//!
//! The total is a counter, because a client may be in thousands of rooms and each `track` needs it. Every tracker holds
//! its share of it and returns the share when it is dropped, so that no way out of a room can forget to.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The bytes tracked by one client.
#[derive(Debug, Clone, Default)]
pub struct PresenceBudget(Arc<AtomicUsize>);

/// The bytes tracked by one client in one room.
#[derive(Debug)]
pub(super) struct BudgetShare {
    budget: PresenceBudget,
    bytes: usize,
}

impl PresenceBudget {
    /// Bytes in use.
    pub fn used(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn share(&self) -> BudgetShare {
        BudgetShare { budget: self.clone(), bytes: 0 }
    }
}

impl BudgetShare {
    /// Bytes in use by the client's other rooms.
    pub(super) fn used_by_others(&self) -> usize {
        self.budget.used() - self.bytes
    }

    /// This room uses `bytes` from now on.
    pub(super) fn set(&mut self, bytes: usize) {
        self.budget.0.fetch_add(bytes, Ordering::Relaxed);
        self.budget.0.fetch_sub(self.bytes, Ordering::Relaxed);
        self.bytes = bytes;
    }
}

impl Drop for BudgetShare {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_the_sum_of_the_shares_that_exist() {
        let budget = PresenceBudget::default();
        let mut shares: Vec<_> = (0..1_000).map(|_| budget.share()).collect();
        for (bytes, share) in shares.iter_mut().enumerate() {
            share.set(7);
            share.set(bytes);
        }
        assert_eq!(budget.used(), 499_500);
        assert_eq!(shares[999].used_by_others(), 498_501);
        shares[999].set(0);
        assert_eq!((budget.used(), shares[999].used_by_others()), (498_501, 498_501));
        shares.truncate(10);
        assert_eq!(budget.used(), 45);
        drop(shares);
        assert_eq!(budget.used(), 0);
    }
}
