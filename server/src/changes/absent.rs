//! Stands for the subscriptions in a server that is built without the feature `postgres`.

use std::future::Ready;
use std::sync::Arc;
use std::time::Duration;

use hub::{Frame, JoinConfirmation};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::subscriber::{ChangeSubscriber, ChangesRequest, SubscribeError};
use super::viewer::Viewer;
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
        let (subscriber, confirmation, text) = refused(request);
        let notice = async move {
            confirmation.await;
            subscriber.refuse(&text);
        };
        self.tasks.spawn(self.stop.clone().run_until_cancelled_owned(notice));
        None
    }

    /// Refuses a channel.
    ///
    /// # Errors
    /// Always.
    pub fn subscribe_joining(
        &self,
        _tenant: &Arc<Tenant>,
        request: ChangesRequest,
        _wait: Duration,
    ) -> Result<(NoSubscription, Ready<Result<(), SubscribeError>>), SubscribeError> {
        Err(SubscribeError::Refused(refused(request).2))
    }
}

/// A channel that cannot subscribe to what it asks for, when its join was answered, and why.
fn refused(request: ChangesRequest) -> (ChangeSubscriber, JoinConfirmation, String) {
    let viewer = Arc::new(Viewer::of(&request.claims));
    let (subscriber, confirmation, error) = ChangeSubscriber::new(request, viewer);
    let text = error.map_or_else(|| subscriber.no_table_text(), |error| error.to_string());
    (subscriber, confirmation, text)
}

impl NoSubscription {
    /// Never called.
    pub fn subscribed_frame(&self) -> Frame {
        match *self {}
    }

    /// Never called.
    pub fn set_claims(&self, _claims: &Arc<Claims>) {
        match *self {}
    }
}
