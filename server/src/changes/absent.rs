//! Stands for the subscriptions in a server that is built without the feature `postgres`.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::subscriber::{ChangesRequest, Subscriber, Viewer};
use crate::auth::Claims;
use crate::node::Node;
use crate::tenants::{Databases, Tenant};

/// No subscriptions.
pub struct PostgresChanges {
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// None of these exists.
#[derive(Debug)]
pub enum Subscription {}

impl PostgresChanges {
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
    pub fn subscribe(&self, _tenant: &Arc<Tenant>, request: ChangesRequest) -> Option<Subscription> {
        let viewer = Arc::new(Viewer::of(&request.claims));
        let (subscriber, confirmation, error) = Subscriber::new(request, viewer);
        let text = error.map_or_else(|| subscriber.no_table_text(), |error| error.to_string());
        let notice = async move {
            confirmation.await;
            subscriber.refuse(&text);
        };
        self.tasks.spawn(self.stop.clone().run_until_cancelled_owned(notice));
        None
    }
}

impl Subscription {
    /// Never called.
    pub fn set_claims(&self, _claims: &Claims) {
        match *self {}
    }
}
