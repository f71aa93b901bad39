//! Who waits for memory, and who is woken when some is given back: one at a time, tenants in turns, those of a tenant in the
//! order in which they came.
//!
//! One that is woken and gets its memory wakes the next one, so that much memory serves many without all of them asking at
//! once. Memory is given back where locks are held, those of outboxes too. That a waker is called there is safe because a
//! waker here belongs to a task: calling it schedules the task and runs nothing of it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Waker;

use parking_lot::Mutex;

use super::{MemoryCharge, MemoryKind, TenantMemory};

/// Of a tenant's, so many of the longest waiting are considered. One that needs more than there is lets those pass that are
/// not far behind it; that all are looked at would take long under the lock.
const CONSIDERED_MAX: usize = 8;

/// Those who wait for memory of one budget.
#[derive(Debug, Default)]
pub(super) struct Waits {
    /// How many there are: while there are none, giving back costs one read more.
    count: AtomicUsize,
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    next_position: u64,
    /// The tenants for whom someone waits. The next to be served is at the front.
    tenants: VecDeque<TenantWaits>,
}

#[derive(Debug)]
struct TenantWaits {
    account: Arc<TenantMemory>,
    /// By position, so in order.
    waits: BTreeMap<u64, Waiting>,
}

#[derive(Debug)]
struct Waiting {
    bytes: usize,
    /// `None` from when it is woken until it asks again.
    waker: Option<Waker>,
}

/// A place among those who wait for memory; dropping it leaves.
#[derive(Debug)]
pub struct MemoryWait {
    account: Arc<TenantMemory>,
    kind: MemoryKind,
    bytes: usize,
    position: u64,
}

impl TenantMemory {
    /// Waits for `bytes`, behind those of the tenant who wait already.
    pub fn wait_for(self: &Arc<Self>, kind: MemoryKind, bytes: usize) -> MemoryWait {
        let waits = &self.budget.waits;
        let position = waits.queue.lock().add(self, bytes);
        // In one order with the memory that is given back: either that is seen by the next poll, or this is seen there.
        waits.count.fetch_add(1, Ordering::SeqCst);
        MemoryWait { account: Arc::clone(self), kind, bytes, position }
    }
}

impl MemoryWait {
    /// The charge, if the tenant may have it now. Otherwise `waker` is called when it is worth asking again.
    pub fn poll(&self, waker: &Waker) -> Option<MemoryCharge> {
        let Self { account, kind, bytes, position } = self;
        account.budget.waits.queue.lock().set_waker(account, *position, waker);
        // Others ask at the same time, and what they ask for counts until they are refused.
        while account.has_room_for(*bytes) {
            if let Some(charge) = account.try_charge(*kind, *bytes) {
                return Some(charge);
            }
        }
        None
    }
}

impl Drop for MemoryWait {
    fn drop(&mut self) {
        let waits = &self.account.budget.waits;
        waits.queue.lock().remove(&self.account, self.position);
        waits.count.fetch_sub(1, Ordering::SeqCst);
        // It has got what it waited for and more may be left, or it was woken and has given up.
        waits.wake_next();
    }
}

impl Waits {
    /// Wakes the next one who may have what it waits for.
    pub(super) fn wake_next(&self) {
        if self.count.load(Ordering::SeqCst) == 0 {
            return;
        }
        let next = self.queue.lock().take_next();
        if let Some(waker) = next {
            waker.wake();
        }
    }
}

impl Queue {
    fn add(&mut self, account: &Arc<TenantMemory>, bytes: usize) -> u64 {
        let position = self.next_position;
        self.next_position += 1;
        if self.of(account).is_none() {
            self.tenants.push_back(TenantWaits { account: Arc::clone(account), waits: BTreeMap::new() });
        }
        let waiting = Waiting { bytes, waker: None };
        self.of(account).map(|tenant| tenant.waits.insert(position, waiting));
        position
    }

    fn set_waker(&mut self, account: &Arc<TenantMemory>, position: u64, waker: &Waker) {
        if let Some(waiting) = self.of(account).and_then(|tenant| tenant.waits.get_mut(&position)) {
            waiting.waker = Some(waker.clone());
        }
    }

    fn remove(&mut self, account: &Arc<TenantMemory>, position: u64) {
        if let Some(tenant) = self.of(account) {
            tenant.waits.remove(&position);
        }
        self.tenants.retain(|tenant| !tenant.waits.is_empty());
    }

    /// The waker of the next one who may have what it waits for. Its tenant is the last one then.
    fn take_next(&mut self) -> Option<Waker> {
        let index = self.tenants.iter().position(|tenant| tenant.next().is_some())?;
        let mut tenant = self.tenants.remove(index)?;
        let waker = tenant.next().and_then(|position| tenant.waits.get_mut(&position)?.waker.take());
        self.tenants.push_back(tenant);
        waker
    }

    fn of(&mut self, account: &Arc<TenantMemory>) -> Option<&mut TenantWaits> {
        self.tenants.iter_mut().find(|tenant| Arc::ptr_eq(&tenant.account, account))
    }
}

impl TenantWaits {
    /// The position of the next one of this tenant who may have what it waits for.
    fn next(&self) -> Option<u64> {
        let not_woken = self.waits.iter().filter(|(_, waiting)| waiting.waker.is_some());
        let mut fitting =
            not_woken.take(CONSIDERED_MAX).filter(|(_, waiting)| self.account.has_room_for(waiting.bytes));
        fitting.next().map(|(position, _)| *position)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};
    use std::task::Wake;

    use super::super::MemoryBudget;
    use super::*;

    /// Sends its name when it is woken.
    struct Named(&'static str, Sender<&'static str>);

    impl Wake for Named {
        fn wake(self: Arc<Self>) {
            self.1.send(self.0).expect("the test receives");
        }
    }

    #[test]
    fn one_is_woken_at_a_time_in_order_and_tenants_in_turns() {
        let budget = MemoryBudget::new(100_000, 75);
        let (one, other) = (TenantMemory::new(&budget), TenantMemory::new(&budget));
        let all = one.charge(MemoryKind::Sending, 100_000);
        let (sender, woken) = channel();
        let wait = |account: &Arc<TenantMemory>, name, bytes| {
            let (wait, waker) = (account.wait_for(MemoryKind::Receiving, bytes), Named(name, sender.clone()));
            let waker = Waker::from(Arc::new(waker));
            assert!(wait.poll(&waker).is_none(), "{name}");
            (wait, waker)
        };
        let large = wait(&one, "too large for a tenant", 80_000);
        let first = wait(&one, "first", 10_000);
        let second = wait(&one, "second", 10_000);
        let others = wait(&other, "others", 10_000);
        assert!(woken.try_recv().is_err());
        drop(all);
        assert_eq!(woken.try_iter().collect::<Vec<_>>(), ["first"], "one, whatever was given back");
        let charge = first.0.poll(&first.1).expect("there is memory");
        drop(first);
        assert_eq!(woken.try_iter().collect::<Vec<_>>(), ["others"], "the other tenant's turn");
        // It gives up, and its place passes to the next.
        drop(others);
        assert_eq!(woken.try_iter().collect::<Vec<_>>(), ["second"]);
        drop((charge, large, second));
        assert!(budget.waits.queue.lock().tenants.is_empty());
        assert_eq!((budget.waits.count.load(Ordering::SeqCst), one.total(), other.total()), (0, 0, 0));
    }

    #[test]
    fn a_raised_budget_wakes_too() {
        let budget = MemoryBudget::new(0, 75);
        let account = TenantMemory::new(&budget);
        let (sender, woken) = channel();
        let wait = account.wait_for(MemoryKind::Receiving, 20_000);
        assert!(wait.poll(&Waker::from(Arc::new(Named("raised", sender)))).is_none());
        budget.set(100_000, 75);
        assert_eq!(woken.try_recv(), Ok("raised"));
    }
}
