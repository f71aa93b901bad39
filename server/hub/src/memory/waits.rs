//! Waiting for memory: what is given back goes to those who wait, tenants in turns, and those of a tenant in the order in
//! which they came.
//!
//! Memory is charged for the one who gets it, and its task is woken then. So none that comes later, or is polled earlier,
//! can take it. Giving back while none waits costs one atomic read; otherwise a bounded number of waits is looked at
//! under the lock (`waits/queue.rs`), and if there are more, the tasks that wait go on with that.
//!
//! Memory is given back where locks are held, those of outboxes too. That a waker is called there is safe because a waker
//! here belongs to a task: calling it schedules the task and runs nothing of it.

mod queue;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Waker;

use parking_lot::Mutex;

use self::queue::{WaitQueue, Woken};
use super::{MemoryCharge, MemoryKind, TenantMemory};

/// Those who wait for memory of one budget.
#[derive(Debug, Default)]
pub(super) struct Waits {
    /// How many there are.
    count: AtomicUsize,
    queue: Mutex<WaitQueue>,
}

/// A place among those who wait for memory; dropping it leaves.
#[derive(Debug)]
pub struct MemoryWait {
    account: Arc<TenantMemory>,
    position: u64,
}

impl TenantMemory {
    /// The charge, if the tenant may have it now and none waits for memory. Otherwise a place behind
    /// those of the tenant.
    ///
    /// # Errors
    /// The place, which is to be polled.
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
        // In one order with the memory that is given back: either that is seen by the first poll, or this is seen there.
        waits.count.fetch_add(1, Ordering::SeqCst);
        Err(MemoryWait { account: Arc::clone(self), position })
    }
}

impl MemoryWait {
    /// The charge, once it is the turn of this wait and the tenant may have it. Otherwise `waker` is called when it is
    /// worth asking again.
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
        // Without the lock, because dropping a charge gives it to the next.
        drop(unused);
    }
}

impl Waits {
    /// Memory was given back, or there is more of it.
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
