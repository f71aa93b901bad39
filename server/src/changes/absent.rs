//! Stands for the subscriptions in a server that is built without the feature `postgres`.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::subscriber::{ChangeSubscriber, ChangesRequest, Viewer};
use crate::auth::Claims;
use crate::node::Node;
use crate::tenants::{Databases, Tenant};

/// No subscriptions.
pub struct NoChanges {
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// None of these exists.
#[derive(Debug)]
pub enum NoSubscription {}

impl NoChanges {
    /// None. What refuses them is counted by `tasks` and ends with `stop`.
    pub fn new(
        _node: &Arc<Node>,
        _databases: &Arc<Databases>,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> Arc<Self> {
        Arc::new(Self { tasks, stop })
    }

    /// Refuses a channel, which is notified.
    pub fn subscribe(&self, _tenant: &Arc<Tenant>, request: ChangesRequest) -> Option<NoSubscription> {
        let viewer = Arc::new(Viewer::of(&request.claims));
        let (subscriber, confirmation, error) = ChangeSubscriber::new(request, viewer);
        let text = error.map_or_else(|| subscriber.no_table_text(), |error| error.to_string());
        let notice = async move {
            confirmation.await;
            subscriber.refuse(&text);
        };
        self.tasks.spawn(self.stop.clone().run_until_cancelled_owned(notice));
        None
    }
}

impl NoSubscription {
    /// Never called.
    pub fn set_claims(&self, _claims: &Claims) {
        match *self {}
    }
}
