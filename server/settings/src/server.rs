//! `[server]`: the door. Addresses, how many may be inside, and how long the server waits for a client.

use std::net::{IpAddr, Ipv4Addr};
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{marks, units};

/// Where clients knock, how many may be inside, and how long we wait for them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// Address to bind: an IPv4 or IPv6 address of this machine, `0.0.0.0` or `::` for all.
    #[schemars(extend("x-reload" = "restart"))]
    pub host: IpAddr,

    /// TCP port to bind; 0 takes a free one.
    #[schemars(extend("x-reload" = "restart"))]
    pub port: u16,

    /// The address by which clients reach this server, such as `wss://realtime.example.com`, when something
    /// stands in front of it. Told at the start and in `/status`.
    #[schemars(extend("x-reload" = "live", "x-kind" = "url", "x-schemes" = ["http://", "https://", "ws://", "wss://"]))]
    pub public_url: Option<String>,

    /// Certificate and key, for TLS without anything in front.
    pub tls: Tls,

    /// Networks of load balancers that say by PROXY protocol (v1 or v2) whom they bring, such as
    /// `10.0.0.0/8`. Whoever connects from there must say it first of all; from elsewhere it is refused.
    #[schemars(with = "Vec<marks::NetworkText>", extend("x-reload" = "restart"))]
    pub proxy_protocol_from: Vec<String>,

    /// The tenant of `[auth]` and of every client that names none.
    #[schemars(extend("x-reload" = "restart", "x-kind" = "tenant"))]
    pub default_tenant: String,

    /// Whether a client whose host name begins with a tenant nobody knows is refused (404), instead of meaning
    /// the default one. Who says an unknown tenant outright (`x-tenant`, `tenant`) is refused in any case.
    #[schemars(extend("x-reload" = "live"))]
    pub strict_host: bool,

    /// WebSocket connections at once from one client address. Unset: as many as there are places. Mind that a
    /// load balancer without PROXY protocol makes all clients look like one.
    #[schemars(extend("x-reload" = "live"))]
    pub max_connections_per_address: Option<NonZeroUsize>,

    /// The entry of the W3C `baggage` header that names a request, for `x-request-id` and the logs.
    #[schemars(extend("x-reload" = "live"))]
    pub request_id_baggage_key: String,

    /// WebSocket connections at once, of all tenants. The next handshake is answered with 503.
    #[schemars(extend("x-reload" = "live"))]
    pub max_connections: NonZeroUsize,

    /// Open files this process asks the system for; every connection is one. Unset: as many as it may have.
    #[schemars(extend("x-reload" = "restart"))]
    pub open_files: Option<NonZeroU64>,

    /// Bytes of a whole request head: request line and all headers. A longer one is refused. Double the
    /// 16 KiB that a single header may fill (a large token does), so that the others fit beside it. At
    /// least 8 KiB.
    #[serde(with = "units::size")]
    #[schemars(with = "marks::SizeText", extend("x-reload" = "restart", "x-min" = "8 KiB", "x-max" = "16 MiB"))]
    pub max_header_size: ByteSize,

    /// Time in which the whole request head must have arrived; later the socket is closed.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "marks::DurationText", extend("x-reload" = "live", "x-min" = "1ms"))]
    pub handshake_timeout: Duration,

    /// Time a connection without a request under way stays open for the next one. Longer than the load balancer keeps
    /// its own (often 60 s), which else sends a request on a connection that is just being closed, and answers 502.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "marks::DurationText", extend("x-reload" = "connection", "x-min" = "1ms"))]
    pub keep_alive_timeout: Duration,

    /// Pause before a refused handshake is answered, to slow down clients that retry at once. Delays
    /// nobody else. 0s answers at once.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "marks::DurationText", extend("x-reload" = "live"))]
    pub connect_error_backoff: Duration,

    /// Pause before a refused join is answered. Delays nothing else on that socket. 0s answers at once.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "marks::DurationText", extend("x-reload" = "live"))]
    pub channel_error_backoff: Duration,

    /// Refused handshakes of the whole process that may wait for their answer at once; beyond it they are
    /// answered without the pause.
    #[schemars(extend("x-reload" = "live"))]
    pub max_pending_refusals: NonZeroUsize,

    /// Tasks of one connection that may be at work at once, such as the authorisation of a join. Further ones wait for
    /// their turn.
    #[schemars(extend("x-reload" = "connection"))]
    pub max_tasks_per_connection: NonZeroUsize,

    /// Messages of one connection that are held while the join of their topic waits for its authorisation. Further ones
    /// are refused.
    #[schemars(extend("x-reload" = "live"))]
    pub max_held_messages: NonZeroUsize,

    /// Bytes of the messages of one connection that are held while the join of their topic waits for its authorisation. A
    /// single message is held whatever its size.
    #[serde(with = "units::size")]
    #[schemars(with = "marks::SizeText", extend("x-reload" = "live", "x-min" = "1 KiB"))]
    pub max_held_bytes: ByteSize,

    /// Silence after which the server pings a client, and again after each further one without an answer, so
    /// that no proxy in between sees a longer silence. A browser answers without timers, so a throttled tab
    /// stays connected. Shorter than `idle_timeout`.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "marks::DurationText", extend("x-reload" = "connection", "x-min" = "1ms"))]
    pub ping_interval: Duration,

    /// Time without any byte from a client after which its socket is closed with 1013; clients reconnect.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "marks::DurationText", extend("x-reload" = "connection", "x-min" = "1ms"))]
    pub idle_timeout: Duration,

    /// Time a socket may stay without having joined a room before it is closed with 1013.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "marks::DurationText", extend("x-reload" = "connection", "x-min" = "1ms"))]
    pub no_channel_timeout: Duration,

    /// Time we wait for a client to answer our close frame before the socket is cut.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "marks::DurationText", extend("x-reload" = "connection", "x-min" = "1ms"))]
    pub close_timeout: Duration,

    /// Bytes of one WebSocket message from a client; a longer one closes its socket with 1009.
    #[serde(with = "units::size")]
    #[schemars(with = "marks::SizeText", extend("x-reload" = "connection", "x-min" = "1 KiB", "x-max" = "1 GiB"))]
    pub max_frame_size: ByteSize,

    /// Bytes of the read buffer each connection holds from its first moment on. Small, because it is paid
    /// once per connection; larger messages make it grow for as long as they need. 256 B to 1 MiB.
    #[serde(with = "units::size")]
    #[schemars(with = "marks::SizeText", extend("x-reload" = "connection", "x-min" = "256 B", "x-max" = "1 MiB"))]
    pub read_buffer_size: ByteSize,

    /// Folder for what the server keeps by itself, such as the secret of `serve --dev`, and where it listens for
    /// `realtime-server health`. Relative paths begin at the working directory. One server holds it at a time; a second
    /// one ends with an error.
    #[schemars(extend("x-reload" = "restart"))]
    pub data_dir: PathBuf,

    /// How long the server goes on as before when asked to stop (SIGTERM), while `/readyz` says 503, so that a
    /// load balancer stops sending new clients.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "marks::DurationText", extend("x-reload" = "live"))]
    pub drain_delay: Duration,

    /// Over how long the clients are then sent away (1012), so that they do not all knock elsewhere at once.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "marks::DurationText", extend("x-reload" = "live"))]
    pub drain_timeout: Duration,

    /// Time the last connections have to finish after that; then they are cut.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "marks::DurationText", extend("x-reload" = "live"))]
    pub shutdown_timeout: Duration,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            host: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            port: 8080,
            public_url: None,
            tls: Tls::default(),
            proxy_protocol_from: Vec::new(),
            default_tenant: "default".into(),
            strict_host: false,
            max_connections_per_address: None,
            request_id_baggage_key: "request-id".into(),
            max_connections: NonZeroUsize::new(16_384).expect("not zero"),
            open_files: None,
            max_header_size: ByteSize::kib(32),
            handshake_timeout: Duration::from_secs(10),
            keep_alive_timeout: Duration::from_secs(75),
            connect_error_backoff: Duration::from_secs(1),
            channel_error_backoff: Duration::ZERO,
            max_pending_refusals: NonZeroUsize::new(1024).expect("not zero"),
            max_tasks_per_connection: NonZeroUsize::new(8).expect("not zero"),
            max_held_messages: NonZeroUsize::new(64).expect("not zero"),
            max_held_bytes: ByteSize::mib(1),
            ping_interval: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(120),
            no_channel_timeout: Duration::from_secs(600),
            close_timeout: Duration::from_secs(5),
            max_frame_size: ByteSize::b(5_000_000),
            read_buffer_size: ByteSize::kib(1),
            data_dir: PathBuf::from("data"),
            drain_delay: Duration::from_secs(10),
            drain_timeout: Duration::from_secs(10),
            shutdown_timeout: Duration::from_secs(5),
        }
    }
}

/// Certificate and key. Both or none; the files are watched, and new ones count for the next handshake.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// File with the certificate chain (PEM): the server's certificate first, then those of its issuers.
    #[schemars(extend("x-reload" = "restart"))]
    pub cert_file: Option<PathBuf>,

    /// File with the key of the certificate (PEM).
    #[schemars(extend("x-reload" = "restart"))]
    pub key_file: Option<PathBuf>,
}
