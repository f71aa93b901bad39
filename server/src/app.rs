//! The whole server: its parts put together, started and stopped.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use hub::Goodbye;
use settings::Settings;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::info;

use crate::edge::listener;
use crate::node::Node;
use crate::presence::announcer;

/// How often the numbers are tidied up: histograms keep single samples until then.
const METRICS_UPKEEP: Duration = Duration::from_secs(5);

/// A running server.
pub struct Server {
    node: Arc<Node>,
    address: SocketAddr,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Server {
    /// Starts serving. When this returns, clients can connect.
    ///
    /// # Errors
    /// Without a secret, or when the port cannot be had.
    #[expect(
        clippy::unused_async,
        reason = "starting spawns tasks, so it needs the runtime an async caller has"
    )]
    pub async fn start(settings: Settings) -> anyhow::Result<Self> {
        let node = Node::new(settings)?;
        let server = &node.settings().server;
        let listener = listener::bind(server)
            .with_context(|| format!("cannot listen on {}", SocketAddr::new(server.host, server.port)))?;
        let address = listener.local_addr().context("the listener has no address")?;
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        tasks.spawn(announcer::run(Arc::clone(&node), stop.clone()));
        tasks.spawn(keep_metrics(Arc::clone(&node), stop.clone()));
        tasks.spawn(listener::run(Arc::clone(&node), listener, tasks.clone(), stop.clone()));
        info!(%address, "Listening");
        Ok(Self { node, address, tasks, stop })
    }

    /// Where it listens; tells the port if the settings left it open.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes nobody in any more, tells every client to come back later (1012), and waits until they have
    /// gone or `server.shutdown_timeout` is over.
    pub async fn stop(self) {
        self.node.stop_admitting();
        self.stop.cancel();
        self.node.default_tenant.sockets.say_goodbye(&Goodbye::restarting());
        self.tasks.close();
        let timeout = self.node.settings().server.shutdown_timeout;
        if tokio::time::timeout(timeout, self.tasks.wait()).await.is_err() {
            info!(tasks = self.tasks.len(), "Stopped without waiting for the last connections");
        }
    }
}

async fn keep_metrics(node: Arc<Node>, stop: CancellationToken) {
    let mut interval = tokio::time::interval(METRICS_UPKEEP);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = interval.tick() => node.metrics.upkeep(),
        }
    }
}
