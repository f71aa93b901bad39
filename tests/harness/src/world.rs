//! A server for one test, on a free port, with its own secret.

mod clients;

use std::hash::{BuildHasher as _, RandomState};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use realtime_server::app::{Server, ServerBuilder};
use realtime_server::bus::Bus;
use realtime_server::crypto;
use realtime_server::node::{Node, Urgency};
use realtime_server::routes::RouteTable;
use serde_json::Value;
use settings::Settings;
use tokio::task::JoinHandle;
use tokio::time::timeout;

pub(crate) use self::clients::SOCKET;
use crate::endpoint::Endpoint;
use crate::openapi::Api;
use crate::tokens::{Token, TokenIssuer};
use crate::{WAIT_MAX, panics};

/// A running server, and what a test needs to talk to it.
pub struct World {
    server: Mutex<Option<Server>>,
    endpoint: Endpoint,
    /// Boxed, because futures that stop several servers have these by value.
    settings: Mutex<Box<Settings>>,
    token_issuer: TokenIssuer,
    api: OnceLock<Api>,
}

impl World {
    /// A server with default settings.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start() -> World {
        World::with(|_| {}).await
    }

    /// A server whose settings `change` may change. Set before: a free port of this machine, a secret, and
    /// no pause before refusals, for which no test should have to wait.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn with(change: impl FnOnce(&mut Settings)) -> World {
        World::extended(|server| server, change).await
    }

    /// Another server with the same secret, and otherwise settings of its own.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn beside(&self, change: impl FnOnce(&mut Settings)) -> World {
        World::build(self.token_issuer.clone(), |server| server, change).await
    }

    /// As [`World::beside`]; `extend` adds what settings cannot describe.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn extended_beside(
        &self,
        extend: impl FnOnce(ServerBuilder) -> ServerBuilder,
        change: impl FnOnce(&mut Settings),
    ) -> World {
        World::build(self.token_issuer.clone(), extend, change).await
    }

    /// As [`World::with`], as one of the nodes on `bus`.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn on(bus: impl Bus, change: impl FnOnce(&mut Settings)) -> World {
        World::extended(|server| server.bus(Arc::new(bus)), change).await
    }

    /// As [`World::with`]; `extend` adds what settings cannot describe, such as another protocol.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn extended(
        extend: impl FnOnce(ServerBuilder) -> ServerBuilder,
        change: impl FnOnce(&mut Settings),
    ) -> World {
        World::build(TokenIssuer::new(random_secret()), extend, change).await
    }

    async fn build(
        token_issuer: TokenIssuer,
        extend: impl FnOnce(ServerBuilder) -> ServerBuilder,
        change: impl FnOnce(&mut Settings),
    ) -> World {
        panics::watch();
        crypto::install();
        let mut settings = Settings::default();
        settings.auth.jwt_secret = Some(token_issuer.secret().into());
        settings.server.host = "127.0.0.1".parse().expect("an address");
        settings.server.port = 0;
        settings.server.connect_error_backoff = Duration::ZERO;
        settings.server.channel_error_backoff = Duration::ZERO;
        // The clients of most tests no longer listen when their server stops.
        settings.server.shutdown_timeout = Duration::from_millis(100);
        change(&mut settings);
        let server = extend(Server::builder(settings.clone())).start().await.expect("the server starts");
        let endpoint = Endpoint::at(server.address());
        let (server, settings) = (Mutex::new(Some(server)), Mutex::new(Box::new(settings)));
        World { server, endpoint, settings, token_issuer, api: OnceLock::new() }
    }

    /// A server with these tenants beside the default one, each with a secret of its own.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn with_tenants(ids: &[&str]) -> World {
        let world = World::start().await;
        world.apply(|settings| {
            for id in ids {
                settings.tenants.insert((*id).to_owned(), world.tenant_settings(id));
            }
        });
        world
    }

    /// The settings of `[tenants.<id>]` when only its secret is set.
    pub fn tenant_settings(&self, id: &str) -> settings::Tenant {
        let mut tenant = settings::Tenant::default();
        tenant.auth.jwt_secret = Some(self.tenant_token_issuer(id).secret().into());
        tenant
    }

    /// Changes the settings while the server runs, as a reload does.
    ///
    /// # Panics
    /// When the server has been stopped.
    pub fn apply(&self, change: impl FnOnce(&mut Settings)) {
        let mut settings = self.settings.lock().expect("no test panics here");
        change(&mut settings);
        self.node().apply((**settings).clone());
    }

    /// The node of the server, for what a client cannot cause.
    ///
    /// # Panics
    /// When the server has been stopped.
    pub fn node(&self) -> Arc<Node> {
        let server = self.server.lock().expect("no test panics here");
        Arc::clone(server.as_ref().expect("the server runs").node())
    }

    /// The HTTP routes of the server.
    ///
    /// # Panics
    /// When the server has been stopped.
    pub fn routes(&self) -> Arc<RouteTable> {
        let server = self.server.lock().expect("no test panics here");
        Arc::clone(server.as_ref().expect("the server runs").routes())
    }

    /// A server that is started and stopped elsewhere, and accepts the tokens of `token_issuer`.
    pub fn at(address: SocketAddr, token_issuer: TokenIssuer) -> World {
        let settings = Mutex::new(Box::default());
        let endpoint = Endpoint::at(address);
        World { server: Mutex::new(None), endpoint, settings, token_issuer, api: OnceLock::new() }
    }

    /// Where the server listens.
    pub fn address(&self) -> SocketAddr {
        self.endpoint.address()
    }

    /// The same world reached at the internal listener of its server.
    ///
    /// # Panics
    /// When it has none.
    #[must_use]
    pub fn internal(&self) -> World {
        let address = self.server.lock().expect("no test panics here").as_ref().map(Server::internal_address);
        self.behind(Endpoint::at(address.flatten().expect("it has an internal listener")))
    }

    /// The endpoint of the server.
    pub fn endpoint(&self) -> Endpoint {
        self.endpoint.clone()
    }

    /// The same world reached at another endpoint, such as a proxy. Stopping it does not stop the server.
    #[must_use]
    pub fn behind(&self, endpoint: Endpoint) -> World {
        let settings = self.settings.lock().expect("no test panics here").clone();
        World {
            server: Mutex::new(None),
            settings: Mutex::new(settings),
            endpoint,
            token_issuer: self.token_issuer.clone(),
            api: OnceLock::new(),
        }
    }

    /// A token of this kind.
    pub fn token(&self, kind: Token) -> String {
        self.token_issuer.token(kind)
    }

    /// A token with these claims.
    pub fn sign(&self, claims: &Value) -> String {
        self.token_issuer.sign(claims)
    }

    /// The issuer of its tokens.
    pub fn token_issuer(&self) -> &TokenIssuer {
        &self.token_issuer
    }

    /// The issuer of a tenant's tokens.
    pub fn tenant_token_issuer(&self, id: &str) -> TokenIssuer {
        TokenIssuer::new(format!("{}, of {id}", self.token_issuer.secret()))
    }

    /// Stops the server and fails if it panicked meanwhile.
    ///
    /// # Panics
    /// When it does not stop in time, or panicked.
    pub async fn stop(self) {
        self.stop_server().await;
    }

    pub(crate) async fn stop_server(&self) {
        let server = self.server.lock().expect("no test panics here").take();
        if let Some(server) = server {
            timeout(WAIT_MAX, server.stop()).await.expect("the server stops in time");
        }
    }

    /// Asks the server to stop as SIGTERM does, with the timeouts of its settings.
    ///
    /// # Panics
    /// When it is stopping already.
    pub fn drain(&self) -> Drain {
        let server = self.server.lock().expect("no test panics here").take().expect("the server runs");
        let node = Arc::clone(server.node());
        Drain { node, ended: tokio::spawn(server.drain()) }
    }
}

/// A server that has been asked to stop.
pub struct Drain {
    node: Arc<Node>,
    ended: JoinHandle<()>,
}

impl Drain {
    /// Raises the urgency, as a second signal does.
    pub fn raise_urgency(&self, urgency: Urgency) {
        self.node.lifecycle.raise_urgency(urgency);
    }

    /// Waits until the server has stopped.
    ///
    /// # Panics
    /// When it does not come in time.
    pub async fn ended(self) {
        timeout(WAIT_MAX, self.ended).await.expect("the server stops in time").expect("without a panic");
    }
}

impl std::fmt::Debug for World {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("World").field("address", &self.address()).finish_non_exhaustive()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        panics::assert_none();
    }
}

fn random_secret() -> String {
    (0..3).map(|_| format!("{:016x}", RandomState::new().hash_one(()))).collect()
}
