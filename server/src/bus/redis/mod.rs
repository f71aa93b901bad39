//! The bus over Redis (or Valkey). The only place that knows it.
//!
//! Three connections: one to speak, one to listen, and one to read what is shown. When one of the first two is
//! lost the cable is; the third is opened again without the peers noticing.
//!
//! RESP3 would let one do it all,
//! but Redis before 7.2 puts a message that a client publishes to itself in a transaction into the midst of the
//! answer to it, and bounds all that waits for a client that listens, answers included
//! (`client-output-buffer-limit pubsub`): there a large room would end the connection.
//!
//! Redis 6 or later, one server; behind an address that follows the primary, a failover is a lost cable like
//! any other. Redis Cluster is not spoken: the keys of one change lie on different nodes there.
//!
//! See [`keys`] for what is kept, and why nothing of it outlives its node for long.

mod bus_connection;
mod config;
mod connection;
mod errors;
mod keys;
mod lease_holders;
mod leases;
mod snapshot_reader;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use hub::{Bounds, NodeId};
use redis::aio::{AsyncPushSender, MultiplexedConnection};
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, IntoConnectionInfo, ProtocolVersion, PushInfo, PushKind,
    TlsCertificates, Value, cmd,
};
use secrecy::ExposeSecret;
use tokio::time::timeout;

use super::{
    Bus, BusConnection, BusError, BusFuture, Inbox, OpenedConnection, PENDING_REQUESTS_MAX, ReceivedMessage,
};
use bus_connection::{RedisBusConnection, Registration};
pub use config::RedisConfigError;
use connection::RedisConnection;
use keys::{Incarnation, Keys};
use lease_holders::{LeaseHolder, LeaseHolders};
use snapshot_reader::Reader;

/// A Redis that nodes share.
#[derive(Debug)]
pub struct Redis {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    client: Client,
    keys: Keys,
    timeout: Duration,
    keep_alive: Duration,
    lease: Duration,
    bounds: Bounds,
    accounts: AtomicU64,
    leased: LeaseHolders,
}

impl Redis {
    /// What `settings` describe. Connects to nothing yet. `None` without an address.
    ///
    /// # Errors
    /// When the address or the certificates cannot be used. The address, which may hold a password, is in no message.
    pub fn new(settings: &settings::Bus) -> Result<Option<Self>, RedisConfigError> {
        let Some(url) = &settings.redis_url else { return Ok(None) };
        let shared = Shared {
            client: client(url.expose_secret(), settings)?,
            keys: Keys::new(&settings.prefix),
            timeout: settings.timeout,
            keep_alive: settings.keep_alive,
            lease: settings.lease,
            bounds: Bounds {
                frames: settings.max_frames.get(),
                bytes: usize::try_from(settings.max_bytes.as_u64()).unwrap_or(usize::MAX),
            },
            accounts: AtomicU64::new(0),
            leased: LeaseHolders::default(),
        };
        Ok(Some(Self { shared: Arc::new(shared) }))
    }
}

fn client(url: &str, settings: &settings::Bus) -> Result<Client, RedisConfigError> {
    config::verifies(url)?;
    let info = url.into_connection_info().map_err(RedisConfigError::Address)?;
    let redis = info
        .redis_settings()
        .clone()
        .set_protocol(ProtocolVersion::RESP3)
        .set_lib_name("realtime-server", env!("CARGO_PKG_VERSION"));
    let tcp = TcpSettings::default().set_nodelay(true);
    // Linux gives up a connection whose bytes nobody has acknowledged for this long.
    #[cfg(target_os = "linux")]
    let tcp = tcp.set_user_timeout(settings.timeout);
    let encrypted = matches!(info.addr(), ConnectionAddr::TcpTls { .. });
    let info = info.set_redis_settings(redis).set_tcp_settings(tcp);
    match &settings.tls_ca_file {
        Some(path) if encrypted => {
            let certificates =
                TlsCertificates { client_tls: None, root_cert: Some(config::certificates(path)?) };
            Client::build_with_tls(info, certificates).map_err(RedisConfigError::Client)
        }
        _ => Client::open(info).map_err(RedisConfigError::Client),
    }
}

impl Bus for Redis {
    fn name(&self) -> String {
        format!("Redis at {}", self.shared.client.get_connection_info().addr())
    }

    fn connect(&self, node: NodeId) -> BusFuture<OpenedConnection> {
        let (shared, limit) = (Arc::clone(&self.shared), self.shared.timeout);
        // As a whole: each of its steps may take as long.
        let connected = async move { timeout(limit, shared.connect(node)).await };
        Box::pin(connected.map(|connected| connected.unwrap_or(Err(BusError::TimedOut))))
    }
}

impl Shared {
    fn is_encrypted(&self) -> bool {
        matches!(self.client.get_connection_info().addr(), ConnectionAddr::TcpTls { .. })
    }

    async fn connect(self: Arc<Self>, node: NodeId) -> Result<OpenedConnection, BusError> {
        let inbox = Arc::new(Inbox::new(self.bounds));
        let (listening, speaking) = tokio::try_join!(
            self.open(Role::Listening, receiver(&self.keys, &inbox)),
            self.open(Role::Speaking, receiver(&self.keys, &inbox)),
        )?;
        let account = Incarnation { node, number: self.accounts.fetch_add(1, Ordering::Relaxed) };
        let holder = LeaseHolder::begin(account, speaking.clone()).await;
        let [mut listening, speaking] =
            [listening, speaking].map(|connection| RedisConnection { connection, shared: Arc::clone(&self) });
        listening.connection.subscribe(self.keys.nodes_channel()).await?;
        let registration = Registration::default();
        self.leased.add(holder);
        // That it is refused is no error: it will be tried for again with each renewal.
        if let Err(error) = registration.take(&speaking, account).await {
            // It has taken nothing. Of any other error nobody knows, and the next attempt ends this account too.
            if matches!(error, BusError::Unusable(_)) {
                self.leased.remove(node, &[account]);
            }
            return Err(error);
        }
        // Not earlier: it gives the cable up when there is no lease where a new connection leads.
        let reader = Reader::start(&self, account, &registration, &inbox);
        let cable = RedisBusConnection::new([listening, speaking], reader, account, registration);
        Ok((Box::new(cable) as Box<dyn BusConnection>, inbox))
    }

    /// Opens a connection, and has `receive` called with whatever comes over it unasked, its end included.
    async fn open(
        &self,
        role: Role,
        receive: impl AsyncPushSender,
    ) -> Result<MultiplexedConnection, BusError> {
        let config = AsyncConnectionConfig::new()
            // Less than connecting may take as a whole, so that it is this error that is told.
            .set_connection_timeout(Some(self.timeout.mul_f64(0.9)))
            .set_response_timeout(Some(self.timeout))
            .set_pipeline_buffer_size(PENDING_REQUESTS_MAX)
            .set_push_sender(receive);
        let opened = self.client.get_multiplexed_async_connection_with_config(&config).await;
        let mut connection = opened.map_err(|error| match BusError::from(error) {
            BusError::Closed if !self.is_encrypted() => BusError::Unreachable(CLOSED_AT_ONCE.into()),
            BusError::TimedOut if self.is_encrypted() => BusError::Unreachable(SILENT.into()),
            other => other,
        })?;
        // For whoever reads `CLIENT LIST`, and users who may; the peers do without.
        let _named = cmd("CLIENT").arg("SETNAME").arg(role.name()).exec_async(&mut connection).await;
        Ok(connection)
    }
}

/// A Redis that expects TLS closes the connection without a word, and one with too many clients may.
const CLOSED_AT_ONCE: &str = "the connection was closed before it could be used; either it has as many clients as its \
                              `maxclients` allows, or it expects TLS and `bus.redis_url` has to begin with rediss://";

/// Who does not expect TLS waits for the end of a command.
const SILENT: &str = "there was no answer within `bus.timeout`; if TLS is not expected there, `bus.redis_url` has to \
                      begin with redis://";

/// What a connection is for.
#[derive(Debug, Clone, Copy)]
enum Role {
    Listening,
    Speaking,
    ReadState,
}

impl Role {
    /// Its name in `CLIENT LIST`.
    fn name(self) -> &'static str {
        match self {
            Self::Listening => "realtime-server:subscribe",
            Self::Speaking => "realtime-server:publish",
            Self::ReadState => "realtime-server:read",
        }
    }
}

/// Puts messages into the inbox, and closes it with the connection.
fn receiver(keys: &Keys, inbox: &Arc<Inbox>) -> impl AsyncPushSender + use<> {
    let (keys, inbox) = (keys.clone(), Arc::clone(inbox));
    move |push: PushInfo| -> Result<(), ()> {
        match push.kind {
            PushKind::Message => drop(heard(&keys, push.data).map(|heard| inbox.put(heard))),
            PushKind::Disconnection => inbox.close(),
            _confirmation => {}
        }
        Ok(())
    }
}

/// A message and its channel, without copying either.
fn heard(keys: &Keys, data: Vec<Value>) -> Option<ReceivedMessage> {
    let [Value::BulkString(channel), Value::BulkString(message)] = <[Value; 2]>::try_from(data).ok()? else {
        return None;
    };
    Some(ReceivedMessage { channel: keys.channel_of(&channel)?, message: Bytes::from(message) })
}
