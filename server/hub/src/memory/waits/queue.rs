//! The queue of those who wait for memory, and who is served next.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::task::Waker;

use super::super::{MemoryCharge, MemoryKind, TenantMemory};

/// Of a tenant's, so many of the longest waiting are considered. One that needs more than there is lets those pass that are
/// not far behind it; that all are looked at would take long under the lock.
const CONSIDERED_MAX: usize = 8;

/// So many tenants are looked at under the lock.
const TENANTS_AT_ONCE: usize = 8;

/// The tasks to be woken without the lock.
pub(super) type Woken = Vec<Waker>;

#[derive(Debug, Default)]
pub(super) struct WaitQueue {
    next_position: u64,
    next_turn: u64,
    /// The tenants for whom someone waits, by the address of their account.
    tenants: HashMap<usize, TenantWaits>,
    /// The same tenants. The next to be served is the first.
    turns: BTreeMap<u64, usize>,
    /// So many of the tenants may have what they wait for. The others were looked at since memory was given back.
    unexamined: usize,
    /// What those have got who have not asked since.
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
    /// Adds one who waits, behind the others of its tenant. Returns its position.
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

    /// What the one at `position` has got, if it has. Otherwise `waker` is kept.
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
            // The others of the queue have been looked at, or will be.
            self.serve_tenant(address(account), woken);
        }
        self.granted.remove(&position)
    }

    /// The one at `position` leaves. Returns what it has got and not asked for.
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
        // It may have been woken to go on, and those behind it are considered now.
        self.serve(woken);
        self.serve_tenant(address(account), woken);
        let granted = self.granted.remove(&position);
        self.granted.shrink_to(CONSIDERED_MAX);
        granted
    }

    /// Memory was given back.
    pub(super) fn serve_all(&mut self, woken: &mut Woken) {
        self.unexamined = self.turns.len();
        self.serve(woken);
    }

    /// Looks at tenants in turns that were not looked at since memory was given back.
    fn serve(&mut self, woken: &mut Woken) {
        for _ in 0..TENANTS_AT_ONCE {
            let next = if self.unexamined > 0 { self.turns.pop_first() } else { None };
            let Some((_, tenant)) = next else { break };
            self.turns.insert(self.next_turn, tenant);
            self.tenants.get_mut(&tenant).expect("a tenant with a turn waits").turn = self.next_turn;
            self.next_turn += 1;
            self.unexamined -= 1;
            if self.grant(tenant, woken) {
                // It may have more than one, so the others come first, and it comes again.
                self.unexamined = self.turns.len();
            }
        }
        self.unexamined = self.unexamined.min(self.turns.len());
        if self.unexamined > 0 {
            self.wake_next(woken);
        }
    }

    /// Wakes one of the next tenant, whose poll goes on. One that was never polled will be in any case.
    fn wake_next(&self, woken: &mut Woken) {
        let next = self.turns.first_key_value().and_then(|(_, tenant)| self.tenants.get(tenant));
        let first = next.and_then(|tenant| tenant.waits.first_key_value());
        woken.extend(first.and_then(|(_, waiting)| waiting.waker.clone()));
    }

    /// Looks at one tenant.
    fn serve_tenant(&mut self, tenant: usize, woken: &mut Woken) {
        for _ in 0..CONSIDERED_MAX {
            if !self.grant(tenant, woken) {
                break;
            }
        }
    }

    /// Charges for the next one of `tenant` who may have what it waits for. Returns whether there is one.
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
    /// Charges for the first one who may have what it waits for, which waits no more.
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
