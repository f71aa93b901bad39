//! The bus over Redis or Valkey. The only module that uses the Redis client.
//!
//! A node has three connections: one publishes, one receives, one reads stored snapshots. When one of the first two is
//! lost, the bus connection is given up; the third is opened again without effect on the others. A fourth one reads the
//! history of rooms, if that is asked for.
//!
//! RESP3 would allow one connection for everything, but Redis before 7.2 puts a message that a client publishes to itself
//! in a transaction into the middle of the response to it, and bounds all output to a subscriber, responses included
//! (`client-output-buffer-limit pubsub`): reading a large room would end the connection.
//!
//! Redis 6 or later, one server; behind an address that follows the primary, a failover is a lost connection like any
//! other. Redis Cluster is not supported. See [`keys`] for what is stored, and why nothing outlives its node for long.

mod bus_connection;
mod config;
mod connection;
mod credentials;
mod errors;
mod history;
mod keys;
mod lease;
mod lease_holders;
mod repair;
mod snapshot_reader;
mod stream;
mod subscriber;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use hub::{Bounds, NodeId};
use redis::aio::{AsyncPushSender, MultiplexedConnection};
use redis::{
    AsyncConnectionConfig, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion, PushInfo,
    PushKind, Value, cmd,
};
use rustls::RootCertStore;
use secrecy::ExposeSecret;
use tokio::sync::watch;
use tokio::time::timeout;

use super::{
    Bus, BusConnection, BusError, BusFuture, EntryPosition, Inbox, KeptEntry, OpenedConnection,
    ReceivedMessage, RoomName,
};
use crate::new_credentials::{NewCredentials, Trial};
use bus_connection::RedisBusConnection;
pub use config::RedisConfigError;
use connection::{AbortOnDrop, RedisConnection};
use keys::{Incarnation, Keys};
use lease::Lease;
use lease_holders::{LeaseHolder, LeaseHolders};
use snapshot_reader::SnapshotReader;
use stream::Progress;
use subscriber::Subscriber;

/// A Redis that nodes share.
#[derive(Debug)]
pub struct Redis {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// With the credentials in use.
    server: watch::Sender<Arc<ConnectionInfo>>,
    /// The address with those of the newest settings.
    new_credentials: NewCredentials<String>,
    /// Those that verify its certificate; those of the system if there are none.
    authorities: Option<Arc<RootCertStore>>,
    keys: Keys,
    timeout: Duration,
    keep_alive: Duration,
    lease: Duration,
    bounds: Bounds,
    /// How many incarnations have begun.
    incarnations: AtomicU64,
    lease_holders: LeaseHolders,
    /// The connection that reads what is kept, once it is needed.
    history_reader: tokio::sync::Mutex<Option<RedisConnection>>,
}

impl Redis {
    /// The bus that `settings` describe, with inboxes of these `bounds`; `None` without an address. Does not connect yet.
    ///
    /// # Errors
    /// When the address or the certificates cannot be used. The address, which may hold a password, is in no message.
    pub fn new(settings: &settings::Bus, bounds: Bounds) -> Result<Option<Self>, RedisConfigError> {
        let Some(url) = &settings.redis_url else { return Ok(None) };
        let server = server(url.expose_secret())?;
        let shared = Shared {
            authorities: authorities(&server, settings)?,
            server: watch::Sender::new(Arc::new(server)),
            new_credentials: NewCredentials::none_beside(url.expose_secret().to_owned()),
            keys: Keys::new(&settings.prefix),
            timeout: settings.timeout,
            keep_alive: settings.keep_alive,
            lease: settings.lease,
            bounds,
            incarnations: AtomicU64::new(0),
            lease_holders: LeaseHolders::default(),
            history_reader: tokio::sync::Mutex::default(),
        };
        Ok(Some(Self { shared: Arc::new(shared) }))
    }
}

fn server(url: &str) -> Result<ConnectionInfo, RedisConfigError> {
    config::check_verification(url)?;
    let info = url.into_connection_info().map_err(RedisConfigError::Address)?;
    let redis = info
        .redis_settings()
        .clone()
        .set_protocol(ProtocolVersion::RESP3)
        .set_lib_name("realtime-server", env!("CARGO_PKG_VERSION"));
    Ok(info.set_redis_settings(redis))
}

fn authorities(
    server: &ConnectionInfo,
    settings: &settings::Bus,
) -> Result<Option<Arc<RootCertStore>>, RedisConfigError> {
    match &settings.tls_ca_file {
        Some(path) if is_encrypted(server) => Ok(Some(Arc::new(config::certificates(path)?))),
        _ => Ok(None),
    }
}

fn is_encrypted(server: &ConnectionInfo) -> bool {
    matches!(server.addr(), ConnectionAddr::TcpTls { .. })
}

/// An open connection, and the task that drives it.
struct OpenedRedis {
    connection: MultiplexedConnection,
    progress: Progress,
    _driver: AbortOnDrop,
}

impl Bus for Redis {
    fn name(&self) -> String {
        format!("Redis at {}", self.shared.server().addr())
    }

    fn offer_credentials(&self, settings: &settings::Bus) -> bool {
        let url = settings.redis_url.as_ref();
        url.is_some_and(|url| self.shared.new_credentials.offer(url.expose_secret().to_owned()))
    }

    fn try_credentials(&self) -> BoxFuture<'static, Option<Trial>> {
        let shared = Arc::clone(&self.shared);
        async move { shared.try_offered().await }.boxed()
    }

    fn refuses_credentials(&self) -> bool {
        self.shared.new_credentials.are_refused()
    }

    fn connect(&self, node: NodeId) -> BusFuture<OpenedConnection> {
        let (shared, limit) = (Arc::clone(&self.shared), self.shared.timeout);
        // For all steps together: each by itself may take as long.
        let connected = async move { timeout(limit, shared.connect(node)).await };
        Box::pin(connected.map(|connected| connected.unwrap_or(Err(BusError::TimedOut))))
    }

    fn kept(
        &self,
        room: &RoomName,
        before: Option<EntryPosition>,
        count: usize,
    ) -> BusFuture<Vec<KeptEntry>> {
        let (shared, room) = (Arc::clone(&self.shared), RoomName::clone(room));
        async move { shared.kept(&room, before, count).await }.boxed()
    }
}

impl Shared {
    fn server(&self) -> Arc<ConnectionInfo> {
        Arc::clone(&self.server.borrow())
    }

    async fn connect(self: Arc<Self>, node: NodeId) -> Result<OpenedConnection, BusError> {
        let inbox = Arc::new(Inbox::new(self.bounds));
        let (mut subscriber, publisher) = tokio::try_join!(
            self.open(Role::Subscribe, receiver(&self.keys, &inbox)),
            self.open(Role::Publish, receiver(&self.keys, &inbox)),
        )?;
        subscriber.connection.subscribe(self.keys.nodes_channel()).await?;
        let subscriber = Subscriber::start(subscriber, self.timeout);
        let publisher = RedisConnection::start(publisher, self.timeout);
        let incarnation = Incarnation { node, number: self.incarnations.fetch_add(1, Ordering::Relaxed) };
        self.lease_holders.add(LeaseHolder::identify(incarnation, &publisher).await);
        let lease = Lease::new(Arc::clone(&self), incarnation, publisher.clone());
        // A rejection is no error: each renewal tries again.
        if let Err(error) = lease.take().await {
            // This error means that no lease was taken. After any other that is unknown, and the next incarnation deletes it.
            if matches!(error, BusError::Unusable(_)) {
                self.lease_holders.remove(node, &[incarnation]);
            }
            return Err(error);
        }
        // Not earlier: it closes the inbox when there is no lease where a new connection leads.
        let reader = SnapshotReader::start(&lease, &inbox);
        let connection = RedisBusConnection { publisher, subscriber, reader, lease };
        Ok((Box::new(connection) as Box<dyn BusConnection>, inbox))
    }

    /// Opens a connection. `receive` is called with everything that is not a response, and when it is closed.
    async fn open(&self, role: Role, receive: impl AsyncPushSender) -> Result<OpenedRedis, BusError> {
        // Less than connecting may take as a whole, so that this error is the one reported.
        let limit = self.timeout.mul_f64(0.9);
        let opened = timeout(limit, self.try_open(receive)).await.unwrap_or(Err(BusError::TimedOut));
        let is_encrypted = is_encrypted(&self.server());
        let mut opened = opened.map_err(|error| match error {
            BusError::Closed if !is_encrypted => BusError::Unreachable(CLOSED_AT_ONCE.into()),
            BusError::TimedOut if is_encrypted => BusError::Unreachable(SILENT.into()),
            other => other,
        })?;
        // For readers of `CLIENT LIST`, if the user has the permission; not needed otherwise.
        let name = cmd("CLIENT").arg("SETNAME").arg(role.name()).take();
        let _named = timeout(self.timeout, name.exec_async(&mut opened.connection)).await;
        Ok(opened)
    }

    async fn try_open(&self, receive: impl AsyncPushSender) -> Result<OpenedRedis, BusError> {
        let server = self.server();
        let (stream, progress) =
            stream::connect(server.addr(), self.authorities.as_ref(), self.timeout).await?;
        // The tasks that write have timeouts of their own.
        let config = AsyncConnectionConfig::new().set_response_timeout(None).set_push_sender(receive);
        let opened = MultiplexedConnection::new_with_config(server.redis_settings(), stream, config).await;
        let (connection, driver) = opened?;
        let driver = AbortOnDrop(tokio::spawn(driver).abort_handle());
        Ok(OpenedRedis { connection, progress, _driver: driver })
    }
}

/// A Redis that expects TLS closes the connection without an error, and one with too many clients may.
const CLOSED_AT_ONCE: &str = "the connection was closed before it could be used; either it has as many clients as its \
                              `maxclients` allows, or it expects TLS and `bus.redis_url` has to begin with rediss://";

/// A server that does not expect TLS waits for the end of a command.
const SILENT: &str = "there was no answer within `bus.timeout`; if TLS is not expected there, `bus.redis_url` has to \
                      begin with redis://";

/// What a connection is for.
#[derive(Debug, Clone, Copy)]
enum Role {
    Subscribe,
    Publish,
    Read,
    History,
}

impl Role {
    /// Its name in `CLIENT LIST`.
    fn name(self) -> &'static str {
        match self {
            Self::Subscribe => "realtime-server:subscribe",
            Self::Publish => "realtime-server:publish",
            Self::Read => "realtime-server:read",
            Self::History => "realtime-server:history",
        }
    }
}

/// Puts messages into the inbox, and closes it when the connection is closed.
fn receiver(keys: &Keys, inbox: &Arc<Inbox>) -> impl AsyncPushSender + use<> {
    let (keys, inbox) = (keys.clone(), Arc::clone(inbox));
    move |push: PushInfo| -> Result<(), ()> {
        match push.kind {
            PushKind::Message => drop(received(&keys, push.data).map(|received| inbox.put(received))),
            PushKind::Disconnection => inbox.close(),
            _confirmation => {}
        }
        Ok(())
    }
}

/// A message and its channel, without copying either.
fn received(keys: &Keys, data: Vec<Value>) -> Option<ReceivedMessage> {
    let [Value::BulkString(channel), Value::BulkString(message)] = <[Value; 2]>::try_from(data).ok()? else {
        return None;
    };
    Some(ReceivedMessage { channel: keys.channel_of(&channel)?, message: Bytes::from(message) })
}
