//! Waiting for memory. Memory that is given back goes to the tasks that wait: tenants take turns, and the tasks of one
//! tenant are served in the order in which they began to wait.
//!
//! A task is woken after its memory has been charged, so no other task can take that memory in between. If no task waits,
//! giving back memory costs one atomic read. Otherwise a bounded number of waits is examined under the lock
//! (`waits/queue.rs`); if there are more, a waiting task is woken to examine the next ones.
//!
//! Memory is also given back while locks are held, such as that of an outbox. Calling a waker there is safe: these wakers
//! belong to tasks, so a call only schedules the task.

mod queue;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Waker;

use parking_lot::Mutex;

use self::queue::{WaitQueue, Woken};
use super::{MemoryCharge, MemoryKind, TenantMemory};

/// The waits for memory of one budget.
#[derive(Debug, Default)]
pub(super) struct Waits {
    /// The number of [`MemoryWait`]s, including those whose memory has been charged already.
    count: AtomicUsize,
    queue: Mutex<WaitQueue>,
}

/// A wait for memory. Dropping it ends the wait.
#[derive(Debug)]
pub struct MemoryWait {
    account: Arc<TenantMemory>,
    position: u64,
}

impl TenantMemory {
    /// Charges `bytes` if the tenant may have them now and nothing waits for memory. Otherwise a wait begins, behind the
    /// other waits of the tenant.
    ///
    /// # Errors
    /// The wait, which the caller polls.
    pub fn charge_in_turn(
        self: &Arc<Self>,
        kind: MemoryKind,
        bytes: usize,
    ) -> Result<MemoryCharge, MemoryWait> {
        let waits = &self.budget.waits;
        let none_waits = waits.count.load(Ordering::SeqCst) == 0;
        if let Some(charge) = none_waits.then(|| self.try_charge(kind, bytes)).flatten() {
            return Ok(charge);
        }
        let position = waits.queue.lock().add(self, kind, bytes);
        // Sequentially consistent with giving back memory (`MemoryUse::subtract`): either the first poll of this wait sees
        // the memory, or the thread that gives it back sees this wait.
        waits.count.fetch_add(1, Ordering::SeqCst);
        Err(MemoryWait { account: Arc::clone(self), position })
    }
}

impl MemoryWait {
    /// The charge, once the memory has been charged for this wait. Until then `waker` is called when the wait is to be
    /// polled again.
    pub fn poll(&self, waker: &Waker) -> Option<MemoryCharge> {
        let waits = &self.account.budget.waits;
        waits.change(|queue, woken| queue.poll(&self.account, self.position, waker, woken))
    }
}

impl Drop for MemoryWait {
    fn drop(&mut self) {
        let waits = &self.account.budget.waits;
        let unused = waits.change(|queue, woken| queue.remove(&self.account, self.position, woken));
        waits.count.fetch_sub(1, Ordering::SeqCst);
        // Dropped without the lock: giving back the charge takes the lock to serve the next wait.
        drop(unused);
    }
}

impl Waits {
    /// Serves the waits after memory was given back, or after the limit was raised.
    pub(super) fn serve(&self) {
        if self.count.load(Ordering::SeqCst) > 0 {
            self.change(WaitQueue::serve_all);
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut WaitQueue, &mut Woken) -> T) -> T {
        let mut woken = Woken::default();
        let result = change(&mut self.queue.lock(), &mut woken);
        woken.into_iter().for_each(Waker::wake);
        result
    }
}

#[cfg(test)]
mod tests;
