//! The internal listener: the same listener as for clients, on another port, for other routes and for longer.
//!
//! The main listener closes when the clients are disconnected. This one is open until they have gone, so that operators and
//! the programs that watch the server see how far a stop is. So its tasks are not among those that a stop waits for.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use tracing::warn;

use crate::edge::ListenerKind;
use crate::edge::acceptor::Acceptor;
use crate::edge::listener::{self, Listener};
use crate::node::{LifecyclePhase, Node};
use crate::routes::RouteTable;
use crate::workers::Workers;

/// How long requests that have begun may take at the end.
const END_TIMEOUT: Duration = Duration::from_secs(1);

/// The internal listener while it serves.
pub(super) struct InternalPort {
    tasks: TaskTracker,
}

impl InternalPort {
    /// Opens the port, if the settings have one.
    ///
    /// # Errors
    /// When it cannot be bound.
    pub(super) fn bind(settings: &settings::Server) -> anyhow::Result<Option<Listener>> {
        let Some(address) = settings.internal_address() else { return Ok(None) };
        let bound = Listener::bind(ListenerKind::Internal, address, Acceptor::plain(), settings);
        bound.map(Some).with_context(|| format!("cannot listen on {address} (`server.internal.port`)"))
    }

    /// Serves `routes` on it, until the server leaves the other nodes.
    ///
    /// # Errors
    /// When the system does not know its address.
    pub(super) fn serve(
        listener: Listener,
        node: &Arc<Node>,
        workers: &Arc<Workers>,
        routes: &Arc<RouteTable>,
    ) -> anyhow::Result<Self> {
        let address = listener.address().context("the internal listener has no address")?;
        node.note_internal_address(address);
        let (tasks, leaving) = (TaskTracker::new(), node.lifecycle.token(LifecyclePhase::Leaving));
        let workers = (Arc::clone(workers), tasks.clone());
        tasks.spawn(listener::run(Arc::clone(node), listener, workers, Arc::clone(routes), leaving));
        Ok(Self { tasks })
    }

    /// Waits for the requests that have begun.
    pub(super) async fn ended(self) {
        self.tasks.close();
        if timeout(END_TIMEOUT, self.tasks.wait()).await.is_err() {
            warn!("Stopped without waiting for the last requests to the internal port");
        }
    }
}
