//! Makes parked sockets notice that their tenant's policy has changed, without their sending anything.
//!
//! A connection that is rung looks at the policy in its own task. One task does the ringing, a few
//! connections at a time, so that ten thousand of them are not all made to run before anybody else may.

use std::sync::Arc;
use std::task::Wake;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::Tenant;

/// Tenants whose sockets are to be rung, each at most once.
#[derive(Default)]
pub(super) struct Bell {
    waiting: Mutex<Vec<Arc<Tenant>>>,
    rung: Notify,
}

impl Bell {
    /// Every socket of `tenant` will look at its policy again.
    pub(super) fn ring(&self, tenant: &Arc<Tenant>) {
        let mut waiting = self.waiting.lock();
        if !waiting.iter().any(|other| Arc::ptr_eq(other, tenant)) {
            waiting.push(Arc::clone(tenant));
        }
        drop(waiting);
        self.rung.notify_one();
    }

    /// Rings until `stop`.
    pub(super) async fn run(&self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.rung.notified() => {}
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
