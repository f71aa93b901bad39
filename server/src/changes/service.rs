//! The subscriptions of this node.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::subscriber::{ChangesRequest, Subscriber};
use super::tenant_changes::ChangesOfTenant;
use crate::auth::Claims;
use crate::node::Node;
use crate::tenants::{Databases, Tenant};

/// The subscriptions of this node.
pub struct PostgresChanges {
    pub(super) node: Arc<Node>,
    pub(super) databases: Arc<Databases>,
    pub(super) tasks: TaskTracker,
    pub(super) stop: CancellationToken,
    tenants: Mutex<HashMap<Arc<str>, Weak<ChangesOfTenant>>>,
}

/// The subscriptions of a channel. They end when this is dropped.
pub struct Subscription {
    tenant: Arc<ChangesOfTenant>,
    subscriber: Arc<Subscriber>,
}

impl PostgresChanges {
    /// No subscriptions yet. Their tasks are counted by `tasks` and end with `stop`.
    pub fn new(
        node: &Arc<Node>,
        databases: &Arc<Databases>,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> Arc<Self> {
        let (node, databases) = (Arc::clone(node), Arc::clone(databases));
        Arc::new(Self { node, databases, tasks, stop, tenants: Mutex::default() })
    }

    /// Subscribes a channel, which is notified when changes flow, or why they do not. `None` if what it asks for cannot be
    /// read, which it is notified of.
    pub fn subscribe(&self, tenant: &Arc<Tenant>, request: ChangesRequest) -> Option<Subscription> {
        let tenant = self.tenant(tenant);
        let viewer = tenant.subscriptions.viewer(&request.claims);
        let (subscriber, confirmation, error) = Subscriber::new(request, viewer);
        if let Some(error) = error {
            let notice = async move {
                confirmation.await;
                subscriber.refuse(&error.to_string());
            };
            self.tasks.spawn(self.stop.clone().run_until_cancelled_owned(notice));
            return None;
        }
        let subscriber = Arc::new(subscriber);
        tenant.spawn_subscribing(&subscriber, Some(confirmation));
        Some(Subscription { tenant, subscriber })
    }

    /// What a tenant has subscribed to, with a task that handles its changes.
    fn tenant(&self, tenant: &Arc<Tenant>) -> Arc<ChangesOfTenant> {
        let mut tenants = self.tenants.lock();
        if let Some(changes) = tenants.get(&tenant.id).and_then(Weak::upgrade)
            && Arc::ptr_eq(&changes.tenant, tenant)
        {
            return changes;
        }
        tenants.retain(|_, changes| changes.strong_count() > 0);
        let changes = ChangesOfTenant::start(self, tenant);
        tenants.insert(Arc::clone(&tenant.id), Arc::downgrade(&changes));
        changes
    }
}

impl Subscription {
    /// From now on rows are seen by the rights of `claims`, once that was checked.
    pub fn set_claims(&self, claims: &Claims) {
        *self.subscriber.viewer.write() = self.tenant.subscriptions.viewer(claims);
        // Also with the same claims: a client that refreshes its token is notified again.
        self.tenant.spawn_subscribing(&self.subscriber, None);
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.tenant.remove(&self.subscriber);
    }
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Subscription").field(&self.subscriber.topic).finish()
    }
}
