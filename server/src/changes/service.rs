//! The subscriptions of this node.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use hub::JoinConfirmation;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::session_queue::SessionQueue;
use super::subscriber::{ChangeSubscriber, ChangesRequest};
use super::tenant_changes::ChangesOfTenant;
use super::{feed, subscribing};
use crate::auth::Claims;
use crate::node::Node;
use crate::tenants::database::ChangeDemand;
use crate::tenants::{Databases, Tenant};

/// The most conditions of one binding, as upstream has it for the values of `in`.
const FILTERS_MAX: usize = 100;

/// The subscriptions of this node.
pub struct PostgresChanges {
    node: Arc<Node>,
    databases: Arc<Databases>,
    tasks: TaskTracker,
    stop: CancellationToken,
    tenants: Mutex<HashMap<Arc<str>, Weak<ChangesOfTenant>>>,
}

/// The subscriptions of a channel. They end when this is dropped.
pub struct ChangeSubscription {
    tenant: Arc<ChangesOfTenant>,
    subscriber: Arc<ChangeSubscriber>,
    /// Has the changes read.
    _demand: ChangeDemand,
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
    pub fn subscribe(&self, tenant: &Arc<Tenant>, request: ChangesRequest) -> Option<ChangeSubscription> {
        let tenant = self.tenant(tenant);
        let viewer = tenant.subscriptions.viewer(&request.claims);
        let (subscriber, confirmation, error) = ChangeSubscriber::new(request, viewer);
        let max = self.node.settings().changes.max_bindings_per_channel.get();
        let too_many = || {
            format!(
                "Too many subscriptions to changes: a channel has at most {max}, each with {FILTERS_MAX} filters"
            )
        };
        let refusal = error.map(|error| error.to_string());
        let most_filters =
            subscriber.bindings.iter().map(|identified| identified.binding.filters.len()).max();
        let has_too_many = subscriber.bindings.len() > max || most_filters > Some(FILTERS_MAX);
        if let Some(refusal) = refusal.or_else(|| has_too_many.then(too_many)) {
            let notice = async move {
                confirmation.await;
                subscriber.refuse(&refusal);
            };
            self.tasks.spawn(self.stop.clone().run_until_cancelled_owned(notice));
            return None;
        }
        let subscriber = Arc::new(subscriber);
        let demand = self.databases.follow_changes(&tenant.tenant, Arc::clone(&tenant) as _);
        let subscription = ChangeSubscription { tenant, subscriber, _demand: demand };
        subscription.attempt(Some(confirmation));
        Some(subscription)
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
        let (queue, sessions) = SessionQueue::new();
        let until = (self.tasks.clone(), self.stop.child_token());
        let changes = ChangesOfTenant::new((&self.node, &self.databases), tenant, queue, until);
        let changes = Arc::new(changes);
        changes.spawn(feed::handle(Arc::downgrade(&changes), sessions));
        tenants.insert(Arc::clone(&tenant.id), Arc::downgrade(&changes));
        changes
    }
}

impl ChangeSubscription {
    /// From now on rows are seen by the rights of `claims`, once that was checked.
    pub fn set_claims(&self, claims: &Claims) {
        self.subscriber.set_next_viewer(self.tenant.subscriptions.viewer(claims));
        // Also with the same claims: a client that refreshes its token is notified again.
        self.attempt(None);
    }

    /// Checks what the channel has subscribed to, and notifies it of the outcome, once its join is answered.
    fn attempt(&self, confirmation: Option<JoinConfirmation>) {
        let Self { tenant, subscriber, .. } = self;
        let attempts = subscribing::run(Arc::downgrade(tenant), Arc::clone(subscriber), confirmation);
        tenant.spawn_attempts(subscriber, attempts);
    }
}

impl Drop for ChangeSubscription {
    fn drop(&mut self) {
        self.tenant.remove(&self.subscriber);
    }
}

impl std::fmt::Debug for ChangeSubscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ChangeSubscription").field(&self.subscriber.topic).finish()
    }
}
