//! The subscriptions of this node.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use hub::{Frame, JoinConfirmation};
use parking_lot::Mutex;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::session_queue::SessionQueue;
use super::subscriber::{ChangeSubscriber, ChangesRequest, SubscribeError};
use super::tenant_changes::ChangesOfTenant;
use super::{feed, subscribing};
use crate::auth::Claims;
use crate::node::Node;
use crate::tenants::database::ChangeDemand;
use crate::tenants::{Databases, Tenant};
use crate::workers::in_time_slices;

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

/// A channel that cannot subscribe to what it asks for, and why.
struct Refused {
    subscriber: ChangeSubscriber,
    reason: String,
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
        let (subscription, confirmation) = self.read(tenant, request);
        match subscription {
            Ok(subscription) => {
                subscription.attempt(Some(confirmation));
                Some(subscription)
            }
            Err(Refused { subscriber, reason }) => {
                let notice = async move {
                    confirmation.await;
                    subscriber.refuse(&reason);
                };
                self.tasks.spawn(self.stop.clone().run_until_cancelled_owned(notice));
                None
            }
        }
    }

    /// Subscribes a channel whose join waits for that, `wait` at most. Returns what ends when changes flow; with the reason if
    /// they do not.
    ///
    /// # Errors
    /// If what it asks for cannot be read.
    pub fn subscribe_joining(
        &self,
        tenant: &Arc<Tenant>,
        request: ChangesRequest,
        wait: Duration,
    ) -> Result<
        (ChangeSubscription, impl Future<Output = Result<(), SubscribeError>> + Send + use<>),
        SubscribeError,
    > {
        let (subscription, confirmation) = self.read(tenant, request);
        let subscription = subscription.map_err(|refused| SubscribeError::Refused(refused.reason))?;
        let (changes, subscriber) =
            (Arc::downgrade(&subscription.tenant), Arc::clone(&subscription.subscriber));
        let payer = Arc::clone(&subscription.tenant.payer);
        // The time counts from the join, and not from when this is polled first: other tasks of the connection may come before.
        let deadline = Instant::now() + wait;
        let flowing = async move {
            let mut reason = None;
            let note = |text| reason = Some(text);
            let attempts = subscribing::run_joining(changes, subscriber, confirmation, note);
            let attempts = in_time_slices(payer, attempts);
            match timeout_at(deadline, attempts).await {
                Ok(outcome) => outcome.map_err(SubscribeError::Refused),
                Err(_elapsed) => Err(SubscribeError::TimedOut { after: wait, reason }),
            }
        };
        Ok((subscription, flowing))
    }

    /// Reads what a channel asks for.
    fn read(
        &self,
        tenant: &Arc<Tenant>,
        request: ChangesRequest,
    ) -> (Result<ChangeSubscription, Refused>, JoinConfirmation) {
        let tenant = self.tenant(tenant);
        let viewer = tenant.subscriptions.viewer(&request.claims);
        let (subscriber, confirmation, error) = ChangeSubscriber::new(request, viewer);
        let refusal = error.map(|error| error.to_string()).or_else(|| self.too_many(&subscriber));
        let subscription = match refusal {
            Some(reason) => Err(Refused { subscriber, reason }),
            None => {
                let demand = self.databases.follow_changes(&tenant.tenant, Arc::clone(&tenant) as _);
                Ok(ChangeSubscription { tenant, subscriber: Arc::new(subscriber), _demand: demand })
            }
        };
        (subscription, confirmation)
    }

    /// Why a channel asks for too much, if it does.
    fn too_many(&self, subscriber: &ChangeSubscriber) -> Option<String> {
        let settings = self.node.settings();
        let (bindings, filters) =
            (settings.changes.max_bindings_per_channel.get(), settings.changes.max_filters_per_binding.get());
        let most_filters =
            subscriber.bindings.iter().map(|identified| identified.binding.filters.len()).max();
        let has_too_many = subscriber.bindings.len() > bindings || most_filters > Some(filters);
        has_too_many.then(|| {
            format!(
                "Too many subscriptions to changes: a channel has at most {bindings}, each with {filters} filters"
            )
        })
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
        changes.spawn(Arc::clone(&changes.notices).run());
        tenants.insert(Arc::clone(&tenant.id), Arc::downgrade(&changes));
        changes
    }
}

impl ChangeSubscription {
    /// From now on rows are seen by the rights of `claims`, once that was checked.
    pub fn set_claims(&self, claims: &Arc<Claims>) {
        self.subscriber.progress.set_next_viewer(self.tenant.subscriptions.viewer(claims));
        // Also with the same claims: a client that refreshes its token is notified again.
        self.attempt(None);
    }

    /// What the client receives once changes flow.
    pub fn subscribed_frame(&self) -> Frame {
        self.subscriber.subscribed_frame()
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
