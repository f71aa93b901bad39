//! Makes idle sockets notice that their tenant's policy has changed, although their clients send nothing.
//!
//! A connection that is notified looks at the policy in its own task. One task notifies them, a few at a time, so that
//! ten thousand of them are not all scheduled before any other task. Tenants take turns, a page of sockets each.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::task::Wake;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::Tenant;

/// Tenants whose sockets are to be notified.
#[derive(Default)]
pub(super) struct PolicyNotifier {
    waiting: Mutex<Waiting>,
    added: Notify,
}

/// Rounds in the order of their turns: of each tenant at most one that has begun and one that has not.
#[derive(Default)]
struct Waiting {
    rounds: VecDeque<Round>,
    /// The addresses of tenants whose round has not begun. It keeps the tenant, so that no other gets the address.
    not_begun: HashSet<usize>,
}

/// Notifying all sockets of a tenant.
struct Round {
    tenant: Arc<Tenant>,
    /// Where the next page begins.
    next: usize,
}

impl PolicyNotifier {
    /// Makes every socket of `tenant` look at its policy again.
    pub(super) fn notify(&self, tenant: &Arc<Tenant>) {
        let mut waiting = self.waiting.lock();
        if waiting.not_begun.insert(Arc::as_ptr(tenant).addr()) {
            waiting.rounds.push_back(Round { tenant: Arc::clone(tenant), next: 0 });
        }
        drop(waiting);
        self.added.notify_one();
    }

    /// Notifies sockets until `stop`.
    pub(super) async fn run(&self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let Some(Round { tenant, next }) = self.next_round() else {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = self.added.notified() => continue,
                }
            };
            let (page, next) = tenant.sockets.page(next);
            page.into_iter().for_each(Wake::wake);
            if let Some(next) = next {
                self.waiting.lock().rounds.push_back(Round { tenant, next });
            }
            tokio::task::yield_now().await;
        }
    }

    fn next_round(&self) -> Option<Round> {
        let mut waiting = self.waiting.lock();
        let round = waiting.rounds.pop_front()?;
        if round.next == 0 {
            waiting.not_begun.remove(&Arc::as_ptr(&round.tenant).addr());
        }
        Some(round)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use hub::{Bounds, Burst, NextAction, Outbox};
    use tokio_util::task::TaskTracker;

    use super::*;
    use crate::auth::jwks::JwksSources;
    use crate::telemetry::metrics::Metrics;
    use crate::tenants::Registry;
    use crate::tenants::sockets::SocketRegistration;

    const SOCKETS: usize = 10_000;

    fn is_notified(outbox: &Outbox) -> bool {
        matches!(outbox.take(&mut Burst::default(), std::task::Waker::noop()), NextAction::Notified)
    }

    fn registry(ids: &[&str]) -> Registry {
        let jwks = JwksSources::new(TaskTracker::new(), CancellationToken::new());
        let mut settings = settings::Settings::default();
        settings.tenants.extend(ids.iter().map(|id| ((*id).to_owned(), settings::Tenant::default())));
        Registry::new(
            &settings,
            jwks,
            (&Arc::new(Metrics::new(Vec::new())), &hub::MemoryBudget::new(usize::MAX, 75)),
        )
    }

    /// Sockets of `tenant`, which are open until the registrations are dropped.
    fn sockets(tenant: &Tenant, count: usize) -> (Vec<Arc<Outbox>>, Vec<SocketRegistration>) {
        let outboxes: Vec<_> = (0..count)
            .map(|_| Arc::new(Outbox::new(Bounds { frames: 1, bytes: 1 }, hub::TenantMemory::unlimited())))
            .collect();
        let registered = outboxes.iter().map(|outbox| tenant.sockets.register(Arc::clone(outbox))).collect();
        (outboxes, registered)
    }

    // On one thread, where a task that does not yield holds up all others.
    #[tokio::test]
    async fn ten_thousand_sockets_are_notified_and_other_tasks_run_in_between() {
        let registry = registry(&[]);
        let tenant = registry.get("default").expect("it is configured");
        let (outboxes, registrations) = sockets(&tenant, SOCKETS);
        let (notifier, stop, turns) =
            (PolicyNotifier::default(), CancellationToken::new(), AtomicUsize::new(0));
        notifier.notify(&tenant);
        notifier.notify(&tenant);
        assert_eq!(notifier.waiting.lock().rounds.len(), 1, "one round for both");
        let others = async {
            while !is_notified(&outboxes[SOCKETS - 1]) {
                turns.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
            }
            stop.cancel();
        };
        tokio::join!(notifier.run(stop.clone()), others);
        assert!(
            outboxes[..SOCKETS - 1].iter().all(|outbox| is_notified(outbox)),
            "every socket was notified"
        );
        let turns = turns.into_inner();
        assert!(turns >= 100, "other tasks had {turns} turns");
        drop(registrations);
    }

    #[tokio::test]
    async fn a_tenant_does_not_wait_for_all_sockets_of_another() {
        let registry = registry(&["quiet"]);
        let configured = |id| registry.get(id).expect("it is configured");
        let (busy, quiet) = (configured("default"), configured("quiet"));
        let (others, _registrations) = sockets(&busy, SOCKETS);
        let (mine, _registration) = sockets(&quiet, 1);
        let (notifier, stop) = (PolicyNotifier::default(), CancellationToken::new());
        notifier.notify(&busy);
        notifier.notify(&quiet);
        let waiting = async {
            while !is_notified(&mine[0]) {
                tokio::task::yield_now().await;
            }
            stop.cancel();
        };
        tokio::join!(notifier.run(stop.clone()), waiting);
        let before = others.iter().filter(|outbox| is_notified(outbox)).count();
        assert!(before <= 256, "{before} of the others were notified before");
    }
}
