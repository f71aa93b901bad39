//! Makes idle sockets notice that their tenant's policy has changed, although their clients send nothing.
//!
//! A connection that is notified looks at the policy in its own task. One task notifies them, a few at a time, so that
//! ten thousand of them are not all scheduled before any other task.

use std::sync::Arc;
use std::task::Wake;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::Tenant;

/// Tenants whose sockets are to be notified, each at most once.
#[derive(Default)]
pub(super) struct PolicyNotifier {
    waiting: Mutex<Vec<Arc<Tenant>>>,
    added: Notify,
}

impl PolicyNotifier {
    /// Makes every socket of `tenant` look at its policy again.
    pub(super) fn notify(&self, tenant: &Arc<Tenant>) {
        let mut waiting = self.waiting.lock();
        if !waiting.iter().any(|other| Arc::ptr_eq(other, tenant)) {
            waiting.push(Arc::clone(tenant));
        }
        drop(waiting);
        self.added.notify_one();
    }

    /// Notifies sockets until `stop`.
    pub(super) async fn run(&self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.added.notified() => {}
            }
            let waiting = std::mem::take(&mut *self.waiting.lock());
            for tenant in waiting {
                for page in tenant.sockets.pages() {
                    page.into_iter().for_each(Wake::wake);
                    tokio::task::yield_now().await;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use hub::{Bounds, Burst, Outbox, Turn};
    use tokio_util::task::TaskTracker;

    use super::*;
    use crate::auth::jwks::JwksSources;
    use crate::telemetry::metrics::Metrics;
    use crate::tenants::Registry;

    const SOCKETS: usize = 10_000;

    fn is_notified(outbox: &Outbox) -> bool {
        matches!(outbox.take(&mut Burst::default(), std::task::Waker::noop()), Turn::Notified)
    }

    // On one thread, where a task that does not yield holds up all others.
    #[tokio::test]
    async fn ten_thousand_sockets_are_notified_and_other_tasks_run_in_between() {
        let jwks = JwksSources::new(TaskTracker::new(), CancellationToken::new());
        let registry = Registry::new(
            &settings::Settings::default(),
            jwks,
            (&Arc::new(Metrics::new(Vec::new())), &hub::MemoryBudget::new(usize::MAX, 75)),
        );
        let tenant = Arc::clone(registry.default_tenant());
        let outboxes: Vec<_> = (0..SOCKETS)
            .map(|_| Arc::new(Outbox::new(Bounds { frames: 1, bytes: 1 }, hub::TenantMemory::unlimited())))
            .collect();
        let registrations: Vec<_> =
            outboxes.iter().map(|outbox| tenant.sockets.register(Arc::clone(outbox))).collect();
        let (notifier, stop, turns) =
            (PolicyNotifier::default(), CancellationToken::new(), AtomicUsize::new(0));
        notifier.notify(&tenant);
        notifier.notify(&tenant);
        assert_eq!(notifier.waiting.lock().len(), 1, "one round for both");
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
}
