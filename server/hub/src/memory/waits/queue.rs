//! The queue of waits for memory, and which of them is served next.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::task::Waker;

use super::super::{MemoryCharge, MemoryKind, TenantMemory};

/// How many waits of one tenant are considered, the longest first. So a small one is served before a large one that must wait
/// for more memory. Considering all of them would hold the lock for too long.
const CONSIDERED_MAX: usize = 8;

/// How many tenants are examined each time that the lock is taken.
const TENANTS_AT_ONCE: usize = 8;

/// The wakers to be called after the lock is released.
pub(super) type Woken = Vec<Waker>;

#[derive(Debug, Default)]
pub(super) struct WaitQueue {
    next_position: u64,
    next_turn: u64,
    /// The tenants for whom someone waits, by the address of their account.
    tenants: HashMap<usize, TenantWaits>,
    /// The same tenants by their turns. The first is served next.
    turns: BTreeMap<u64, usize>,
    /// How many tenants, from the first in `turns`, have not been examined since memory was last given back.
    unexamined: usize,
    /// The charges of waits that have been served and not polled since, by position.
    granted: HashMap<u64, MemoryCharge>,
}

#[derive(Debug)]
struct TenantWaits {
    account: Arc<TenantMemory>,
    turn: u64,
    /// By position, so in order.
    waits: BTreeMap<u64, Waiting>,
}

#[derive(Debug)]
struct Waiting {
    kind: MemoryKind,
    bytes: usize,
    /// `None` before the first poll.
    waker: Option<Waker>,
}

fn address(account: &Arc<TenantMemory>) -> usize {
    Arc::as_ptr(account).addr()
}

impl WaitQueue {
    /// Adds a wait behind the others of its tenant. Returns its position.
    pub(super) fn add(&mut self, account: &Arc<TenantMemory>, kind: MemoryKind, bytes: usize) -> u64 {
        let position = self.next_position;
        self.next_position += 1;
        let tenant = self.tenants.entry(address(account)).or_insert_with(|| {
            let turn = self.next_turn;
            self.next_turn += 1;
            self.turns.insert(turn, address(account));
            TenantWaits { account: Arc::clone(account), turn, waits: BTreeMap::new() }
        });
        tenant.waits.insert(position, Waiting { kind, bytes, waker: None });
        position
    }

    /// The charge of the wait at `position`, if it has been served. Otherwise its waker is `waker` from now on.
    pub(super) fn poll(
        &mut self,
        account: &Arc<TenantMemory>,
        position: u64,
        waker: &Waker,
        woken: &mut Woken,
    ) -> Option<MemoryCharge> {
        let waiting = self.tenants.get_mut(&address(account)).and_then(|of| of.waits.get_mut(&position));
        let is_first = waiting.is_some_and(|waiting| waiting.waker.replace(waker.clone()).is_none());
        self.serve(woken);
        if is_first {
            // Memory may have been given back before this wait was added. The other tenants are examined for that anyway.
            self.serve_tenant(address(account), woken);
        }
        self.granted.remove(&position)
    }

    /// Removes the wait at `position`. Returns its charge if it was served and not polled since.
    pub(super) fn remove(
        &mut self,
        account: &Arc<TenantMemory>,
        position: u64,
        woken: &mut Woken,
    ) -> Option<MemoryCharge> {
        if let Some(tenant) = self.tenants.get_mut(&address(account)) {
            tenant.waits.remove(&position);
            self.remove_if_empty(address(account));
        }
        // It may have been woken to examine the next tenants. And of its own tenant one more wait is considered now.
        self.serve(woken);
        self.serve_tenant(address(account), woken);
        let granted = self.granted.remove(&position);
        self.granted.shrink_to(CONSIDERED_MAX);
        granted
    }

    /// Examines all tenants, because memory was given back.
    pub(super) fn serve_all(&mut self, woken: &mut Woken) {
        self.unexamined = self.turns.len();
        self.serve(woken);
    }

    /// Examines the next tenants that have not been examined since memory was last given back.
    fn serve(&mut self, woken: &mut Woken) {
        for _ in 0..TENANTS_AT_ONCE {
            let next = if self.unexamined > 0 { self.turns.pop_first() } else { None };
            let Some((_, tenant)) = next else { break };
            self.turns.insert(self.next_turn, tenant);
            self.tenants.get_mut(&tenant).expect("a tenant with a turn waits").turn = self.next_turn;
            self.next_turn += 1;
            self.unexamined -= 1;
            if self.grant(tenant, woken) {
                // There may be memory for another wait of this tenant: it is examined again, after all others.
                self.unexamined = self.turns.len();
            }
        }
        self.unexamined = self.unexamined.min(self.turns.len());
        if self.unexamined > 0 {
            self.wake_next(woken);
        }
    }

    /// Wakes the first wait of the next tenant, so that its poll continues with [`serve`](Self::serve). A wait without a
    /// waker has not been polled yet and will be.
    fn wake_next(&self, woken: &mut Woken) {
        let next = self.turns.first_key_value().and_then(|(_, tenant)| self.tenants.get(tenant));
        let first = next.and_then(|tenant| tenant.waits.first_key_value());
        woken.extend(first.and_then(|(_, waiting)| waiting.waker.clone()));
    }

    /// Serves the waits of one tenant for which there is memory.
    fn serve_tenant(&mut self, tenant: usize, woken: &mut Woken) {
        for _ in 0..CONSIDERED_MAX {
            if !self.grant(tenant, woken) {
                break;
            }
        }
    }

    /// Charges memory for the first considered wait of `tenant` that may have it. Returns whether there was one.
    fn grant(&mut self, tenant: usize, woken: &mut Woken) -> bool {
        let granted = self.tenants.get_mut(&tenant).and_then(TenantWaits::take_next);
        let Some((position, charge, waker)) = granted else { return false };
        self.granted.insert(position, charge);
        woken.extend(waker);
        self.remove_if_empty(tenant);
        true
    }

    fn remove_if_empty(&mut self, tenant: usize) {
        if let Some(TenantWaits { turn, .. }) = self.tenants.get(&tenant).filter(|it| it.waits.is_empty()) {
            self.turns.remove(turn);
            self.tenants.remove(&tenant);
        }
        if self.tenants.is_empty() {
            // Returns the memory that many tenants needed.
            self.tenants = HashMap::new();
        }
    }

    #[cfg(test)]
    pub(super) fn is_anyone_kept_waiting(&self) -> bool {
        let mut waits = self.tenants.values().flat_map(|tenant| {
            let considered = tenant.waits.values().take(CONSIDERED_MAX);
            considered.map(|waiting| tenant.account.has_room_for(waiting.bytes))
        });
        waits.any(|has_room| has_room)
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.tenants.is_empty() && self.turns.is_empty() && self.granted.is_empty()
    }
}

impl TenantWaits {
    /// Charges memory for the first considered wait that may have it, and removes that wait.
    fn take_next(&mut self) -> Option<(u64, MemoryCharge, Option<Waker>)> {
        if !self.account.has_room_for(1) {
            return None;
        }
        let fitting = self.waits.iter().take(CONSIDERED_MAX).find_map(|(position, waiting)| {
            Some((*position, self.account.charge_for_wait(waiting.kind, waiting.bytes)?))
        });
        let (position, charge) = fitting?;
        let waker = self.waits.remove(&position)?.waker;
        Some((position, charge, waker))
    }
}
