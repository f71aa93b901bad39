//! How much memory the node may use for what clients cause, and which part of it each tenant uses.
//!
//! Every tenant has an account with the node's budget. Memory is charged to the account before it is used and given back
//! when the charge is dropped. How much one tenant may have depends on how much is free ([`share`]): with 75 % a single
//! tenant gets three quarters of what is free, two get three sevenths each, and the next tenant always finds something
//! free. No lock is needed.
//!
//! A part of the budget is reserved for connections, so that clients can connect whatever others have used up. As much of it
//! as connections do not use counts as used for everything else, so all of it together stays within the limit.
//!
//! A tenant with little, at most a 64th of the budget, gets it also when others have used up the rest: what a new client needs.
//! For that there is an eighth of the budget beyond the limit, as much as eight such tenants may have.
//!
//! What is received waits for memory, in turns (`memory/waits.rs`); everything else is refused instead.
//!
//! Charging is for what is large or stays: a charge is two atomic additions, which is too much for each delivery. So what a
//! connection has of up to [`UNCHARGED_BYTES`] in each direction is not charged while it is handled or written at once. It is
//! charged when it stays: a part of a message until the next read, frames while the socket accepts none. Without memory for
//! that the connection ends.

mod kind;
mod waits;

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};

pub use self::kind::MemoryKind;
pub use self::waits::MemoryWait;

use self::kind::MemoryUse;
use self::waits::Waits;
use crate::party::Party;
use crate::shares::share;

/// Bytes that a connection may have received, and as many that it may have queued, without a charge while they do not stay.
pub const UNCHARGED_BYTES: usize = 16 * 1024;

/// The divisor of the part of the budget that is reserved for connections.
const CONNECTIONS_DIVISOR: usize = 4;

/// The divisor of the part of the budget that is little for a tenant.
const LITTLE_DIVISOR: usize = 64;

/// The divisor of what tenants with little may have beyond the limit.
const BEYOND_DIVISOR: usize = 8;

/// The budget of a node.
#[derive(Debug)]
pub struct MemoryBudget {
    limit: AtomicUsize,
    /// Percent of the budget that a tenant may use while no other uses any.
    tenant_percent: AtomicU8,
    used: MemoryUse,
    refused: [AtomicU64; MemoryKind::COUNT],
    waits: Waits,
}

impl MemoryBudget {
    /// A budget of `limit` bytes, of which a single tenant gets at most `tenant_percent`.
    pub fn new(limit: usize, tenant_percent: u8) -> Arc<Self> {
        let budget = Self {
            limit: AtomicUsize::default(),
            tenant_percent: AtomicU8::default(),
            used: MemoryUse::default(),
            refused: Default::default(),
            waits: Waits::default(),
        };
        budget.set(limit, tenant_percent);
        Arc::new(budget)
    }

    /// Changes the limits. What is charged already stays charged.
    ///
    /// # Panics
    /// If `tenant_percent` is not below 100: then one tenant could use everything.
    pub fn set(&self, limit: usize, tenant_percent: u8) {
        assert!(tenant_percent < 100, "a tenant leaves something to the others");
        self.limit.store(limit, Ordering::Relaxed);
        self.tenant_percent.store(tenant_percent, Ordering::Relaxed);
        self.waits.serve();
    }

    /// The bytes that may be charged.
    pub fn limit(&self) -> usize {
        self.limit.load(Ordering::Relaxed)
    }

    /// The bytes that are charged for `kind`.
    pub fn used(&self, kind: MemoryKind) -> usize {
        self.used.of(kind)
    }

    /// How often memory for `kind` was refused for good.
    pub fn refused(&self, kind: MemoryKind) -> u64 {
        self.refused[kind as usize].load(Ordering::Relaxed)
    }

    /// The bytes that all connections together may have, whatever else is charged.
    fn reserve(&self) -> usize {
        self.limit() / CONNECTIONS_DIVISOR
    }

    /// Whether a tenant may have `bytes` in all, `more` of which are not charged yet.
    fn allows(&self, more: usize, bytes: usize) -> bool {
        let limit = self.limit();
        let used = self.used.total_with_reserve(self.reserve()).saturating_add(more);
        bytes <= share(limit.saturating_sub(used), self.tenant_percent.load(Ordering::Relaxed))
            || (bytes <= limit / LITTLE_DIVISOR && used <= limit.saturating_add(limit / BEYOND_DIVISOR))
    }
}

/// The account of one tenant.
#[derive(Debug)]
pub struct TenantMemory {
    budget: Arc<MemoryBudget>,
    used: MemoryUse,
    party: Party,
}

impl TenantMemory {
    /// An account of which nothing is used.
    pub fn new(budget: &Arc<MemoryBudget>) -> Arc<Self> {
        let party = Party::new_tenant();
        Arc::new(Self { budget: Arc::clone(budget), used: MemoryUse::default(), party })
    }

    /// An account with a budget of its own, without a limit: for tests and examples.
    pub fn unlimited() -> Arc<Self> {
        Self::new(&MemoryBudget::new(usize::MAX, 99))
    }

    /// The tenant, as one whose tasks share the time of a worker with others.
    pub fn party(&self) -> Party {
        self.party
    }

    /// The budget that all accounts of the node share.
    pub fn budget(&self) -> &Arc<MemoryBudget> {
        &self.budget
    }

    /// The bytes that are charged for `kind`.
    pub fn used(&self, kind: MemoryKind) -> usize {
        self.used.of(kind)
    }

    /// The bytes that are charged.
    pub fn total(&self) -> usize {
        self.used.total()
    }

    /// Whether `bytes` more could be charged. Nothing is written.
    pub fn has_room_for(&self, bytes: usize) -> bool {
        self.budget.allows(bytes, self.total().saturating_add(bytes))
    }

    /// Whether there may be one more connection, of `bytes`: of those reserved for connections, or as of all else.
    pub fn has_room_for_connection(&self, bytes: usize) -> bool {
        let connections = self.budget.used(MemoryKind::Connections).saturating_add(bytes);
        connections <= self.budget.reserve() || self.has_room_for(bytes)
    }

    /// Charges `bytes` if the tenant may have them.
    pub fn try_charge(self: &Arc<Self>, kind: MemoryKind, bytes: usize) -> Option<MemoryCharge> {
        self.try_add(kind, bytes).then(|| MemoryCharge { account: Arc::clone(self), kind, bytes })
    }

    /// Charges `bytes` although the tenant may be over its limit then: for what has a limit of its own.
    pub fn charge(self: &Arc<Self>, kind: MemoryKind, bytes: usize) -> MemoryCharge {
        self.add(kind, bytes);
        MemoryCharge { account: Arc::clone(self), kind, bytes }
    }

    /// Counts that memory for `kind` was refused for good, so that something was dropped or refused to a client.
    pub fn count_refusal(&self, kind: MemoryKind) {
        self.budget.refused[kind as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Like [`try_charge`](Self::try_charge), for a wait that is being served. It serves no other waits, because its caller
    /// has the lock of their queue.
    fn charge_for_wait(self: &Arc<Self>, kind: MemoryKind, bytes: usize) -> Option<MemoryCharge> {
        self.add_if_allowed(kind, bytes, Self::take_back).then(|| MemoryCharge {
            account: Arc::clone(self),
            kind,
            bytes,
        })
    }

    fn try_add(&self, kind: MemoryKind, bytes: usize) -> bool {
        // A wait may have been passed over while the bytes were added.
        self.add_if_allowed(kind, bytes, Self::subtract)
    }

    /// Adds `bytes` before comparing with the limit, so that of two threads not both get the last bytes. Before that it asks
    /// without a write, because added bytes count against other charges, which would be refused for bytes that are then
    /// taken back. If two threads both add, both ask again, and the one whose bytes are taken back last gets them.
    fn add_if_allowed(
        &self,
        kind: MemoryKind,
        bytes: usize,
        take_back: fn(&Self, MemoryKind, usize),
    ) -> bool {
        while self.has_room_for(bytes) {
            self.add(kind, bytes);
            if self.budget.allows(0, self.total()) {
                return true;
            }
            take_back(self, kind, bytes);
        }
        false
    }

    pub(crate) fn add(&self, kind: MemoryKind, bytes: usize) {
        self.used.add(kind, bytes);
        self.budget.used.add(kind, bytes);
    }

    pub(crate) fn subtract(&self, kind: MemoryKind, bytes: usize) {
        self.take_back(kind, bytes);
        self.budget.waits.serve();
    }

    fn take_back(&self, kind: MemoryKind, bytes: usize) {
        self.used.subtract(kind, bytes);
        self.budget.used.subtract(kind, bytes);
    }
}

/// Bytes that are charged to an account, and given back on drop.
#[derive(Debug)]
pub struct MemoryCharge {
    account: Arc<TenantMemory>,
    kind: MemoryKind,
    bytes: usize,
}

impl MemoryCharge {
    /// The bytes of this charge.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Charges `more` bytes as well, if the tenant may have them. Returns whether it may.
    #[must_use]
    pub fn try_grow(&mut self, more: usize) -> bool {
        let is_allowed = self.account.try_add(self.kind, more);
        if is_allowed {
            self.bytes += more;
        }
        is_allowed
    }

    /// Makes it a charge of `bytes`, if the tenant may have them. Returns whether it may.
    #[must_use]
    pub fn try_resize(&mut self, bytes: usize) -> bool {
        if bytes > self.bytes {
            return self.try_grow(bytes - self.bytes);
        }
        self.resize(bytes);
        true
    }

    /// Makes it a charge of `bytes`, whether or not the tenant may have them.
    pub fn resize(&mut self, bytes: usize) {
        let before = std::mem::replace(&mut self.bytes, bytes);
        // The difference alone: with both charged for a moment, another charge could be refused for good.
        if bytes >= before {
            self.account.add(self.kind, bytes - before);
        } else {
            self.account.subtract(self.kind, before - bytes);
        }
    }
}

impl Drop for MemoryCharge {
    fn drop(&mut self) {
        self.account.subtract(self.kind, self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::{hint, thread};

    use super::*;

    /// Charges as often as possible in steps of one percent. Returns the charges.
    fn take_all(account: &Arc<TenantMemory>) -> Vec<MemoryCharge> {
        let step = account.budget().limit() / 100;
        std::iter::from_fn(|| account.try_charge(MemoryKind::Receiving, step)).collect()
    }

    #[test]
    fn a_tenant_gets_its_share_and_the_next_one_always_finds_something() {
        let budget = MemoryBudget::new(100_000, 75);
        let (one, other) = (TenantMemory::new(&budget), TenantMemory::new(&budget));
        let mut of_one = take_all(&one);
        assert_eq!(one.total(), 56_000, "three quarters of what is not reserved for connections");
        assert_eq!(take_all(&other).len(), 14, "three quarters of what is left");
        drop(of_one.split_off(30));
        let of_other = take_all(&other);
        assert!(other.total() >= 33_000, "what one tenant gives back is there for the other");
        drop((of_one, of_other));
        assert_eq!((one.total(), other.total(), budget.used(MemoryKind::Receiving)), (0, 0, 0));
    }

    #[test]
    fn nothing_is_left_to_a_tenant_when_the_limit_was_lowered_below_its_use() {
        let budget = MemoryBudget::new(100_000, 75);
        let account = TenantMemory::new(&budget);
        let mut charge = account.try_charge(MemoryKind::Held, 50_000).expect("it is below the share");
        budget.set(40_000, 75);
        assert!(!account.has_room_for(1));
        assert!(!charge.try_grow(1));
        charge.resize(10_000);
        assert!(account.has_room_for(1));
        assert!(charge.try_grow(1));
        assert_eq!((charge.bytes(), account.used(MemoryKind::Held)), (10_001, 10_001));
    }

    #[test]
    fn what_has_a_limit_of_its_own_is_charged_beyond_the_budget() {
        let budget = MemoryBudget::new(1_000, 50);
        let account = TenantMemory::new(&budget);
        let connections = account.charge(MemoryKind::Connections, 5_000);
        assert!(account.try_charge(MemoryKind::Receiving, 1).is_none());
        account.count_refusal(MemoryKind::Receiving);
        drop(connections);
        assert!(account.try_charge(MemoryKind::Receiving, 1).is_some());
        assert_eq!(budget.refused(MemoryKind::Receiving), 1);
    }

    #[test]
    fn connections_have_a_part_of_the_budget_although_the_rest_is_used_up() {
        let budget = MemoryBudget::new(100_000, 75);
        let accounts: Vec<_> = (0..20).map(|_| TenantMemory::new(&budget)).collect();
        let mut charges: Vec<_> = accounts.iter().flat_map(take_all).collect();
        let newcomer = TenantMemory::new(&budget);
        while newcomer.has_room_for_connection(1_000) {
            charges.push(newcomer.charge(MemoryKind::Connections, 1_000));
        }
        assert_eq!(newcomer.total(), 25_000);
        let total: usize = charges.iter().map(MemoryCharge::bytes).sum();
        assert!((97_000..=112_500).contains(&total), "{total}");
        assert!(accounts.iter().all(|account| !account.has_room_for(1_000)));
        assert!(charges.pop().is_some());
        assert!(newcomer.has_room_for_connection(1_000));
    }

    // The charges that have a limit of their own can take what the shares leave free.
    #[test]
    fn a_tenant_with_little_gets_it_although_others_have_used_up_the_limit() {
        let budget = MemoryBudget::new(640_000, 75);
        let other = TenantMemory::new(&budget);
        let _all = other.charge(MemoryKind::Sending, 480_000);
        assert!(!other.has_room_for(1));
        let charge = |account: &Arc<TenantMemory>, bytes| account.try_charge(MemoryKind::Sessions, bytes);
        let little: Vec<_> = (0..8)
            .map(|_| {
                let account = TenantMemory::new(&budget);
                let little = charge(&account, 10_000).expect("a 64th");
                assert!(charge(&account, 1).is_none(), "and no more");
                little
            })
            .collect();
        let late = TenantMemory::new(&budget);
        assert!(charge(&late, 1).is_none(), "an eighth is used beyond the limit");
        drop(little);
        assert!(charge(&late, 1).is_some());
    }

    #[test]
    fn of_two_threads_one_gets_the_last_bytes() {
        const ROUNDS: usize = 2_000;
        let budget = MemoryBudget::new(1_000_000, 50);
        let account = TenantMemory::new(&budget);
        let (arrived, charged) = (AtomicUsize::new(0), AtomicUsize::new(0));
        // A barrier that spins: woken threads would be too far apart to meet.
        let meet = |count: usize| {
            arrived.fetch_add(1, Ordering::SeqCst);
            let mut spins = 0;
            while arrived.load(Ordering::SeqCst) < count {
                spins += 1;
                if spins % 10_000 == 0 { thread::yield_now() } else { hint::spin_loop() }
            }
        };
        let rounds = || {
            for round in 0..ROUNDS {
                meet(4 * round + 2);
                let charge = account.try_charge(MemoryKind::Sending, 300_000);
                charged.fetch_add(usize::from(charge.is_some()), Ordering::SeqCst);
                meet(4 * round + 4);
            }
        };
        thread::scope(|scope| (0..2).for_each(|_| drop(scope.spawn(rounds))));
        assert_eq!(charged.into_inner(), ROUNDS, "charges, of which each round has one");
        assert_eq!(account.total(), 0);
    }

    #[test]
    fn a_large_charge_that_is_refused_makes_no_other_fail() {
        let budget = MemoryBudget::new(1_000_000, 50);
        let (large, small) = (TenantMemory::new(&budget), TenantMemory::new(&budget));
        let is_over = AtomicBool::new(false);
        let ask = || {
            while !is_over.load(Ordering::Relaxed) {
                assert!(large.try_charge(MemoryKind::Receiving, 2_000_000).is_none());
            }
        };
        let refused = thread::scope(|scope| {
            let asking = scope.spawn(ask);
            let charge = |_: &usize| small.try_charge(MemoryKind::Sending, 300_000).is_none();
            let refused = (0..200_000).filter(charge).count();
            is_over.store(true, Ordering::Relaxed);
            asking.join().expect("it is refused each time");
            refused
        });
        assert_eq!(refused, 0, "there was always room for these");
    }
}
