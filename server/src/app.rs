//! The whole server: its parts put together, started and stopped.

mod builder;

pub use builder::ServerBuilder;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use settings::Settings;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use crate::auth::jwks::JwksSources;
use crate::bus::{Bus, ClusterLink, LinkTask};
use crate::drain::{Parts, Urgency};
use crate::edge::{self, listener};
use crate::node::Node;
use crate::presence::announcer;
use crate::resources::Resources;
use crate::routes::RouteTable;
use crate::sessions::Services;
use crate::{admin, broadcast};

/// How often sampled metrics are brought up to date. Histograms keep single samples until then.
const METRICS_INTERVAL: Duration = Duration::from_secs(5);

/// How long the last words to the other nodes may take.
const GOODBYE: Duration = Duration::from_secs(1);

/// A running server.
pub struct Server {
    node: Arc<Node>,
    address: SocketAddr,
    routes: Arc<RouteTable>,
    tasks: TaskTracker,
    /// Cancelled, nobody comes in any more.
    door: CancellationToken,
    /// Cancelled, the tasks end that serve everybody.
    service: CancellationToken,
    neighbours: Option<Neighbours>,
}

/// The task that keeps the link to the other nodes. It ends after all others, to tell what they did last.
struct Neighbours {
    keeper: JoinHandle<()>,
    stop: CancellationToken,
}

impl Server {
    /// A server with these settings, to be completed and started.
    pub fn builder(settings: Settings) -> ServerBuilder {
        ServerBuilder::new(settings)
    }

    fn start(builder: ServerBuilder) -> anyhow::Result<Self> {
        let ServerBuilder { settings, resources, bus, reloader, protocols, authorizer, exporters, routes } =
            builder;
        let Resources { acceptor, bus: redis, .. } = match resources {
            Some(resources) => resources,
            None => Resources::load(&settings, |_| None)?,
        };
        let bus = bus.or_else(|| redis.map(|redis| Arc::new(redis) as Arc<dyn Bus>));
        let (tasks, service) = (TaskTracker::new(), CancellationToken::new());
        let over = bus.map(|bus| ClusterLink::over(bus, settings.bus.clone()));
        let (link, keeper) = over.map_or((ClusterLink::alone(), None), |(link, keeper)| (link, Some(keeper)));
        let node = Node::new(settings, JwksSources::new(tasks.clone(), service.clone()), link, exporters)?;
        let server = &node.settings().server;
        let listener = listener::bind(server)
            .with_context(|| format!("cannot listen on {}", SocketAddr::new(server.host, server.port)))?;
        let address = listener.local_addr().context("the listener has no address")?;
        let door = CancellationToken::new();
        tasks.spawn(ring(Arc::clone(&node), service.clone()));
        tasks.spawn(announcer::run(Arc::clone(&node), service.clone()));
        tasks.spawn(maintain_metrics(Arc::clone(&node), service.clone()));
        if let Some(certificates) = acceptor.certificates() {
            let (node, service) = (Arc::clone(&node), service.clone());
            tasks.spawn(async move { certificates.keep_fresh(&node.metrics.node, service).await });
        }
        if let Some(reloader) = reloader {
            // Before anybody comes in: an operator's first request may be an order to reload.
            reloader.register_handler(&node);
            tasks.spawn(reloader.run(Arc::clone(&node), service.clone()));
        }
        let services = Arc::new(Services { node: Arc::clone(&node), authorizer, tasks: tasks.clone() });
        let routes = Arc::new(RouteTable::new([
            edge::upgrade_routes(&services, &protocols),
            broadcast::http::routes(&node),
            admin::routes(&node),
            routes,
        ]));
        tasks.spawn(listener::run(services, listener, acceptor, Arc::clone(&routes), door.clone()));
        let neighbours = keeper.map(|keeper| Neighbours::meet(keeper, &node));
        Ok(Self { node, address, routes, tasks, door, service, neighbours })
    }

    /// Where it listens; tells the port if the settings left it open.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops without sending anybody away before its time: see [`drain`](crate::drain). `urgency` may grow
    /// meanwhile.
    pub async fn drain(self, urgency: watch::Receiver<Urgency>) {
        let Self { node, tasks, door, service, .. } = &self;
        Parts { node, door, service, tasks }.drain(urgency).await;
        if let Some(neighbours) = self.neighbours {
            neighbours.leave().await;
        }
    }

    /// The HTTP routes that it serves.
    pub fn routes(&self) -> &Arc<RouteTable> {
        &self.routes
    }

    /// What its parts share; through it settings are exchanged.
    pub fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// Takes nobody in any more, tells every client to come back later (1012), and waits until they have
    /// gone or `server.shutdown_timeout` is over.
    pub async fn stop(self) {
        self.drain(watch::channel(Urgency::Soon).1).await;
    }
}

impl Neighbours {
    fn meet(keeper: LinkTask, node: &Arc<Node>) -> Self {
        let stop = CancellationToken::new();
        let (node, stopping) = (Arc::clone(node), stop.clone());
        let kept = async move {
            let (hub, host) = (Arc::clone(&node.hub), Arc::new(Arc::clone(&node)));
            keeper.run(node.id, hub, host, &node.metrics, stopping).await;
        };
        Self { keeper: tokio::spawn(kept), stop }
    }

    /// Says goodbye to the other nodes, in [`GOODBYE`]. They learn of the end in any case, when the lease is over.
    async fn leave(self) {
        self.stop.cancel();
        match timeout(GOODBYE, self.keeper).await {
            Ok(Ok(())) => {}
            Ok(Err(panicked)) => warn!("The link to the other nodes ended badly: {panicked}"),
            Err(_elapsed) => warn!("The other nodes could not be told goodbye in time"),
        }
    }
}

/// Lets parked sockets notice what has changed for their tenant.
async fn ring(node: Arc<Node>, stop: CancellationToken) {
    node.tenants.run_policy_notifier(stop).await;
}

/// Keeps sampled metrics current, whether or not they are scraped.
async fn maintain_metrics(node: Arc<Node>, stop: CancellationToken) {
    let mut interval = tokio::time::interval(METRICS_INTERVAL);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = interval.tick() => {}
        }
        let node = Arc::clone(&node);
        let sample = move || {
            node.sample_metrics();
            node.prometheus.run_upkeep();
        };
        // A panic is in the log already, and the next sample may do better.
        let _panicked = tokio::task::spawn_blocking(sample).await;
    }
}
