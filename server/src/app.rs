//! The whole server: its parts put together, started and stopped.

mod builder;
#[cfg(feature = "cloudwatch")]
mod cloudwatch;
mod internal;
mod metrics_push;
mod store;
mod store_listener;
mod store_maintenance;

pub use builder::ServerBuilder;
pub use store::{OpenedStore, StoreTables, StoreToRekey};

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use settings::Settings;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use self::internal::InternalPort;
use crate::auth::jwks::JwksSources;
#[cfg(feature = "postgres")]
use crate::bus::Connectivity;
use crate::bus::{Bus, ClusterLink, LinkTask};
use crate::changes::PostgresChanges;
use crate::documents::Documents;
use crate::drain::drain;
use crate::edge::listener::Listener;
use crate::edge::{self, ListenerKind, listener};
use crate::node::{Lifecycle, LifecyclePhase, Node, Urgency};
use crate::openapi::ApiDocument;
use crate::presence::announcer;
use crate::resources::Resources;
use crate::routes::RouteTable;
use crate::sessions::Services;
use crate::telemetry::logs;
#[cfg(feature = "postgres")]
use crate::tenants::database::{CHANGES_IDLE, Election, Reading, UnusedSlots};
use crate::tenants::{Databases, database_authorizer};
use crate::workers::Workers;
use crate::{admin, broadcast, documents, openapi};

/// How often sampled metrics are brought up to date. Histograms keep single samples until then.
const METRICS_INTERVAL: Duration = Duration::from_secs(5);

/// How long the link may take to publish the last changes and to give up its lease.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(1);

/// A running server.
pub struct Server {
    node: Arc<Node>,
    address: SocketAddr,
    routes: Arc<RouteTable>,
    /// All tasks but that of the link and those of the internal listener.
    tasks: TaskTracker,
    /// The internal listener. It ends after all others, so that operators see how they end.
    internal: Option<InternalPort>,
    /// The task of the link to the other nodes. It ends after all others, so that it publishes their last changes.
    link: Option<JoinHandle<()>>,
    /// Serve connections until the last task has ended.
    workers: Arc<Workers>,
}

impl Server {
    /// A server with these settings, to be completed and started.
    pub fn builder(settings: Settings) -> ServerBuilder {
        ServerBuilder::new(settings)
    }

    fn start(builder: ServerBuilder) -> anyhow::Result<Self> {
        let ServerBuilder {
            settings,
            resources,
            bus,
            reloader,
            protocols,
            authorizer,
            exporters,
            routes,
            workers,
            open_files,
            store,
        } = builder;
        let Resources { acceptor, bus: redis, .. } = match resources {
            Some(resources) => resources,
            None => Resources::load(&settings, |_| None)?,
        };
        let bus = bus.or_else(|| redis.map(|redis| Arc::new(redis) as Arc<dyn Bus>));
        let over = bus.map(|bus| ClusterLink::over(bus, settings.bus.clone()));
        let (link, link_task) =
            over.map_or((ClusterLink::standalone(), None), |(link, task)| (link, Some(task)));
        let (tasks, lifecycle) = (TaskTracker::new(), Lifecycle::default());
        let stopping = lifecycle.token(LifecyclePhase::Stopping);
        let jwks = JwksSources::new(tasks.clone(), stopping.clone());
        let workers = Arc::new(workers.unwrap_or_else(Workers::current));
        let OpenedStore { tenants, documents, keys, tables } = store.unwrap_or_else(OpenedStore::in_memory);
        let node = Node::new(settings, jwks, link, lifecycle, exporters, open_files, (tenants, keys))?;
        let server = &node.settings().server;
        let certificates = acceptor.certificates();
        let listener = Listener::bind(ListenerKind::main(server), server.address(), acceptor, server)
            .with_context(|| format!("cannot listen on {}", server.address()))?;
        let address = listener.address().context("the listener has no address")?;
        let internal = InternalPort::bind(server)?;
        tasks.spawn(notify_of_policies(Arc::clone(&node), stopping.clone()));
        tasks.spawn(announcer::run(Arc::clone(&node), stopping.clone()));
        tasks.spawn(broadcast::history::run_sweeper(Arc::clone(&node), stopping.clone()));
        tasks.spawn(maintain_metrics(Arc::clone(&node), stopping.clone()));
        tasks.spawn(metrics_push::run(Arc::clone(&node), address, stopping.clone()));
        #[cfg(feature = "cloudwatch")]
        tasks.spawn(cloudwatch::run(Arc::clone(&node), stopping.clone()));
        tasks.spawn(store_listener::run(Arc::clone(&node), stopping.clone()));
        tasks.spawn(store_maintenance::run(Arc::clone(&node), tables, stopping.clone()));
        if let Some(certificates) = certificates {
            let (node, stopping) = (Arc::clone(&node), stopping.clone());
            tasks.spawn(async move { certificates.keep_fresh(&node.metrics.node, stopping).await });
        }
        if let Some(mut reloader) = reloader {
            // Before the first client connects: the first request of an operator may ask for a reload.
            reloader.register_handler(&node);
            tasks.spawn(reloader.run(Arc::clone(&node), stopping));
        }
        node.lifecycle.enter(LifecyclePhase::Serving);
        let databases = databases(&node, &tasks);
        node.use_databases(&databases);
        let authorizer = authorizer.unwrap_or_else(|| database_authorizer(&databases));
        let authorization = broadcast::http::Authorization::new(
            Arc::clone(&node),
            Arc::clone(&authorizer),
            Arc::clone(&databases),
        );
        let stopping = node.lifecycle.token(LifecyclePhase::Stopping);
        let changes = PostgresChanges::new(&node, &databases, tasks.clone(), stopping);
        let documents = Documents::new(&node, &documents, tasks.clone());
        let y_sweet = documents::y_sweet::routes(&documents);
        let services = Services {
            node: Arc::clone(&node),
            authorizer,
            databases,
            changes,
            documents,
            tasks: tasks.clone(),
        };
        let services = Arc::new(services);
        let api = Arc::new(ApiDocument::default());
        let routes = Arc::new(RouteTable::new([
            edge::upgrade_routes(&services, protocols),
            broadcast::http::routes(&node, authorization),
            y_sweet,
            admin::routes(&node),
            admin::tenants::routes(&node),
            openapi::routes(&api),
            routes,
        ]));
        api.write(&routes);
        let draining = node.lifecycle.token(LifecyclePhase::Draining);
        tasks.spawn(listener::run(
            Arc::clone(&node),
            listener,
            (Arc::clone(&workers), tasks.clone()),
            Arc::clone(&routes),
            draining,
        ));
        let internal = internal.map(|listener| InternalPort::serve(listener, &node, &workers, &routes));
        let internal = internal.transpose()?;
        let link = link_task.map(|task| tokio::spawn(keep_link(task, Arc::clone(&node))));
        Ok(Self { node, address, routes, tasks, internal, link, workers })
    }

    /// The address of the listener, with the port that the system chose if the settings left it open.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address of the internal listener, if there is one, with the port that the system chose if the settings left it open.
    pub fn internal_address(&self) -> Option<SocketAddr> {
        self.node.internal_address()
    }

    /// The HTTP routes that it serves.
    pub fn routes(&self) -> &Arc<RouteTable> {
        &self.routes
    }

    /// What all parts of the server share; through it settings are applied.
    pub fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// Stops in the time that the settings allow, and sooner if the [urgency](Lifecycle::raise_urgency) is raised: see
    /// [`drain`](crate::drain).
    pub async fn drain(self) {
        let Self { node, tasks, internal, link, workers, .. } = self;
        drain(&node, &tasks).await;
        node.lifecycle.enter(LifecyclePhase::Leaving);
        if let Some(link) = link {
            leave(link).await;
        }
        if let Some(internal) = internal {
            internal.ended().await;
        }
        // After all that may end a span.
        node.traces.stop().await;
        drop(workers);
        node.lifecycle.enter(LifecyclePhase::Stopped);
    }

    /// Stops without a delay: closes the listener, disconnects all clients at once (1012), and waits until they have
    /// gone or `server.shutdown_timeout` is over.
    pub async fn stop(self) {
        self.node.lifecycle.raise_urgency(Urgency::Soon);
        self.drain().await;
    }
}

/// The databases of tenants, whose broadcasts are sent to the rooms of `node`.
#[cfg(feature = "postgres")]
fn databases(node: &Arc<Node>, tasks: &TaskTracker) -> Arc<Databases> {
    let election = match node.link.connectivity() {
        Connectivity::Standalone => Election::EachNode(node.id),
        _with_other_nodes => Election::OneOfAll,
    };
    let messages = Arc::new(broadcast::DatabaseBroadcasts::new(node));
    // Each node reads for its own clients. With one reader for all, these would miss what is committed until another one has a slot,
    // which waits for all transactions that are open; and the bus cannot slow down the database when a node is slow.
    let draining = node.lifecycle.token(LifecyclePhase::Draining);
    let reading = Reading { node: node.id, election, messages, changes_idle: CHANGES_IDLE, draining };
    let stopping = node.lifecycle.token(LifecyclePhase::Stopping);
    let databases = Databases::reading(tasks.clone(), stopping.clone(), reading);
    let (unused_slots, node) = (UnusedSlots::new(&databases), Arc::clone(node));
    let looking = async move { unused_slots.run(CHANGES_IDLE, || node.tenants.all()).await };
    tasks.spawn(stopping.run_until_cancelled_owned(looking));
    databases
}

#[cfg(not(feature = "postgres"))]
fn databases(node: &Arc<Node>, tasks: &TaskTracker) -> Arc<Databases> {
    Databases::new(tasks.clone(), node.lifecycle.token(LifecyclePhase::Stopping))
}

async fn keep_link(task: LinkTask, node: Arc<Node>) {
    let (hub, host) = (Arc::clone(&node.hub), Arc::new(Arc::clone(&node)));
    task.run(node.id, hub, host, &node.metrics, node.lifecycle.token(LifecyclePhase::Leaving)).await;
}

/// Waits until the link has left the other nodes. Without that they learn of the end when its lease expires.
async fn leave(mut link: JoinHandle<()>) {
    match timeout(LEAVE_TIMEOUT, &mut link).await {
        Ok(Ok(())) => {}
        Ok(Err(panicked)) => warn!("The link to the other nodes failed while it left them: {panicked}"),
        Err(_elapsed) => {
            link.abort();
            warn!("The other nodes could not be notified of the stop in time");
        }
    }
}

/// Makes idle sockets look at policies of their tenant that have changed.
async fn notify_of_policies(node: Arc<Node>, stop: CancellationToken) {
    node.tenants.run_policy_notifier(stop).await;
}

/// Keeps sampled metrics current, whether or not they are scraped.
async fn maintain_metrics(node: Arc<Node>, stop: CancellationToken) {
    let mut interval = tokio::time::interval(METRICS_INTERVAL);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = interval.tick() => {}
        }
        let node = Arc::clone(&node);
        let sample = move || {
            node.metrics.write_line_summaries();
            logs::write_losses();
            node.sample_metrics();
            node.prometheus.run_upkeep();
        };
        // A panic is in the log already, and the next sample may do better.
        let _panicked = tokio::task::spawn_blocking(sample).await;
    }
}
