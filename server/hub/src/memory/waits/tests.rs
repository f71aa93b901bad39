//! Order, turns, and that nothing is lost.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::Wake;

use proptest::prelude::*;

use super::super::MemoryBudget;
use super::*;

/// A limit of which 100,000 bytes are not reserved for connections.
const LIMIT: usize = 133_333;

/// Sends its name when it is woken.
struct Named(String, Sender<String>);

impl Wake for Named {
    fn wake(self: Arc<Self>) {
        self.1.send(self.0.clone()).expect("the test receives");
    }
}

/// Those who wait, and who is woken.
struct Waiters {
    waits: HashMap<String, MemoryWait>,
    sender: Sender<String>,
    woken: Receiver<String>,
}

impl Waiters {
    fn new() -> Self {
        let (sender, woken) = channel();
        Self { waits: HashMap::new(), sender, woken }
    }

    /// Begins to wait. Returns the charge if there is one at once.
    fn wait(&mut self, account: &Arc<TenantMemory>, name: &str, bytes: usize) -> Option<MemoryCharge> {
        match account.charge_in_turn(MemoryKind::Receiving, bytes) {
            Ok(charge) => Some(charge),
            Err(wait) => {
                self.waits.insert(name.to_owned(), wait);
                self.ask(name)
            }
        }
    }

    /// Asks again. One that gets its charge waits no more.
    fn ask(&mut self, name: &str) -> Option<MemoryCharge> {
        let waker = Waker::from(Arc::new(Named(name.to_owned(), self.sender.clone())));
        let charge = self.waits.get(name)?.poll(&waker)?;
        self.waits.remove(name);
        Some(charge)
    }

    fn woken(&self) -> Vec<String> {
        self.woken.try_iter().collect()
    }
}

fn assert_nothing_is_left(budget: &MemoryBudget) {
    assert!(budget.waits.queue.lock().is_empty());
    assert_eq!((budget.waits.count.load(Ordering::SeqCst), budget.used(MemoryKind::Receiving)), (0, 0));
}

#[test]
fn what_is_given_back_goes_to_those_who_wait_in_order_and_tenants_in_turns() {
    let budget = MemoryBudget::new(LIMIT, 75);
    let (one, other) = (TenantMemory::new(&budget), TenantMemory::new(&budget));
    let all = one.charge(MemoryKind::Sending, 100_000);
    let mut waiters = Waiters::new();
    for (account, name, bytes) in [
        (&one, "too large for a tenant", 80_000),
        (&one, "first", 30_000),
        (&one, "second", 30_000),
        (&other, "others", 30_000),
        (&other, "gives up", 5_000),
    ] {
        assert!(waiters.wait(account, name, bytes).is_none(), "{name}");
    }
    assert!(waiters.woken().is_empty());
    drop(all);
    assert_eq!(waiters.woken(), ["first", "others", "gives up"]);
    // What the one that gives up has got passes to those who wait; for the second that is not enough.
    waiters.waits.remove("gives up");
    assert!(waiters.woken().is_empty());
    let first = waiters.ask("first").expect("it has got it");
    drop(waiters.ask("others").expect("it has got it"));
    assert_eq!(waiters.woken(), ["second"]);
    drop((first, waiters));
    assert_nothing_is_left(&budget);
}

// Those who came later took it, for as long as there were such: those who waited had to be polled first.
#[test]
fn one_that_comes_later_does_not_get_the_memory_of_those_who_wait() {
    let budget = MemoryBudget::new(LIMIT, 75);
    let account = TenantMemory::new(&budget);
    let mut all = account.charge(MemoryKind::Sending, 100_000);
    let mut waiters = Waiters::new();
    assert!(waiters.wait(&account, "waits", 50_000).is_none());
    all.resize(0);
    assert!(waiters.wait(&account, "comes later", 50_000).is_none(), "it is behind the other");
    assert!(waiters.wait(&account, "small enough", 20_000).is_some(), "there is enough for both");
    assert!(waiters.ask("comes later").is_none());
    assert!(waiters.ask("waits").is_some(), "it was polled last");
    assert!(waiters.ask("comes later").is_some());
    drop(waiters);
    assert_nothing_is_left(&budget);
}

#[test]
fn a_raised_budget_wakes_too() {
    let budget = MemoryBudget::new(0, 75);
    let mut waiters = Waiters::new();
    assert!(waiters.wait(&TenantMemory::new(&budget), "raised", 20_000).is_none());
    budget.set(LIMIT, 75);
    assert_eq!(waiters.woken(), ["raised"]);
}

#[test]
fn those_of_many_tenants_are_served_although_few_are_looked_at_at_once() {
    let budget = MemoryBudget::new(LIMIT, 75);
    // What tenants with little may have is used up too.
    let all = TenantMemory::new(&budget).charge(MemoryKind::Sending, 2 * LIMIT);
    let mut waiters = Waiters::new();
    for tenant in 0..200 {
        // Only the last ones get what they need.
        let bytes = if tenant < 190 { 90_000 } else { 1_000 };
        assert!(waiters.wait(&TenantMemory::new(&budget), &tenant.to_string(), bytes).is_none());
    }
    drop(all);
    let mut served = 0;
    while let Ok(name) = waiters.woken.try_recv() {
        served += usize::from(waiters.ask(&name).is_some());
    }
    assert_eq!(served, 10);
    drop(waiters);
    assert_nothing_is_left(&budget);
}

proptest! {
    /// However many come, are polled, and leave: when all that were woken have asked, none waits that may have it.
    #[test]
    fn none_waits_for_what_there_is(
        steps in proptest::collection::vec((0..4_u8, 0..24_usize, 1..40_usize), 1..200)
    ) {
        let budget = MemoryBudget::new(100, 75);
        let tenants: Vec<_> = (0..12).map(|_| TenantMemory::new(&budget)).collect();
        let (mut waiters, mut charges) = (Waiters::new(), Vec::new());
        for (number, (step, which, bytes)) in steps.into_iter().enumerate() {
            match step {
                0 | 1 => charges.extend(waiters.wait(&tenants[which % 12], &number.to_string(), bytes)),
                2 if !charges.is_empty() => drop(charges.swap_remove(which % charges.len())),
                _ => drop(waiters.waits.keys().next().cloned().and_then(|name| waiters.waits.remove(&name))),
            }
            while let Ok(name) = waiters.woken.try_recv() {
                charges.extend(waiters.ask(&name));
            }
            prop_assert!(budget.used(MemoryKind::Receiving) <= 100);
            prop_assert!(!budget.waits.queue.lock().is_anyone_kept_waiting());
        }
        drop((waiters, charges));
        assert_nothing_is_left(&budget);
    }
}
