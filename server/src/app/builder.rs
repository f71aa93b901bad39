//! What a server is started with. The settings suffice; a caller may add what they cannot describe.

use std::sync::Arc;

use settings::Settings;

use super::Server;
use super::store::OpenedStore;
use crate::auth::Authorizer;
use crate::bus::Bus;
use crate::edge::ServedProtocol;
use crate::node::OpenFiles;
use crate::reload::ConfigReloader;
use crate::resources::Resources;
use crate::routes::Route;
use crate::sessions::Protocol;
use crate::sessions::hocuspocus::HocuspocusProtocol;
use crate::sessions::phoenix::PhoenixProtocol;
use crate::sessions::y_websocket::YWebsocketProtocol;
use crate::telemetry::fan_out::Exporter;
use crate::workers::Workers;

/// The parts of a server that is about to start.
pub struct ServerBuilder {
    pub(super) settings: Settings,
    pub(super) resources: Option<Resources>,
    pub(super) bus: Option<Arc<dyn Bus>>,
    pub(super) reloader: Option<ConfigReloader>,
    pub(super) protocols: Vec<ServedProtocol>,
    pub(super) authorizer: Option<Arc<dyn Authorizer>>,
    pub(super) exporters: Vec<Exporter>,
    pub(super) routes: Vec<Route>,
    pub(super) workers: Option<Workers>,
    pub(super) open_files: OpenFiles,
    pub(super) store: Option<OpenedStore>,
}

impl ServerBuilder {
    pub(super) fn new(settings: Settings) -> Self {
        let protocols = vec![
            ServedProtocol::new(Arc::new(PhoenixProtocol)),
            ServedProtocol::new(Arc::new(YWebsocketProtocol)),
            ServedProtocol::new(Arc::new(HocuspocusProtocol)),
        ];
        Self {
            settings,
            resources: None,
            bus: None,
            reloader: None,
            protocols,
            authorizer: None,
            exporters: Vec::new(),
            routes: Vec::new(),
            workers: None,
            open_files: OpenFiles::default(),
            store: None,
        }
    }

    /// Uses `resources` that are loaded already. Without them the start loads those that the settings name.
    #[must_use]
    pub fn resources(self, resources: Resources) -> Self {
        Self { resources: Some(resources), ..self }
    }

    /// Joins the nodes on `bus` instead of those on the bus of the settings.
    #[must_use]
    pub fn bus(self, bus: Arc<dyn Bus>) -> Self {
        Self { bus: Some(bus), ..self }
    }

    /// Reloads the settings while the server runs.
    #[must_use]
    pub fn reloader(self, reloader: ConfigReloader) -> Self {
        Self { reloader: Some(reloader), ..self }
    }

    /// Serves a further protocol at its own paths.
    #[must_use]
    pub fn protocol<P: Protocol>(mut self, protocol: Arc<P>) -> Self {
        self.protocols.push(ServedProtocol::new(protocol));
        self
    }

    /// Lets `authorizer` decide who may do what in which room. Without one the databases of tenants do.
    #[must_use]
    pub fn authorizer(self, authorizer: Arc<dyn Authorizer>) -> Self {
        Self { authorizer: Some(authorizer), ..self }
    }

    /// Sends the metrics to `exporter`, as well as to Prometheus' page and to those added before.
    #[must_use]
    pub fn exporter(mut self, exporter: Exporter) -> Self {
        self.exporters.push(exporter);
        self
    }

    /// Serves `routes` besides those of the slices.
    #[must_use]
    pub fn routes(self, routes: Vec<Route>) -> Self {
        Self { routes, ..self }
    }

    /// Serves connections on `workers`. Without them it serves all on the runtime it is started on.
    #[must_use]
    pub fn workers(self, workers: Workers) -> Self {
        Self { workers: Some(workers), ..self }
    }

    /// Accepts no more connections than there are `open_files` for. Without them as many as the settings allow.
    #[must_use]
    pub fn open_files(self, open_files: OpenFiles) -> Self {
        Self { open_files, ..self }
    }

    /// Keeps what it remembers in `store`. Without one it remembers it until it stops.
    #[must_use]
    pub fn store(self, store: OpenedStore) -> Self {
        Self { store: Some(store), ..self }
    }

    /// Starts serving. When this returns, clients can connect.
    ///
    /// # Errors
    /// Without a secret, with files or addresses that cannot be used, or when the port cannot be bound. A bus that
    /// cannot be reached is not an error.
    #[expect(
        clippy::unused_async,
        reason = "starting spawns tasks, so it needs the runtime an async caller has"
    )]
    pub async fn start(self) -> anyhow::Result<Server> {
        Server::start(self)
    }
}
